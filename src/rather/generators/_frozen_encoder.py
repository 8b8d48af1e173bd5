"""An encoder that was told no classes: images to projections, in which S3 compares them."""

from __future__ import annotations

from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from rather.core import Images
from rather.generators.frozen import FrozenNet


@final
class Encoder(FrozenNet):
    """Images to projections, of which only the direction counts.

    A net of anybody's will do: `Encoder(net, shape=(3, 224, 224))`, with its normalisation inside.

    Args:
        net: images in [0, 1] to a vector each.
        shape: (c, h, w) of the images.
        name: what to call it in a report.
    """

    def __init__(self, net: nn.Module, *, shape: tuple[int, int, int], name: str = "encoder") -> None:
        super().__init__()
        self.net, self.shape, self.name = net, shape, name
        self.freeze()

    def forward(self, x: Images) -> Float[Tensor, "b d"]:
        """A vector for each image."""
        given: Tensor = self.net(x)
        return given
