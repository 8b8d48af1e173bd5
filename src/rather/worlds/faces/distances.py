"""Shapes as distances: about how far each point lies outside of one; below 0 inside."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Plane = Float[Tensor, "*n h w"]
Length = Float[Tensor, "*#n #h #w"] | float  # one, one for each face, or one for each point

_TINY = 1e-6  # keeps the gradient of a root finite


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
