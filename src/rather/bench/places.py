"""Where key points and objects are in pictures of a data set, in cells: for measures of exchanged cells.

A picture whose key points or mask cannot be read shows none: a file that is missing ends no benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import torch
from jaxtyping import Bool
from torch import Tensor

from rather.config.errors import RatherError
from rather.data.source import Source
from rather.feature_cells.key_points import cells_of_object, cells_of_points, sides_merged

GROUND: Final = "background"  # what a region that is no object is called
Grid = tuple[int, int]  # rows and columns


def key_points_in_cells(source: Source, ids: Sequence[str], grid: Grid) -> Bool[Tensor, "b p n"]:
    """Which cells show which key point, those of both sides as one; for a source that knows key points."""

    def cells(index: int) -> Bool[Tensor, "p n"]:
        return cells_of_points(source.key_points(index)[None], grid)[0]

    names = source.point_names
    return sides_merged(_of_each(cells, source, ids, (len(names), _count(grid))), names)


def objects_in_cells(source: Source, ids: Sequence[str], grid: Grid) -> Bool[Tensor, "b n"]:
    """Which cells the object fills by half; for a source that knows the background."""
    ground = source.regions.index(GROUND)

    def cells(index: int) -> Bool[Tensor, " n"]:
        return cells_of_object((source.layout(index) != ground)[None], grid)[0]

    return _of_each(cells, source, ids, (_count(grid),))


def _count(grid: Grid) -> int:
    return grid[0] * grid[1]


def _of_each(
    cells: Callable[[int], Tensor], source: Source, ids: Sequence[str], shape: tuple[int, ...]
) -> Bool[Tensor, "b *d"]:
    found = torch.zeros(len(ids), *shape, dtype=torch.bool)
    for row, index in zip(found, source.find(ids), strict=True):
        with suppress(RatherError):
            row[:] = cells(index)
    return found
