"""The drawn shapes as a world: a red key, circle or square, among things of other colours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from rather.core import Images
from rather.worlds import shapes
from rather.worlds.shapes import BLANK, CELL, COLOURS, SHAPES, SIDE
from rather.worlds.world import HALF, Amounts, Label, World

_OTHERS: Final = [*COLOURS][1:]  # red is the key's
_KEY: Final = 1  # a red circle, and a red square is len(COLOURS) further
_DIM: Final = 0.4  # of the light is gone where it is dim
_GAP: Final = 0.4  # between low and high amounts of a graded cause, as of faces
_SPREAD: Final = 0.2  # of a colour, within which it is taken for another
_MIDDLE: Final = slice(CELL // 2 - 2, CELL // 2 + 2)  # pixels of a cell that every shape covers
_CORNER: Final = 0.76  # of the radius down and across: a square covers it and a circle does not


@final
@dataclass(frozen=True, eq=False)
class Things:
    """All that is needed to draw n scenes; see `data.shapes`."""

    grid: Int[Tensor, "n 4 4"]  # the key as a circle
    square: Float[Tensor, " n"]  # how much of a square it is
    dim: Float[Tensor, " n"]
    streams: tuple[tuple[int, ...], ...]  # of each, the seed of small differences

    def __len__(self) -> int:
        return len(self.grid)

    def __getitem__(self, rows: slice) -> Things:
        """Some of the scenes."""
        return Things(self.grid[rows], self.square[rows], self.dim[rows], self.streams[rows])


@final
class ShapeWorld(World[Things]):
    """Scenes of 4 x 4 cells, (3, 64, 64): the key's shape and place, what other colours there are, light."""

    name = "shapes"
    causes = ("square", "top", "left", *_OTHERS, "dim")
    labels = MappingProxyType({"square": Label("square", ("circle", "square"))})

    @override
    def sample(self, count: int, seed: tuple[int, ...], label: str, contrast: float = 1.0) -> Things:
        def stream(n: int) -> np.random.Generator:  # scene 0 is the same for every count
            return np.random.default_rng((*seed, n))

        cells = (count, SIDE**2)
        shape = stream(0).integers(len(SHAPES), size=cells)
        colour = stream(1).integers(1, len(COLOURS), size=cells)
        grid = np.where(stream(2).random(cells) < HALF, BLANK, 1 + len(COLOURS) * shape + colour)
        grid[np.arange(count), stream(3).integers(SIDE**2, size=count)] = _KEY
        things = Things(
            torch.from_numpy(grid).view(count, SIDE, SIDE),
            HALF + contrast * (_graded(stream(4), count) - HALF),
            _graded(stream(5), count),
            tuple((*seed, 6, n) for n in range(count)),
        )
        for n, name in enumerate(_OTHERS):
            things = self.turn(things, name, torch.from_numpy(stream(7 + n).random(count) < HALF))
        return things

    @override
    def amount(self, scenes: Things, cause: str) -> Amounts:
        key = scenes.grid == _KEY
        match cause:
            case "square":
                return scenes.square
            case "dim":
                return scenes.dim
            case "top":
                return key[:, : SIDE // 2].flatten(1).any(1).float()
            case "left":
                return key[:, :, : SIDE // 2].flatten(1).any(1).float()
            case _:
                return _of(scenes.grid, cause).flatten(1).any(1).float()

    @override
    def give(self, scenes: Things, cause: str, amount: Amounts) -> Things:
        """A key changes places with its mirrored cell; the first free cell gets a missing colour's circle."""
        if cause == "square":
            return replace(scenes, square=amount)
        if cause == "dim":
            return replace(scenes, dim=amount)
        different = (amount > HALF) != (self.amount(scenes, cause) > HALF)
        if cause in {"top", "left"}:
            key = scenes.grid == _KEY
            mirrored = (1 if cause == "top" else 2,)
            exchanged = scenes.grid.where(key.flip(mirrored), 0).amax((1, 2), keepdim=True)
            moved = torch.where(key.flip(mirrored), _KEY, torch.where(key, exchanged, scenes.grid))
        else:
            circle = 1 + [*COLOURS].index(cause)
            have = _of(scenes.grid, cause)
            missing = ~have.flatten(1).any(1)[:, None, None]
            moved = torch.where(missing & _free(scenes.grid), circle, scenes.grid.where(~have, BLANK))
        return replace(scenes, grid=torch.where(different[:, None, None], moved, scenes.grid))

    @override
    def draw(self, scenes: Things) -> Images:
        square = torch.where(scenes.grid == _KEY, _KEY + len(COLOURS), scenes.grid)
        circles, squares = (
            torch.stack(
                [
                    shapes.draw(scene, np.random.default_rng(stream))
                    for scene, stream in zip(grids, scenes.streams, strict=True)
                ]
            )
            for grids in (scenes.grid, square)
        )
        mixed = torch.lerp(circles, squares, scenes.square[:, None, None, None])
        return (mixed * (1 - _DIM * scenes.dim)[:, None, None, None] * 255).round() / 255

    @override
    def read(self, images: Images) -> Float[Tensor, "n a"]:
        """By the colours in the middle of each cell, and by how red it is where only a square is."""
        cells = images.unfold(2, CELL, CELL).unfold(3, CELL, CELL)  # (n, 3, 4, 4, 16, 16)
        light = cells[..., [0, -1], :][..., [0, -1]].flatten(4).mean((1, 4)).amax((1, 2))
        shown = cells / light.clamp(min=1 / 255)[:, None, None, None, None, None]
        like = {name: _likeness(shown, name) for name in COLOURS}
        seen = {name: each[..., _MIDDLE, _MIDDLE].mean((3, 4)).flatten(1) for name, each in like.items()}
        where = seen["red"] / seen["red"].sum(1, keepdim=True).clamp(min=1e-6)
        corners = _at_corners(shown).flatten(1)
        place = where.view(-1, SIDE, SIDE)
        return torch.stack(
            [
                (corners * where).sum(1),
                place[:, : SIDE // 2].sum((1, 2)),
                place[:, :, : SIDE // 2].sum((1, 2)),
                *(seen[name].amax(1) for name in _OTHERS),
                (1 - light) / _DIM,
            ],
            1,
        )


def _graded(stream: np.random.Generator, count: int) -> Amounts:
    chance = torch.from_numpy(stream.random(count)).float()
    return (1 - _GAP) * chance + _GAP * (chance > HALF)


def _of(grid: Int[Tensor, "n 4 4"], colour: str) -> Bool[Tensor, "n 4 4"]:
    """Which cells hold a thing of a colour."""
    return (grid != BLANK) & ((grid - 1) % len(COLOURS) == [*COLOURS].index(colour))


def _free(grid: Int[Tensor, "n 4 4"]) -> Bool[Tensor, "n 4 4"]:
    """Of each scene one cell: the first blank one."""
    blank = (grid == BLANK).flatten(1)
    return (blank & (blank.cumsum(1) == 1)).view_as(grid)


def _likeness(shown: Float[Tensor, "n 3 4 4 h w"], colour: str) -> Float[Tensor, "n 4 4 h w"]:
    """How like a colour each pixel of each cell is, 0 to 1."""
    wanted = torch.tensor(COLOURS[colour])[:, None, None, None, None]
    return torch.exp(-((shown - wanted) / _SPREAD).square().sum(1))


def _at_corners(shown: Float[Tensor, "n 3 4 4 h w"]) -> Float[Tensor, "n 4 4"]:
    """How red each cell is at the corners of a square of the size and place of what is red in it."""
    red = (shown[:, 0] - shown[:, 1:].mean(1)).clamp(0, 1)
    mass, pixels = red.sum((3, 4)).clamp(min=1e-6), torch.arange(CELL).float()
    reach = _CORNER * (mass / red.amax((3, 4)).clamp(min=1e-6) / torch.pi).sqrt()
    down, across = (
        (pixels - ((red.sum(axis) * pixels).sum(3) / mass)[..., None]).abs() - reach[..., None] for axis in (4, 3)
    )
    near = torch.exp(-(down[..., :, None] ** 2) - across[..., None, :] ** 2)
    return (near * red).sum((3, 4)) / near.sum((3, 4)) / red.amax((3, 4)).clamp(min=1e-6)
