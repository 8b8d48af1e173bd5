"""A canvas in the head's own coordinates, painted in picture and layout at once; and shapes to paint, as distances.

A distance says about how far each point lies outside of a shape; it is below 0 inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import ceil, cos, floor, sin
from typing import Final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from rather.worlds.faces.attributes import NUISANCES, REGIONS

Plane = Float[Tensor, "*n h w"]
Length = Float[Tensor, "*#n #h #w"] | float  # one, one for each face, or one for each point
#: Of each face values as (n, 1, 1), colours as (n, 3, 1, 1) and noise as (n, k, k).
Traits = Mapping[str, Tensor]
Colour = Float[Tensor, "*#n 3 #h #w"]
Box = tuple[float, float, float, float]  # left, right, top, bottom; in head coordinates

_TINY: Final = 1e-6  # keeps the gradient of a root finite
_DROP: Final = 0.02  # how far the head's origin lies below the picture's


@dataclass
class Canvas:
    """The pictures so far of n faces, or a window of them; its parts change while it is painted.

    The origin of x and y is the middle of the head; y grows downward, lengths are in halves of the picture's side
    before scaling.
    """

    x: Plane
    y: Plane
    pixel: Float[Tensor, "n 1 1"]  # a pixel's side
    light: Plane  # factor on every colour
    clouds: Plane  # coarse and fine noise in [-1, 1]
    pores: Plane
    picture: Float[Tensor, "n 3 h w"]
    layout: UInt8[Tensor, "n h w"]

    def cover(self, distance: Plane, softness: float = 1.0) -> Plane:
        """How much of each pixel lies inside of a shape; `softness` widens the edge."""
        return (0.5 - distance / (self.pixel * softness)).clamp(0, 1)

    def paint(self, cover: Plane, colour: Colour, region: str | None = None) -> None:
        """Colour over the picture; where it hides more than half, the layout has a new region."""
        self.picture = torch.lerp(self.picture, colour, cover[:, None])
        if region is not None:
            self.mark(cover, region)

    def mark(self, cover: Plane, region: str) -> None:
        """A region in the layout alone, for what only shading shows."""
        self.layout.masked_fill_(cover.detach() > 0.5, REGIONS.index(region))  # noqa: PLR2004 - half

    def shade(self, factor: Plane) -> None:
        """Make the picture lighter or darker; what it shows stays."""
        self.picture = self.picture * factor[:, None]

    def stroke(self, distance: Plane, width: float) -> Plane:
        """The darkness of a soft line: one that is narrower than a pixel is paler instead."""
        wide = (width**2 + (0.45 * self.pixel) ** 2) ** 0.5
        return fade((distance / wide) ** 2) * (width / wide)

    def waves(self, phase: Plane, per_length: Length) -> Plane:
        """A sine, flat where its waves are finer than the pixels; `per_length` is its radians a length."""
        finest = (per_length * self.pixel / 2 / torch.pi).clamp(max=1)
        return torch.sin(phase) * torch.sinc(finest)

    @contextmanager
    def window(self, box: Box) -> Iterator[Canvas]:
        """The part of the canvas that holds a box of the head in every pose: less to paint."""
        top, bottom, left, right = _pixels(box, self.picture.shape[-1])
        here = (..., slice(top, bottom), slice(left, right))
        part = replace(
            self,
            **{name: getattr(self, name)[here] for name in ("x", "y", "light", "clouds", "pores")},
            picture=self.picture[here].clone(),
            layout=self.layout[here],
        )
        yield part
        self.picture[here] = part.picture


def blank(traits: Traits, side: int) -> Canvas:
    """The background of faces."""
    steps = (torch.arange(side) + 0.5) / side * 2 - 1
    across = steps - traits["shift_x"]
    down = steps[:, None] - traits["shift_y"] - _DROP
    cosine, sine = traits["tilt"].cos(), traits["tilt"].sin()
    x = (cosine * across + sine * down) / traits["scale"]
    y = (cosine * down - sine * across) / traits["scale"]
    clouds, pores = (
        interpolate(traits[name][:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]
        for name in ("clouds", "pores")
    )
    light = (1 + 0.16 * traits["light"] * x - 0.10 * y) * traits["brightness"]
    low = ((steps + 1) / 2)[:, None]
    above = traits["above"][..., None] + traits["above_tint"]
    below = traits["below"][..., None] + traits["below_tint"]
    picture = torch.lerp(above, below, low) + 0.08 * clouds[:, None]
    return Canvas(
        x=x,
        y=y,
        pixel=2 / side / traits["scale"],
        light=light,
        clouds=clouds,
        pores=pores,
        picture=picture,
        layout=torch.zeros(x.shape, dtype=torch.uint8),
    )


@lru_cache
def _pixels(box: Box, side: int) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the pixels that a box of the head can cover, in any pose."""
    pose = (NUISANCES[name] for name in ("shift_x", "shift_y", "tilt", "scale"))
    rows, columns = [], []
    for *shifts, tilt, scale in product(*((one.low, one.high) for one in pose)):
        for x, y in product(box[:2], box[2:]):
            across = scale * (cos(tilt) * x - sin(tilt) * y) + shifts[0]
            down = scale * (cos(tilt) * y + sin(tilt) * x) + shifts[1] + _DROP
            columns.append((across + 1) / 2 * side)
            rows.append((down + 1) / 2 * side)
    top, bottom, left, right = min(rows), max(rows), min(columns), max(columns)
    return (max(floor(top) - 1, 0), min(ceil(bottom) + 1, side), max(floor(left) - 1, 0), min(ceil(right) + 1, side))


def ellipse(x: Plane, y: Plane, a: Length, b: Length) -> Plane:
    """An ellipse around the origin, with half axes a and b."""
    radius = ((x / a) ** 2 + (y / b) ** 2 + _TINY).sqrt()
    return (radius - 1) * torch.minimum(torch.as_tensor(a), torch.as_tensor(b))


def superellipse(x: Plane, y: Plane, a: Length, b: Length, square: Tensor | float) -> Plane:
    """From an ellipse (square 0) to a box with round corners (square 1), with half axes a and b."""
    u, v = (x / a) ** 2, (y / b) ** 2
    round_, boxy = (u + v + _TINY).sqrt(), (u**2 + v**2 + _TINY).sqrt().sqrt()
    return (torch.lerp(round_, boxy, torch.as_tensor(square)) - 1) * torch.minimum(
        torch.as_tensor(a), torch.as_tensor(b)
    )


def band(x: Plane, low: Plane | Length, high: Plane | Length) -> Plane:
    """What lies between two bounds."""
    return torch.maximum(low - x, x - high)


def both(*distances: Plane) -> Plane:
    """The intersection of shapes."""
    shared = distances[0]
    for distance in distances[1:]:
        shared = torch.maximum(shared, distance)
    return shared


def either(*distances: Plane) -> Plane:
    """The union of shapes."""
    joined = distances[0]
    for distance in distances[1:]:
        joined = torch.minimum(joined, distance)
    return joined


def bump(x: Plane, width: Length, *, flat: bool = False) -> Plane:
    """1 at 0 and near 0 beyond the width: a Gaussian, or with a flat top."""
    power = (x / width) ** 2
    return fade(power**2 if flat else power)


def fade(power: Plane) -> Plane:
    """exp(-power), but not below 2e-9: beyond, numbers become denormal and slow."""
    return torch.exp(-power.clamp(max=20))
