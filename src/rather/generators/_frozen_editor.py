"""Images edited by their attributes: what methods that change attributes need of a generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators._frozen_oracle import Attributes
from rather.generators.frozen import FrozenNet, reconstruct

Features = Sequence[Tensor]  # what an encoder keeps of images, (b, ...) each


@final
class Editor(FrozenNet):
    """An encoder of images, a decoder of what it keeps with attributes, and a reader of attributes.

    Args:
        encoder: images to their features, a list of tensors.
        decoder: features and attributes (b, a) to images; with the image's own attributes, to the image.
        reader: images to one logit an attribute: which they have.
        shape: (c, h, w) of the images.
        attributes: the names of the a attributes.
        name: what to call it in a report.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        reader: nn.Module,
        *,
        shape: tuple[int, int, int],
        attributes: Sequence[str],
        name: str = "editor",
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.reader = encoder, decoder, reader
        self.shape, self.attributes, self.name = shape, tuple(attributes), name
        self.freeze()

    @torch.no_grad()
    def read(self, x: Images) -> Attributes:
        """How much images have of each attribute."""
        return torch.sigmoid(self.reader(x))

    def encode(self, x: Images) -> Features:
        """What is kept of images whatever their attributes."""
        features: Features = self.encoder(x)
        return features

    def decode(self, features: Features, attributes: Attributes) -> Images:
        """Images with these attributes, in [0, 1]."""
        images: Tensor = self.decoder(features, attributes)
        return images

    def forward(self, x: Images) -> Images:
        """What is left of images, edited to what they are."""
        return self.decode(self.encode(x), self.read(x))

    @override
    def preflight(self, classifier: Classifier, images: Images) -> list[str]:
        """Whether images change their class by mere reconstruction."""
        return reconstruct(self, classifier, images)

    @override
    def fingerprint_extra(self) -> object:
        return self.attributes
