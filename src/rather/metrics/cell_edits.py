"""Do the edited cells lie on what matters, and are they the same ones again?

Edits of feature cells, as `rather.methods.goyal` makes them. Key points and masks are given for each cell of the map,
see `rather.feature_cells.key_points`. To judge the first edit alone, give `[row[:1] for row in edits]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.metrics.registry import metric

#: The edits of each row, in order: (query cell, distractor cell), as a `Goyal` run stores them.
Edits = Sequence[Sequence[Sequence[int]]]
#: Which key points lie in which cells, of the queries and of the distractors.
PartsInCells = tuple[Bool[Tensor, "b p n"], Bool[Tensor, "b p n"]]
#: Which cells show the object, of the queries and of the distractors.
ObjectInCells = tuple[Bool[Tensor, "b n"], Bool[Tensor, "b n"]]


@metric(
    title="near KP",
    theme="cells",
    unit="share of the cells, 0 to 1",
    better="higher",
    blank="it exchanges no cells between pictures that both show key points",
    version=1,
)
def near_key_point(edits: Edits, key_points: PartsInCells) -> Float[Tensor, " b"]:
    """Share of the edited cells with any key point in them, of both pictures (Near-KP).

    NaN for a row without edits, or of which one picture shows no key point. Public code and paper count key points in
    other ways (that of Vandenhende et al. merges 15 into 12): only tables of one way are comparable.

    Source: Y. Goyal et al., ICML 2019, section 4.3; S. Vandenhende et al., "Making heads or tails: towards
    semantically consistent visual counterfactuals", ECCV 2022.
    Avoids: an except clause that swallows rows which fail, so that the mean is of the others.

    Args:
        edits: of each row.
        key_points: where the key points of queries and distractors lie, in the same order.
    """
    query, other = key_points
    return _mean(edits, key_points, lambda row, i, j: (query[row, :, i].any(0), other[row, :, j].any(0)))


@metric(
    title="same KP",
    theme="cells",
    unit="share of the edits, 0 to 1",
    better="higher",
    blank="it exchanges no cells between pictures that both show key points",
    version=1,
)
def same_key_point(edits: Edits, key_points: PartsInCells) -> Float[Tensor, " b"]:
    """Share of the edits whose two cells show one key point (Same-KP); NaN as for `near_key_point`.

    Source: as `near_key_point`.
    """
    query, other = key_points
    return _mean(edits, key_points, lambda row, i, j: ((query[row, :, i] & other[row, :, j]).any(0),))


@metric(
    title="in the object",
    theme="cells",
    unit="share of the cells, 0 to 1",
    better="higher",
    blank="it exchanges no cells between pictures that both show the object",
    version=1,
)
def inside_object(edits: Edits, objects: ObjectInCells) -> Float[Tensor, " b"]:
    """Share of the edited cells that lie inside the object, of both pictures.

    NaN for a row without edits, or of which one picture shows no object.

    Source: Y. Goyal et al., ICML 2019, section 4.3, who do not say when a cell is inside: name the share of it that
    has to be, see `rather.feature_cells.key_points.cells_of_object`.

    Args:
        edits: of each row.
        objects: which cells of queries and distractors show the object.
    """
    query, other = objects
    return _mean(edits, objects, lambda row, i, j: (query[row, i], other[row, j]))


@metric(
    title="agreement",
    theme="cells",
    unit="share of the pairs, 0 to 1",
    better="higher",
    over="answered",
    several_seeds=True,
    blank="no image of which all seeds exchange cells",
    version=1,
)
def cell_agreement(edits: Sequence[Edits]) -> Float[Tensor, " b"]:
    """Share of the pairs of seeds that exchanged the same cell of the query first.

    It should be high for seeds that draw other distractors of one class, and low for seeds with other classes. NaN
    of a row of which a seed exchanges none, or with fewer than two seeds.

    Source: Y. Goyal et al., ICML 2019, section 4.3, who have no public code.
    Avoids: counting a run as its own partner.

    Args:
        edits: of each row, those of each seed.
    """
    return torch.tensor([_agreement(seeds) for seeds in edits], dtype=torch.float64)


_NONE: Final = float("nan")


def _agreement(seeds: Edits) -> float:
    pairs = [*combinations([one[0][0] for one in seeds if one], 2)]
    return sum(a == b for a, b in pairs) / len(pairs) if pairs and all(seeds) else _NONE


def _mean(
    edits: Edits, places: tuple[Tensor, Tensor], of: Callable[[int, int, int], Sequence[Tensor]]
) -> Float[Tensor, " b"]:
    """The mean over each row's edits; NaN where a picture has no place that an edit could hit."""
    shown = [bool(query.any() and other.any()) for query, other in zip(*places, strict=True)]
    rows = [[one for i, j in pairs for one in of(row, i, j)] for row, pairs in enumerate(edits)]
    shares = [sum(map(float, row)) / len(row) if row and both else _NONE for row, both in zip(rows, shown, strict=True)]
    return torch.tensor(shares, dtype=torch.float64)
