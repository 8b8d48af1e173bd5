"""How what a layer gives is a map of features (b, d, u, v): channels first, channels last, tokens; the image as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEAST: Final = 3  # cells along a side of a map whose cells are places that a person can tell apart
_MOST: Final = 20  # likewise
CELLS: Final = _MOST**2  # more of them are not searched
_PATCHES: Final = 8  # along the longer side of an image that is its own map
_SPECIAL: Final = 8  # tokens before the grid, at most: of the class, of distillation, registers
_MAP: Final = 4  # dimensions: b, d, u, v


@final
@dataclass(frozen=True)
class Layout:
    """Where the cells are in a layer's output.

    Special tokens, such as that of the class, have no place in the image. They become more channels of the map, the
    same in every cell, so that the map holds all that the layer says. Back from an edited map, each is the mean over
    the cells: a copied cell brings its share of them.

    Args:
        order: (b, d, u, v), (b, u, v, d), or (b, special + u * v, d).
        grid: (u, v).
        special: tokens before those of the grid.
    """

    order: Literal["channels first", "channels last", "tokens"]
    grid: tuple[int, int]
    special: int = 0

    @property
    def fits(self) -> bool:
        """Whether the cells are neither too few nor too many, from 3 x 3 to 20 x 20."""
        return all(_LEAST <= side <= _MOST for side in self.grid)

    @property
    def cells(self) -> int:
        """How many."""
        return math.prod(self.grid)

    def to_map(self, x: Tensor) -> Tensor:
        """The output as a map."""
        if self.order == "channels first":
            return x
        if self.order == "channels last":
            return x.permute(0, 3, 1, 2)
        special, tokens = x.split([self.special, self.cells], 1)
        maps = tokens.transpose(1, 2).unflatten(2, self.grid)
        return torch.cat([maps, special.flatten(1)[:, :, None, None].expand(-1, -1, *self.grid)], 1)

    def from_map(self, maps: Tensor) -> Tensor:
        """The output that a map stands for."""
        if self.order == "channels first":
            return maps
        if self.order == "channels last":
            return maps.permute(0, 2, 3, 1).contiguous()
        own = maps.shape[1] // (1 + self.special)
        tokens = maps[:, :own].flatten(2).transpose(1, 2)
        special = maps[:, own:].mean((2, 3)).unflatten(1, (self.special, own)) if self.special else tokens[:, :0]
        return torch.cat([special, tokens], 1)

    def other_places(self, maps: Tensor) -> Tensor:
        """The maps with the cells, but not the special tokens, of the next row."""
        own = maps.shape[1] // (1 + self.special)
        return torch.cat([maps[:, :own].roll(1, 0), maps[:, own:]], 1)


def layout_of(shape: Sequence[int], image: tuple[int, int]) -> Layout | None:
    """The layout of a layer's output, recognised by its shape; None if it is no map of the image.

    Args:
        shape: of the output.
        image: (h, w).
    """
    if 0 in shape:
        return None
    if len(shape) == _MAP:
        first, last = (shape[2], shape[3]), (shape[1], shape[2])
        if _stretch(last, image) < _stretch(first, image):
            return Layout("channels last", last)
        return Layout("channels first", first)
    if len(shape) != _MAP - 1 or shape[2] == 1:  # (b, d, 1) is pooled
        return None
    grids = ((special, _grid(shape[1] - special, image)) for special in range(_SPECIAL + 1))
    return next((Layout("tokens", grid, special) for special, grid in grids if grid), None)


def _stretch(grid: tuple[int, int], image: tuple[int, int]) -> float:
    """How far cells of a grid are from squares of pixels."""
    return abs(math.log(grid[0] * image[1] / (grid[1] * image[0])))


def _grid(count: int, image: tuple[int, int]) -> tuple[int, int] | None:
    """The rows and columns of so many square patches of an image, if they are that of a grid of several."""
    u = round(math.sqrt(max(count, 0) * image[0] / image[1]))
    v = count // u if u else 0
    square = u * image[1] == v * image[0] and image[0] % max(u, 1) == 0
    return (u, v) if u * v == count and u * v > 1 and square else None


@final
class ToMap(nn.Module):
    """A layer's output as a map."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        """(b, d, u, v) of what the layer gives."""
        return self.layout.to_map(x)

    def extra_repr(self) -> str:
        """Nets that differ in it have different fingerprints."""
        return repr(self.layout)


@final
class FromMap(nn.Module):
    """A map as the layer's output."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout

    def forward(self, maps: Tensor) -> Tensor:
        """What the layer gives, of (b, d, u, v)."""
        return self.layout.from_map(maps)

    def extra_repr(self) -> str:
        """Nets that differ in it have different fingerprints."""
        return repr(self.layout)


@final
class Patches(nn.Module):
    """An image as a map of square patches; pixels that are missing at the end of a side are 0."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """(b, c * side^2, u, v) of images."""
        h, w = x.shape[2:]
        return F.pixel_unshuffle(F.pad(x, (0, -w % self.side, 0, -h % self.side)), self.side)

    def extra_repr(self) -> str:
        """Nets that differ in it have different fingerprints."""
        return f"side={self.side}"


@final
class Unpatched(nn.Module):
    """A map of patches as an image of its size."""

    def __init__(self, side: int, image: tuple[int, int]) -> None:
        super().__init__()
        self.side, self.image = side, image

    def forward(self, maps: Tensor) -> Tensor:
        """Images of (b, c * side^2, u, v)."""
        return F.pixel_shuffle(maps, self.side)[:, :, : self.image[0], : self.image[1]]

    def extra_repr(self) -> str:
        """Nets that differ in it have different fingerprints."""
        return f"side={self.side}, image={self.image}"


def uncut(net: nn.Module, image: tuple[int, int]) -> tuple[nn.Module, nn.Module]:
    """A net whose map is the image, pixel by pixel if it is small, and else in at most 8 patches along a side."""
    if max(image) <= _MOST:
        return nn.Identity(), net
    side = math.ceil(max(image) / _PATCHES)
    layers = net if isinstance(net, nn.Sequential) else [net]  # one chain: what its last layer is matters
    return Patches(side), nn.Sequential(Unpatched(side, image), *layers)


def is_uncut(body: nn.Module) -> bool:
    """Whether a body is one that `uncut` gives."""
    return isinstance(body, nn.Identity | Patches)
