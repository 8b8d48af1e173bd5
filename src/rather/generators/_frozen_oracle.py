"""An attribute oracle: a net that says of an image how likely each of some attributes is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from rather.core import Images
from rather.generators.frozen import FrozenNet

#: Of each image how much it has of each attribute, from 0 to 1.
Attributes = Float[Tensor, "b a"]


@final
class Oracle(FrozenNet):
    """Images to the probability of each attribute.

    A net of anybody's will do: `Oracle(net, shape=(3, 64, 64), attributes=("smile", "glasses"))`.

    Args:
        net: images to one logit an attribute.
        shape: (c, h, w) of the images.
        attributes: their names.
        name: what to call it in a report.
    """

    def __init__(
        self, net: nn.Module, *, shape: tuple[int, int, int], attributes: Sequence[str], name: str = "oracle"
    ) -> None:
        super().__init__()
        self.net, self.shape, self.attributes, self.name = net, shape, tuple(attributes), name
        self.freeze()

    def forward(self, x: Images) -> Attributes:
        """How likely each attribute is."""
        return torch.sigmoid(self.net(x))

    @torch.no_grad()
    def values(self, x: Images, batch_size: int = 256) -> Attributes:
        """The same, `batch_size` images in memory at a time, without gradients."""
        return torch.cat([self(part) for part in x.split(batch_size)])

    @override
    def fingerprint_extra(self) -> object:
        return self.attributes
