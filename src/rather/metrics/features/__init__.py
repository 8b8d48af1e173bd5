"""Nets in whose features pictures are compared, each under its own name."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from rather.config.errors import RatherError
from rather.core import Features, Images

_TOGETHER = 256  # images in memory
_COLOURS = 3


@runtime_checkable
class FeatureNet(Protocol):
    """A net with a map of features: a `Classifier`, `SqueezeNet`, `Inception`.

    A number that is measured in features means nothing without the net's name.
    """

    name: str

    def features(self, x: Images, /) -> Features:
        """Of images in [0, 1]; what else has to be done with them, the net does itself."""
        ...


@torch.no_grad()
def pooled(net: FeatureNet, images: Images) -> Float[Tensor, "b d"]:
    """Features, each averaged over the cells of its map, in 64 bits."""
    parts = images.split(_TOGETHER)
    return torch.cat([net.features(part).double().flatten(2).mean(2) for part in parts])


def prepared(x: Images, side: int, *, antialias: bool) -> Float[Tensor, "b 3 s s"]:
    """Images for a net of colour photographs: grey ones in three equal channels, brought to one size.

    Args:
        x: images in [0, 1], of 1 or 3 channels.
        side: pixels a side; the picture is stretched to a square, bilinearly.
        antialias: whether pixels are averaged on the way down.

    Raises:
        RatherError: DATA-NONFINITE for values out of [0, 1], of which all numbers would be wrong and none
            would look so; DATA-SHAPE for 2 channels, or 4.
    """
    if not ((x >= 0) & (x <= 1)).all():  # nor is NaN
        raise RatherError(
            "DATA-NONFINITE",
            where=f"values from {float(x.min()):.3g} to {float(x.max()):.3g}",
            do="Scale to [0, 1]; normalisation belongs inside the net",
        )
    if x.shape[1] not in {1, _COLOURS}:
        raise RatherError("DATA-SHAPE", where=f"{x.shape[1]} channels", why="the net takes grey or RGB")
    x = x.expand(-1, _COLOURS, -1, -1)
    if x.shape[2:] == (side, side):
        return x
    return F.interpolate(x, (side, side), mode="bilinear", align_corners=False, antialias=antialias)
