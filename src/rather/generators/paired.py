"""Attribute editor trained on pairs, for `attributes` on data that can be drawn again: Isola et al. (2017).

    reader: min  sum_a BCE(C(x)_a, a)
    editor: min  |G(x, b) - x_b|, over pixels + over what changes and what does not

P. Isola, J.-Y. Zhu, T. Zhou, A. Efros, "Image-to-image translation with conditional adversarial networks",
CVPR 2017, without their critic. AttGAN (`editor`) must guess what an image would be with other attributes,
and asks a critic and a reader whether it guessed well; here x_b, the same image with the attributes b, is in
the data. Only data that can be drawn again has such pairs; the net learns more from them, and far faster.
"Over what changes and what does not" means that each of the two counts alike: glasses are few pixels, and an
editor that leaves them out is right nearly everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators._styled import over_pixels_and_regions
from rather.generators.editor import READING, AttributeEditor, EditingNet
from rather.generators.frozen import FrozenNet
from rather.generators.oracle import attribute_loss
from rather.generators.recipe import Columns, Figure, GeneratorRecipe, Names, Phase
from rather.io.images import Shape

_CHANGED = 0.05  # a pixel value that differs by more has changed


@final
class PairedRecipe(GeneratorRecipe):
    """Reads the attributes of images, and generates the images with others; learns from pairs."""

    makes = AttributeEditor
    reads = ("images", "attributes", "edited", "edited_attributes")

    attributes: Names = ()
    """Names of the attributes; the training takes them from the data."""
    steps: PositiveInt = 3000
    """Training steps; the first fifth trains the reader."""
    batch_size: PositiveInt = 16
    """Pairs per step, in each process."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> PairedNet:
        return PairedNet(shape, self.width, self.attributes)

    @override
    def figures(self, product: FrozenNet, test: Columns, classifier: Classifier | None = None) -> Mapping[str, Figure]:
        assert isinstance(product, AttributeEditor)  # noqa: S101 - `build` makes no other
        x, edited, wanted = test["images"], test["edited"], test["edited_attributes"]
        parts = zip(x.split(64), wanted.split(64), strict=True)
        generated = torch.cat([product.decode(product.encode(part), values) for part, values in parts])
        error = ((generated - edited) ** 2).flatten(1).mean(1)
        read = torch.cat([product.read(part) for part in x.split(64)])
        return {
            "read_right": float(((read > 0.5) == (test["attributes"] > 0.5)).float().mean()),  # noqa: PLR2004
            "edited_psnr": float((-10 * error.log10()).mean()),  # dB, against the image as it would be
        }

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        assert isinstance(product, AttributeEditor)  # noqa: S101
        features = product.encode(shown["images"])
        own, other = (product.decode(features, shown[key]) for key in ("attributes", "edited_attributes"))
        return [shown["images"], own, shown["edited"], other]


@final
class PairedNet(EditingNet):
    """Reader, encoder and decoder."""

    @override
    def phases(self) -> Mapping[str, Phase]:
        return {
            "reader": Phase([*self.reader.parameters()], end=READING),
            "editor": Phase([*self.encoder.parameters(), *self.decoder.parameters()], begin=READING),
        }

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        x, own, edited, wanted = batch
        if phase == "reader":
            return attribute_loss(self.reader(x), own)
        generated: Tensor = self.decoder(self.encoder(x), wanted)
        changes = (edited - x).abs().amax(1, keepdim=True) > _CHANGED
        changed_or_not = torch.cat([changes, ~changes], 1).float()
        return over_pixels_and_regions((generated.float() - edited).abs().mean(1, keepdim=True), changed_or_not)
