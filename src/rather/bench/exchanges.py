"""Scores of exchanged cells: do they lie on what matters, and do seeds that draw other distractors agree?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rather.bench.answers import Answers
from rather.metrics import cell_edits as cells

Metric = Callable[[cells.Edits, Tensor, Tensor], Tensor]


def near_key_point(a: Answers) -> Tensor:
    """Share of the exchanged cells with any key point in them."""
    return _scored(cells.near_key_point, a, a.key_points)


def same_key_point(a: Answers) -> Tensor:
    """Share of the exchanges of one key point."""
    return _scored(cells.same_key_point, a, a.key_points)


def inside_object(a: Answers) -> Tensor:
    """Share of the exchanged cells that lie inside the object."""
    return _scored(cells.inside_object, a, a.objects)


def cell_agreement(seeds: Sequence[Answers]) -> Tensor:
    """Share of the pairs of seeds that exchanged the same cell of the query first."""
    rows = [*zip(*(a.edits for a in seeds), strict=True)]
    values = _unknown(len(rows))
    some = [n for n, same in enumerate(rows) if all(same)]
    if some:
        first = [[edits[0][0] for edits in rows[n]] for n in some]
        values[some] = cells.cell_agreement(torch.tensor(first))
    return values


def _scored(metric: Metric, a: Answers, places: tuple[Tensor, Tensor]) -> Tensor:
    """NaN where nothing is exchanged, and where a picture shows none of what is to be found."""
    values = _unknown(len(a.rows))
    query, distractor = places
    shown = query.flatten(1).any(1) & distractor.flatten(1).any(1)
    found = metric([a.edits[n] for n in a.exchanging], query, distractor)
    values[a.exchanging] = found.masked_fill(~shown, torch.nan)
    return values


def _unknown(count: int) -> Tensor:
    return torch.full((count,), torch.nan, dtype=torch.float64)
