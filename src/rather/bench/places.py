"""Where key points and objects are in pictures of a data set, in cells: for measures of exchanged cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Bool
from torch import Tensor

from rather.cells.key_points import cells_of_object, cells_of_points, sides_merged
from rather.data.source import Source

GROUND: Final = "background"  # what a region that is no object is called


def parts_in_cells(source: Source, ids: Sequence[str], grid: tuple[int, int]) -> Bool[Tensor, "b p n"]:
    """Which cells show which part, those of both sides as one; for a source that knows parts."""
    points = torch.stack([source.key_points(n) for n in _found(source, ids)])
    return sides_merged(cells_of_points(points, grid), source.parts)


def objects_in_cells(source: Source, ids: Sequence[str], grid: tuple[int, int]) -> Bool[Tensor, "b n"]:
    """Which cells the object fills by half; for a source that knows the background."""
    layouts = torch.stack([source.layout(n) for n in _found(source, ids)])
    return cells_of_object(layouts != source.regions.index(GROUND), grid)


def _found(source: Source, ids: Sequence[str]) -> list[int]:
    """The pictures of some ids."""
    place = {source.id(n): n for n in range(len(source))}
    return [place[one] for one in ids]
