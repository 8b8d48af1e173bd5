"""Attribute oracle, the net that MNAC and CD ask which attributes a counterfactual changed: Rodriguez et al. (2021).

    min  sum_a  BCE(net(x)_a, attribute_a)

P. Rodriguez et al., "Beyond trivial counterfactual explanations with diverse valuable explanations", ICCV
2021, whose oracle is a VGGFace2 net. A graded attribute's value counts as its probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators._layers import down, group_norm
from rather.generators.frozen import FrozenNet
from rather.generators.recipe import Batch, Columns, Figure, GeneratorNet, GeneratorRecipe, Names, Steps
from rather.io.images import Shape

#: How much each image has of each attribute, from 0 to 1.
Attributes = Float[Tensor, "b a"]
_SURE = 0.5


@final
class Oracle(FrozenNet):
    """Images to the probability of each attribute.

    It takes a net of any origin: `Oracle(net, shape=(3, 64, 64), attributes=("smile", "glasses"))`.

    Args:
        net: images to one logit per attribute.
        shape: (c, h, w) of the images.
        attributes: their names.
        name: for reports.
    """

    kind = "oracle"

    def __init__(self, net: nn.Module, *, shape: Shape, attributes: Sequence[str], name: str = "oracle") -> None:
        super().__init__()
        self.net, self.shape, self.attributes, self.name = net, shape, tuple(attributes), name
        self.freeze()

    def forward(self, x: Images) -> Attributes:
        """The probability of each attribute."""
        return torch.sigmoid(self.net(x))

    @torch.no_grad()
    def values(self, x: Images, batch_size: int = 256) -> Attributes:
        """The same without gradients, `batch_size` images in memory at a time."""
        return torch.cat([self(part) for part in x.split(batch_size)])

    @override
    def fingerprint_extra(self) -> object:
        return self.attributes


@final
class OracleRecipe(GeneratorRecipe):
    """One net for all attributes that the data knows."""

    makes = Oracle
    reads = ("images", "attributes")

    attributes: Names = ()
    """Names of the attributes; the training takes them from the data."""
    steps: Steps = 1500
    batch_size: Batch = 64

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> OracleNet:
        return OracleNet(self, shape)

    @override
    def figures(self, product: FrozenNet, test: Columns, classifier: Classifier | None = None) -> Mapping[str, Figure]:
        assert isinstance(product, Oracle)  # noqa: S101 - `build` makes no other
        predicted, known = product.values(test["images"]) > _SURE, test["attributes"]
        right = (predicted == (known > _SURE)) & ~known.isnan()
        shares = right.sum(0) / (~known.isnan()).sum(0)  # NaN of an attribute that is known for no image
        worst = int(shares.nan_to_num(2).argmin())
        return {
            "right": float(shares.nanmean()),
            "worst_attribute": product.attributes[worst],
            "worst_right": float(shares[worst]),
        }


@final
class OracleNet(GeneratorNet):
    """A convolutional net with a logit per attribute."""

    def __init__(self, settings: OracleRecipe, shape: Shape) -> None:
        super().__init__()
        self.shape, self.attributes = shape, settings.attributes
        self.net = down(shape, settings.width, len(settings.attributes), norm=group_norm, act=nn.SiLU)

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        x, attributes = batch
        return attribute_loss(self.net(x), attributes)

    @override
    def product(self, name: str) -> Oracle:
        return Oracle(self.net, shape=self.shape, attributes=self.attributes, name=name)


def attribute_loss(logits: Float[Tensor, "b a"], attributes: Float[Tensor, "b a"]) -> Float[Tensor, " b"]:
    """Cross-entropy in nats, summed over the attributes that are known (not NaN)."""
    known = ~attributes.isnan()
    each = F.binary_cross_entropy_with_logits(logits.float(), attributes.nan_to_num(0), reduction="none")
    return torch.where(known, each, 0).sum(1)
