"""Pairs: Isola, Zhu, Zhou and Efros (2017), an editor that is shown what it shall make; for introspection.

    reader: min  sum_a BCE(C(x)_a, a)
    editor: min  |G(x, b) - x_b|, over pixels + over what changes and what does not

P. Isola, J.-Y. Zhu, T. Zhou, A. Efros, "Image-to-image translation with conditional adversarial networks",
CVPR 2017, without their critic. Where AttGAN, `editor`, must guess what an image would be with other
attributes, and asks a critic and a reader whether it guessed well, here x_b, the same image with the
attributes b, is there to be compared with. Only data that can be drawn anew have such pairs; it learns more
from them, and far faster. "Over what changes and what does not" means that each counts alike: glasses are
few pixels, and an editor that leaves them out is right nearly everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators._conditional import Decoder, Encoder
from rather.generators._frozen_editor import Editor as Product
from rather.generators._layers import down, group_norm, refuse_sides
from rather.generators._styled import over_pixels_and_regions
from rather.generators.frozen import FrozenNet
from rather.generators.oracle import attribute_loss
from rather.generators.training import Column, Columns, Figure, Generator, GeneratorNet, Names, Phase, Shape

_CHANGED = 0.05  # from where on a pixel value counts as changed
_READING = 0.2  # share of the steps after which the reader is done, and the editor begins


@final
class Paired(Generator):
    """Reads the attributes of images, and makes them anew with others; learns from pairs."""

    reads: ClassVar[tuple[Column, ...]] = ("images", "attributes", "edited", "asked")

    attributes: Names = ()
    """Names of the attributes; the training takes them from the data."""
    steps: PositiveInt = 3000
    """Training steps; the first fifth is the reader's."""
    lr: PositiveFloat = 0.002
    """Adam's learning rate at the start; it falls linearly to zero."""
    batch_size: PositiveInt = 16
    """Pairs a step, in each process."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> PairedNet:
        refuse_sides(shape)
        return PairedNet(self, shape)

    @override
    def figures(self, product: FrozenNet, test: Columns, judge: Classifier | None = None) -> Mapping[str, Figure]:
        assert isinstance(product, Product)  # noqa: S101 - `build` makes no other
        x, wanted, values = test["images"], test["edited"], test["asked"]
        parts = zip(x.split(64), values.split(64), strict=True)
        made = torch.cat([product.decode(product.encode(part), asked) for part, asked in parts])
        error = ((made - wanted) ** 2).flatten(1).mean(1)
        read = torch.cat([product.read(part) for part in x.split(64)])
        return {
            "read_right": float(((read > 0.5) == (test["attributes"] > 0.5)).float().mean()),  # noqa: PLR2004
            "edited_psnr": float((-10 * error.log10()).mean()),  # dB, from the image as it would be
        }

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        assert isinstance(product, Product)  # noqa: S101
        features = product.encode(shown["images"])
        own, other = (product.decode(features, shown[key]) for key in ("attributes", "asked"))
        return [shown["images"], own, shown["edited"], other]


@final
class PairedNet(GeneratorNet):
    """Reader, encoder and decoder."""

    def __init__(self, settings: Paired, shape: Shape) -> None:
        super().__init__()
        self.settings, self.shape = settings, shape
        count, width = len(settings.attributes), settings.width
        self.reader = down(shape, width, count, norm=group_norm, act=nn.SiLU)
        self.encoder, self.decoder = Encoder(shape[0], width), Decoder(shape[0], width, count)

    @override
    def phases(self) -> Mapping[str, Phase]:
        return {
            "reader": Phase([*self.reader.parameters()], end=_READING),
            "editor": Phase([*self.encoder.parameters(), *self.decoder.parameters()], begin=_READING),
        }

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        x, own, edited, asked = batch
        if phase == "reader":
            return attribute_loss(self.reader(x), own)
        made: Tensor = self.decoder(self.encoder(x), asked)
        changes = (edited - x).abs().amax(1, keepdim=True) > _CHANGED
        changed_or_not = torch.cat([changes, ~changes], 1).float()
        return over_pixels_and_regions((made.float() - edited).abs().mean(1, keepdim=True), changed_or_not)

    @override
    def product(self, name: str) -> Product:
        return Product(
            self.encoder, self.decoder, self.reader, shape=self.shape, attributes=self.settings.attributes, name=name
        )
