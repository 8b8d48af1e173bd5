"""Do the edited cells lie on what matters, and are they the same ones again?

Edits of feature cells, as `rather.methods.goyal` makes them. Key points and masks are told for each cell of
the map, see `rather.feature_cells.key_points`. Of the first edit alone: give `[row[:1] for row in edits]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

#: Of each row its edits, in order: (query cell, distractor cell), as a `Goyal` run stores them.
Edits = Sequence[Sequence[Sequence[int]]]
PartsInCells = Bool[Tensor, "b p n"]  # which key points lie in which cells
Cells = Bool[Tensor, "b n"]


def edit_count(edits: Edits) -> Float[Tensor, " b"]:
    """Number of edits until the decision changes (lower is better).

    Unit: edits.
    Source: Y. Goyal et al., "Counterfactual visual explanations", ICML 2019, section 4.
    Avoids: leaving out, without a word, the rows that failed: give edits of all, and say which were found.
    """
    return torch.tensor([len(row) for row in edits], dtype=torch.float64)


def near_key_point(edits: Edits, query: PartsInCells, distractor: PartsInCells) -> Float[Tensor, " b"]:
    """Near-KP: share of the edited cells with any key point in them, of both pictures (higher is better).

    NaN for a row without edits. Public code and paper count key points in other ways (that of Vandenhende et
    al. merges 15 into 12): tables are comparable within one way alone.

    Unit: share of the cells, 0 to 1.
    Source: Y. Goyal et al., ICML 2019, section 4.3; S. Vandenhende et al., "Making heads or tails: towards
    semantically consistent visual counterfactuals", ECCV 2022.
    Avoids: an except clause that swallows rows which fail, so that the mean is of the others.

    Args:
        edits: of each row.
        query: where the key points of the queries lie.
        distractor: where those of the distractors lie.
    """
    return _mean(edits, lambda row, i, j: (query[row, :, i].any(0), distractor[row, :, j].any(0)))


def same_key_point(edits: Edits, query: PartsInCells, distractor: PartsInCells) -> Float[Tensor, " b"]:
    """Same-KP: share of the edits whose two cells show one key point (higher is better).

    NaN for a row without edits.

    Unit: share of the edits, 0 to 1.
    Source: as `near_key_point`.
    Avoids: as `near_key_point`.

    Args:
        edits: of each row.
        query: where the key points of the queries lie.
        distractor: where those of the distractors lie, in the same order.
    """
    return _mean(edits, lambda row, i, j: ((query[row, :, i] & distractor[row, :, j]).any(0),))


def inside_object(edits: Edits, query: Cells, distractor: Cells) -> Float[Tensor, " b"]:
    """Share of the edited cells that lie inside the object, of both pictures (higher is better).

    NaN for a row without edits.

    Unit: share of the cells, 0 to 1.
    Source: Y. Goyal et al., ICML 2019, section 4.3, who do not say when a cell is inside: name the share of
    it that has to be, see `cells.key_points.cells_of_object`.
    Avoids: as `near_key_point`.

    Args:
        edits: of each row.
        query: which cells of the queries show the object.
        distractor: which cells of the distractors do.
    """
    return _mean(edits, lambda row, i, j: (query[row, i], distractor[row, j]))


def cell_agreement(cells: Int[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """Share of the pairs of a row's runs that have chosen the same cell (neither is better).

    Of runs with other distractors of one class it should be high, of runs with other classes low. NaN of
    fewer than two runs.

    Unit: share of the pairs, 0 to 1.
    Source: Y. Goyal et al., ICML 2019, section 4.3, who have no public code.
    Avoids: counting a run as its own partner.

    Args:
        cells: of each row and run, the cell.
    """
    count = cells.shape[1]
    equal = (cells[:, :, None] == cells[:, None]).double().sum((1, 2))
    return (equal - count) / (count * (count - 1))


def _mean(edits: Edits, of: Callable[[int, int, int], Sequence[Tensor]]) -> Float[Tensor, " b"]:
    """Of each row the mean over its edits of what is asked of each."""
    rows = [[one for i, j in pairs for one in of(row, i, j)] for row, pairs in enumerate(edits)]
    shares = [sum(map(float, row)) / len(row) if row else torch.nan for row in rows]
    return torch.tensor(shares, dtype=torch.float64)
