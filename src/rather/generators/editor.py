"""AttGAN: He, Zuo, Kan, Shan and Chen (2019), images edited by their attributes; for introspection.

    reader: min  sum_a BCE(C(x)_a, a)
    editor: min  100 |G(x, a) - x|_1 + 10 sum_a BCE(C(G(x, b))_a, b) - D(G(x, b), b)
    critic: min  max(0, 1 - D(x, a)) + max(0, 1 + D(G(x, b), b))

Z. He, W. Zuo, M. Kan, S. Shan, X. Chen, "AttGAN: facial attribute editing by only changing what you want",
IEEE Transactions on Image Processing, 2019. b are the attributes of another image of the batch, so that they
occur together. Ours: the reader is a net of its own, trained first and then left alone; the critic is told
the attributes; a hinge loss and spectral norms keep it in bounds, where the paper has a gradient penalty;
graded attributes are taken as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators._conditional import Critic, Decoder, Encoder, critic_loss
from rather.generators._frozen_editor import Editor as Product
from rather.generators._layers import down, group_norm, refuse_sides
from rather.generators.frozen import FrozenNet
from rather.generators.oracle import attribute_loss
from rather.generators.training import Column, Columns, Figure, Generator, GeneratorNet, Names, Phase, Shape

_READING = 0.2  # share of the steps after which the reader is done, and the editor begins
_SURE = 0.5


@final
class Editor(Generator):
    """Reads the attributes of images, and makes them anew with others."""

    reads: ClassVar[tuple[Column, ...]] = ("images", "attributes")

    attributes: Names = ()
    """Names of the attributes; the training takes them from the data."""
    reconstruction: NonNegativeFloat = 100.0
    """Weight of the mean absolute difference from the image, edited to what it is."""
    classification: NonNegativeFloat = 10.0
    """Weight of the attributes that are asked for."""
    steps: PositiveInt = 4000
    """Training steps; the first fifth is the reader's."""
    lr: PositiveFloat = 0.001
    """Adam's learning rate at the start; it falls linearly to zero."""
    batch_size: PositiveInt = 32
    """Images a step, in each process."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> EditorNet:
        refuse_sides(shape)
        return EditorNet(self, shape)

    @override
    def figures(self, product: FrozenNet, test: Columns, judge: Classifier | None = None) -> Mapping[str, Figure]:
        assert isinstance(product, Product)  # noqa: S101 - `build` makes no other
        x, known = test["images"], test["attributes"]
        asked = known.roll(1, 0).nan_to_num(_SURE)  # those of another image; what nobody knows, as trained
        edited = [
            product.decode(product.encode(part), wanted)
            for part, wanted in zip(x.split(64), asked.split(64), strict=True)
        ]
        read, found = (torch.cat([product.read(part) for part in parts]) > _SURE for parts in (x.split(64), edited))
        return {
            "read_right": float((read == (known > _SURE))[~known.isnan()].float().mean()),
            # As its own reader says.
            "edited_as_asked": float((found == (asked > _SURE))[~known.roll(1, 0).isnan()].float().mean()),
        }

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        assert isinstance(product, Product)  # noqa: S101
        x, own = shown["images"], shown["attributes"].nan_to_num(_SURE)
        features = product.encode(x)
        other = [own.index_fill(1, torch.tensor([n]), 1) for n in range(own.shape[1])]
        return [x, *(product.decode(features, values) for values in [own, *other])]


@final
class EditorNet(GeneratorNet):
    """Reader, encoder and decoder, critic."""

    def __init__(self, settings: Editor, shape: Shape) -> None:
        super().__init__()
        self.settings, self.shape = settings, shape
        count, width = len(settings.attributes), settings.width
        self.reader = down(shape, width, count, norm=group_norm, act=nn.SiLU)
        self.encoder, self.decoder = Encoder(shape[0], width), Decoder(shape[0], width, count)
        self.critic = Critic(shape[0], width, count)

    @override
    def phases(self) -> Mapping[str, Phase]:
        editing = [*self.encoder.parameters(), *self.decoder.parameters()]
        return {
            "reader": Phase([*self.reader.parameters()], end=_READING),
            "critic": Phase([*self.critic.parameters()], betas=(0.5, 0.999), begin=_READING),
            "editor": Phase(editing, betas=(0.5, 0.999), begin=_READING),
        }

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        x, own = batch
        if phase == "reader":
            return attribute_loss(self.reader(x), own)
        own = own.nan_to_num(_SURE)
        asked = own[torch.randperm(len(own), device=own.device)]
        features = self.encoder(x)
        edited = self.decoder(features, asked)
        if phase == "critic":
            return critic_loss(self.critic(x, own), self.critic(edited.detach(), asked))
        again = (self.decoder(features, own).float() - x).abs().flatten(1).mean(1)
        wrong = attribute_loss(self.reader(edited), asked)
        loss = self.settings.reconstruction * again + self.settings.classification * wrong
        whole: Tensor = loss - self.critic(edited, asked)
        return whole

    @override
    def product(self, name: str) -> Product:
        return Product(
            self.encoder, self.decoder, self.reader, shape=self.shape, attributes=self.settings.attributes, name=name
        )
