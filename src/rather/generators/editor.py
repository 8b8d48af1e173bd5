"""AttGAN, the generator of the method `attributes`: edits attributes of images: He, Zuo, Kan, Shan and Chen (2019).

    reader: min  sum_a BCE(C(x)_a, a)
    editor: min  100 |G(x, a) - x|_1 + 10 sum_a BCE(C(G(x, b))_a, b) - D(G(x, b), b)
    critic: min  max(0, 1 - D(x, a)) + max(0, 1 + D(G(x, b), b))

Z. He, W. Zuo, M. Kan, S. Shan, X. Chen, "AttGAN: facial attribute editing by only changing what you want",
IEEE Transactions on Image Processing, 2019. b are the attributes of another image of the batch, so that they
occur together. Ours: the reader is a net of its own, trained first and then frozen; the critic sees the
attributes; a hinge loss and spectral norms keep it in bounds, where the paper has a gradient penalty; graded
attributes are taken as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators._conditional import Critic, Decoder, Encoder, critic_loss
from rather.generators._layers import check_sides, down, group_norm
from rather.generators.frozen import FrozenNet, ReconstructingNet
from rather.generators.oracle import Attributes, attribute_loss
from rather.generators.recipe import Batch, Columns, Figure, GeneratorNet, GeneratorRecipe, Names, Phase, Rate
from rather.io.images import Shape

Features = Sequence[Tensor]  # what an encoder keeps of images, (b, ...) each
READING = 0.2  # share of the steps after which the reader is done, and the editor begins
_SURE = 0.5


@final
class AttributeEditor(ReconstructingNet):
    """An encoder of images, a decoder of its features with attributes, and a reader of attributes.

    Args:
        encoder: images to their features, a list of tensors.
        decoder: features and attributes (b, a) to images; with the image's own attributes, to the image.
        reader: images to one logit per attribute: which of them they have.
        shape: (c, h, w) of the images.
        attributes: the names of the a attributes.
        name: for reports.
    """

    kind = "editor"

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        reader: nn.Module,
        *,
        shape: Shape,
        attributes: Sequence[str],
        name: str = "editor",
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.reader = encoder, decoder, reader
        self.shape, self.attributes, self.name = shape, tuple(attributes), name
        self.freeze()

    @override
    def _get_name(self) -> str:
        return "Editor"  # its name in `repr`, which counts in the fingerprints of stored runs

    @torch.no_grad()
    def read(self, x: Images) -> Attributes:
        """How much images have of each attribute."""
        return torch.sigmoid(self.reader(x))

    def encode(self, x: Images) -> Features:
        """The features of images, which do not depend on their attributes."""
        features: Features = self.encoder(x)
        return features

    def decode(self, features: Features, attributes: Attributes) -> Images:
        """Images with these attributes, in [0, 1]."""
        images: Tensor = self.decoder(features, attributes)
        return images

    def forward(self, x: Images) -> Images:
        """Images edited to the attributes that they have."""
        return self.decode(self.encode(x), self.read(x))

    @override
    def fingerprint_extra(self) -> object:
        return self.attributes


@final
class AttributeEditorRecipe(GeneratorRecipe):
    """Reads the attributes of images, and generates the images with others."""

    makes = AttributeEditor
    reads = ("images", "attributes")

    attributes: Names = ()
    """Names of the attributes; the training takes them from the data."""
    reconstruction: NonNegativeFloat = 100.0
    """Weight of the mean absolute difference between an image and its edit to its own attributes."""
    classification: NonNegativeFloat = 10.0
    """Weight of the attributes that the edit must show."""
    steps: PositiveInt = 4000
    """Training steps; the first fifth trains the reader."""
    lr: Rate = 0.001
    batch_size: Batch = 32

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> AttributeEditorNet:
        return AttributeEditorNet(self, shape)

    @override
    def figures(self, product: FrozenNet, test: Columns, classifier: Classifier | None = None) -> Mapping[str, Figure]:
        assert isinstance(product, AttributeEditor)  # noqa: S101 - `build` makes no other
        x, known = test["images"], test["attributes"]
        wanted = known.roll(1, 0).nan_to_num(_SURE)  # those of another image; unknown ones as in training
        edited = [
            product.decode(product.encode(part), values)
            for part, values in zip(x.split(64), wanted.split(64), strict=True)
        ]
        read, found = (torch.cat([product.read(part) for part in parts]) > _SURE for parts in (x.split(64), edited))
        return {
            "read_right": float((read == (known > _SURE))[~known.isnan()].float().mean()),
            # According to its own reader.
            "edited_as_asked": float((found == (wanted > _SURE))[~known.roll(1, 0).isnan()].float().mean()),
        }

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        assert isinstance(product, AttributeEditor)  # noqa: S101
        x, own = shown["images"], shown["attributes"].nan_to_num(_SURE)
        features = product.encode(x)
        other = [own.index_fill(1, torch.tensor([n]), 1) for n in range(own.shape[1])]
        return [x, *(product.decode(features, values) for values in [own, *other])]


class EditingNet(GeneratorNet):
    """Reader, encoder and decoder: the nets of an `AttributeEditor`."""

    def __init__(self, shape: Shape, width: int, attributes: Sequence[str]) -> None:
        super().__init__()
        check_sides(shape)
        self.shape, self.attributes = shape, attributes
        self.reader = down(shape, width, len(attributes), norm=group_norm, act=nn.SiLU)
        self.encoder, self.decoder = Encoder(shape[0], width), Decoder(shape[0], width, len(attributes))

    @override
    def product(self, name: str) -> AttributeEditor:
        return AttributeEditor(
            self.encoder, self.decoder, self.reader, shape=self.shape, attributes=self.attributes, name=name
        )


@final
class AttributeEditorNet(EditingNet):
    """Reader, encoder and decoder, critic."""

    def __init__(self, settings: AttributeEditorRecipe, shape: Shape) -> None:
        super().__init__(shape, settings.width, settings.attributes)
        self.settings = settings
        self.critic = Critic(shape[0], settings.width, len(settings.attributes))

    @override
    def phases(self) -> Mapping[str, Phase]:
        editing = [*self.encoder.parameters(), *self.decoder.parameters()]
        return {
            "reader": Phase([*self.reader.parameters()], end=READING),
            "critic": Phase([*self.critic.parameters()], betas=(0.5, 0.999), begin=READING),
            "editor": Phase(editing, betas=(0.5, 0.999), begin=READING),
        }

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        x, own = batch
        if phase == "reader":
            return attribute_loss(self.reader(x), own)
        own = own.nan_to_num(_SURE)
        wanted = own[torch.randperm(len(own), device=own.device)]
        features = self.encoder(x)
        edited = self.decoder(features, wanted)
        if phase == "critic":
            return critic_loss(self.critic(x, own), self.critic(edited.detach(), wanted))
        error = (self.decoder(features, own).float() - x).abs().flatten(1).mean(1)
        wrong = attribute_loss(self.reader(edited), wanted)
        loss = self.settings.reconstruction * error + self.settings.classification * wrong
        total: Tensor = loss - self.critic(edited, wanted)
        return total
