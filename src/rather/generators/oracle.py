"""An oracle of attributes, as MNAC and CD have it: one net that knows all attributes, asked for what changed.

    min  sum_a  BCE(net(x)_a, attribute_a)

A graded attribute's value is taken for its probability. See P. Rodriguez et al., "Beyond trivial
counterfactual explanations with diverse valuable explanations", ICCV 2021, whose oracle is a VGGFace2 net.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.core import Classifier
from rather.generators._frozen_oracle import Oracle as Product
from rather.generators._layers import down, group_norm
from rather.generators.frozen import FrozenNet
from rather.generators.training import Column, Columns, Figure, Generator, GeneratorNet, Names, Phase, Shape

_SURE = 0.5


@final
class Oracle(Generator):
    """Images to the probability of each attribute."""

    reads: ClassVar[tuple[Column, ...]] = ("images", "attributes")

    attributes: Names = ()
    """Names of the attributes; the training takes them from the data."""
    steps: PositiveInt = 1500
    """Training steps."""
    lr: PositiveFloat = 0.002
    """Adam's learning rate at the start; it falls linearly to zero."""
    batch_size: PositiveInt = 64
    """Images a step, in each process."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> OracleNet:
        return OracleNet(self, shape)

    @override
    def figures(self, product: FrozenNet, test: Columns, judge: Classifier | None = None) -> Mapping[str, Figure]:
        assert isinstance(product, Product)  # noqa: S101 - `build` makes no other
        said, known = product.values(test["images"]) > _SURE, test["attributes"]
        right = (said == (known > _SURE)) & ~known.isnan()
        shares = right.sum(0) / (~known.isnan()).sum(0)  # NaN of what is known of no image
        worst = int(shares.nan_to_num(2).argmin())
        return {
            "right": float(shares.nanmean()),
            "worst_attribute": product.attributes[worst],
            "worst_right": float(shares[worst]),
        }


@final
class OracleNet(GeneratorNet):
    """A convolutional net with a logit for each attribute."""

    def __init__(self, settings: Oracle, shape: Shape) -> None:
        super().__init__()
        self.shape, self.attributes = shape, settings.attributes
        self.net = down(shape, settings.width, len(settings.attributes), norm=group_norm, act=nn.SiLU)

    @override
    def phases(self) -> Mapping[str, Phase]:
        return {"oracle": Phase([*self.parameters()])}

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        x, attributes = batch
        return attribute_loss(self.net(x), attributes)

    @override
    def product(self, name: str) -> Product:
        return Product(self.net, shape=self.shape, attributes=self.attributes, name=name)


def attribute_loss(logits: Float[Tensor, "b a"], attributes: Float[Tensor, "b a"]) -> Float[Tensor, " b"]:
    """Cross-entropy in nats, summed over the attributes that are known."""
    known = ~attributes.isnan()
    each = F.binary_cross_entropy_with_logits(logits.float(), attributes.nan_to_num(0), reduction="none")
    return torch.where(known, each, 0).sum(1)
