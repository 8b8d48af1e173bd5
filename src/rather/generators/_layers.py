"""Convolutions down to a small map and up again, for images of any shape."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Final

from torch import nn

from rather.config.errors import RatherError
from rather.io.images import Shape

Norm = Callable[[int], nn.Module]
_SMALL = 7  # pixels a side: where going down ends
DOWN: Final = 8  # times that the smallest map is smaller than the image, where it must be a whole number


def check_sides(shape: Shape) -> None:
    """Check that images can be halved three times and have more than one cell then.

    Raises:
        RatherError: TRAIN-DATA.
    """
    _, h, w = shape
    if h % DOWN or w % DOWN or min(h, w) < 2 * DOWN:
        why = f"{h} x {w} pixels are no multiple of {DOWN}, {2 * DOWN} at least"
        raise RatherError("TRAIN-DATA", why=why, do="Give --size")


def down(
    shape: Shape, width: int, outputs: int, *, norm: Norm, act: Callable[[], nn.Module], cells: int = 1
) -> nn.Sequential:
    """Images to `outputs` numbers.

    Convolutions of stride 2 until the map is 7 x 7 or smaller, then a linear layer; or until it has `cells` a
    side at most, then a layer for each cell alone.

    Raises:
        RatherError: CFG-SETTING if the numbers cannot be shared evenly among the cells.
    """
    sizes, channels = _pyramid(shape, width, cells if cells > 1 else _SMALL)
    layers = list[nn.Module]()
    for n, (before, after) in enumerate(pairwise(channels)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1)]
        layers += [norm(after)] if n else []  # the first layer sees the image itself
        layers += [act()]
    if cells > 1:
        return nn.Sequential(*layers, nn.Conv2d(channels[-1], _each(outputs, sizes[-1]), 1), nn.Flatten())
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * prod(sizes[-1]), outputs))


def up(
    shape: Shape, width: int, inputs: int, *, norm: Norm, act: Callable[[], nn.Module], cells: int = 1
) -> nn.Sequential:
    """The way back: a layer to the small map, then enlarge and convolve until the image is reached.

    Enlarging and then convolving leaves no chequered pattern, and fits every size. The last layer is linear.

    Raises:
        RatherError: CFG-SETTING if the numbers cannot be shared evenly among the cells.
    """
    sizes, channels = _pyramid(shape, width, cells if cells > 1 else _SMALL)
    layers: list[nn.Module]
    if cells > 1:
        each = _each(inputs, sizes[-1])
        layers = [nn.Unflatten(1, (each, *sizes[-1])), nn.Conv2d(each, channels[-1], 1)]
    else:
        layers = [nn.Linear(inputs, channels[-1] * prod(sizes[-1]))]
        layers += [nn.Unflatten(1, (channels[-1], *sizes[-1]))]
    layers += [norm(channels[-1]), act()]
    for n in range(len(sizes) - 2, -1, -1):
        before, after = channels[n + 1], channels[n] if n else max(width // 2, 8)
        layers += [nn.Upsample(size=sizes[n]), nn.Conv2d(before, after, 3, padding=1), norm(after), act()]
    return nn.Sequential(*layers, nn.Conv2d(max(width // 2, 8), shape[0], 3, padding=1))


def _each(numbers: int, size: tuple[int, int]) -> int:
    """Numbers per cell of a map."""
    if numbers % prod(size):
        why = f"{numbers} is no multiple of the {prod(size)} cells of a map of {size[0]} x {size[1]}"
        raise RatherError("CFG-SETTING", where="latent", why=why)
    return numbers // prod(size)


def _pyramid(shape: Shape, width: int, small: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Sides and channels from the image down to a map of `small` cells a side at most, both ends included."""
    c, h, w = shape
    sizes, channels = [(h, w)], [c]
    while max(sizes[-1]) > small:
        h, w = (h + 1) // 2, (w + 1) // 2
        channels.append(min(width * 2 ** (len(channels) - 1), 4 * width))
        sizes.append((h, w))
    if len(sizes) == 1 and small > _SMALL:
        raise RatherError("CFG-SETTING", where=f"cells {small}", why=f"images of {h} x {w} pixels")
    if len(sizes) == 1:
        raise RatherError("TRAIN-DATA", why=f"{h} x {w} pixels are too few", do="Choose a larger size")
    return sizes, channels


def group_norm(channels: int) -> nn.Module:
    """In groups of 16 channels, or one where 16 does not divide them.

    Unlike batch norm it leaves the images of a batch apart.
    """
    return nn.GroupNorm(max(1, channels // 16) if channels % 16 == 0 else 1, channels)


def convolved(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """A convolution of 3 x 3, a group norm and SiLU."""
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=stride, padding=1), group_norm(after), nn.SiLU())
