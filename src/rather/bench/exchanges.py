"""Scores of exchanged cells: do they lie on what matters, and do seeds that draw other distractors agree?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rather.bench.answers import Answers
from rather.bench.places import objects_in_cells, parts_in_cells
from rather.data.source import Source
from rather.metrics import cells
from rather.runs.store import Row

Metric = Callable[[cells.Edits, Tensor, Tensor], Tensor]
Where = Callable[[Source, Sequence[str], tuple[int, int]], Tensor]


def near_key_point(a: Answers) -> Tensor:
    """Share of the exchanged cells with any key point in them."""
    return _scored(cells.near_key_point, a, a.nets.parts, parts_in_cells)


def same_key_point(a: Answers) -> Tensor:
    """Share of the exchanges of one key point."""
    return _scored(cells.same_key_point, a, a.nets.parts, parts_in_cells)


def inside_object(a: Answers) -> Tensor:
    """Share of the exchanged cells that lie inside the object."""
    return _scored(cells.inside_object, a, a.nets.objects, objects_in_cells)


def cell_agreement(seeds: Sequence[Answers]) -> Tensor:
    """Share of the pairs of seeds that exchanged the same cell of the query first."""
    rows = [*zip(*(a.rows for a in seeds), strict=True)]
    values = _unknown(len(rows))
    some = [n for n, same in enumerate(rows) if all(map(_exchanges, same))]
    if some:
        first = [[_exchanges(row)[0][0] for row in rows[n]] for n in some]
        values[some] = cells.cell_agreement(torch.tensor(first))
    return values


def _exchanges(row: Row) -> Sequence[Sequence[int]]:
    """(Query cell, distractor cell), in order, of a method that exchanges cells with one distractor."""
    told = row.facts.get("edits")
    return told if isinstance(told, list) and "distractor" in row.facts else []


def _scored(metric: Metric, a: Answers, sources: tuple[Source, Source] | None, where: Where) -> Tensor:
    """NaN where nothing is exchanged, and where a picture shows none of what is to be found."""
    assert sources is not None  # noqa: S101 - asked for only then
    values = _unknown(len(a.rows))
    some = [n for n, row in enumerate(a.rows) if _exchanges(row)]
    if some:
        rows, (queries, distractors) = [a.rows[n] for n in some], sources
        query = where(queries, [row.id for row in rows], a.grid)
        distractor = where(distractors, [row.facts["distractor"] for row in rows], a.grid)
        shown = query.flatten(1).any(1) & distractor.flatten(1).any(1)
        found = metric([_exchanges(row) for row in rows], query, distractor)
        values[some] = found.masked_fill(~shown, torch.nan)
    return values


def _unknown(count: int) -> Tensor:
    return torch.full((count,), torch.nan, dtype=torch.float64)
