"""What of a picture can be read without a net: light, contrast, colour, sharpness, light at the borders.

Cues that no one named are often of this kind: the exposure, a colour cast, what is behind the object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from rather.core import Images

_BORDER: Final = 8  # as a share of the shorter side: one over this


def light(x: Images) -> Float[Tensor, " b"]:
    """Mean of all pixels."""
    return x.flatten(1).mean(1)


def contrast(x: Images) -> Float[Tensor, " b"]:
    """Standard deviation of the grey pixels."""
    return x.mean(1).flatten(1).std(1)


def colour(x: Images) -> Float[Tensor, " b"]:
    """Mean difference of the largest and the smallest channel."""
    return (x.amax(1) - x.amin(1)).flatten(1).mean(1)


def sharpness(x: Images) -> Float[Tensor, " b"]:
    """Mean |difference| of neighbouring pixels."""
    return ((x.diff(dim=2).abs()).flatten(1).mean(1) + x.diff(dim=3).abs().flatten(1).mean(1)) / 2


def light_above(x: Images) -> Float[Tensor, " b"]:
    """Mean of the pixels along the upper border."""
    return x[:, :, : _edge(x)].flatten(1).mean(1)


def light_below(x: Images) -> Float[Tensor, " b"]:
    """Mean of the pixels along the lower border."""
    return x[:, :, -_edge(x) :].flatten(1).mean(1)


def _edge(x: Images) -> int:
    return max(1, min(x.shape[2:]) // _BORDER)


#: By name, of a picture that has more of it than most.
APPEARANCES: Final[Mapping[str, Callable[[Images], Float[Tensor, " b"]]]] = MappingProxyType(
    {
        "light picture": light,
        "high contrast": contrast,
        "strong colours": colour,
        "sharp picture": sharpness,
        "light upper border": light_above,
        "light lower border": light_below,
    }
)


def appearances(x: Images) -> Float[Tensor, "b a"]:
    """The value of each of `APPEARANCES`, in their order."""
    return torch.stack([read(x) for read in APPEARANCES.values()], 1)
