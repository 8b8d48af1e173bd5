"""Images made anew with more or less of what a classifier sees in them."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.core import Classifier, Images
from rather.editor import Features
from rather.errors import RatherError
from rather.frozen_net import FrozenNet

Bins = Int[Tensor, " b"]  # from 0, sure that it is not the class, to the last, sure that it is


@final
class Exaggerator(FrozenNet):
    """An encoder of images, and a decoder of what it keeps to images a classifier is more or less sure of.

    It is made for one classifier and one of its classes.

    Args:
        encoder: images to their features, a list of tensors.
        decoder: features and one-hot bins (b, n) to images.
        shape: (c, h, w) of the images.
        bins: how many parts the probabilities of the class are cut into.
        classes: of the classifier that it was trained for.
        about: the place of the class in `classes`.
        name: what to call it in a report.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        shape: tuple[int, int, int],
        bins: int,
        classes: tuple[str, ...],
        about: int,
        name: str = "exaggerator",
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.shape, self.bins, self.classes, self.about, self.name = shape, bins, classes, about, name
        self.freeze()

    def encode(self, x: Images) -> Features:
        """What is kept of images whatever a classifier says of them."""
        features: Features = self.encoder(x)
        return features

    def decode(self, features: Features, bins: Bins) -> Images:
        """Images of these bins, in [0, 1]."""
        images: Tensor = self.decoder(features, F.one_hot(bins, self.bins).float())
        return images

    def bin(self, probabilities: Float[Tensor, "b k"]) -> Bins:
        """The bin of what the classifier says."""
        return bin_of(probabilities[:, self.about], self.bins)

    def forward(self, x: Images) -> Images:
        """Images of the middle bin."""
        return self.decode(self.encode(x), torch.full((len(x),), self.bins // 2, device=x.device))

    @override
    def told(self) -> object:
        return self.bins, self.classes, self.about

    def refuse_other(self, classifier: Classifier) -> None:
        """Refuse a classifier of other images or classes than the one that it was trained for.

        Raises:
            RatherError: GEN-SIZE, MODEL-CLASSES.
        """
        if self.shape != classifier.shape:
            raise RatherError(
                "GEN-SIZE",
                where=f"{self.name}: images {self.shape}",
                why=f"{classifier.name} takes {classifier.shape}",
            )
        if self.classes != classifier.classes:
            raise RatherError(
                "MODEL-CLASSES",
                where=f"{self.name} is of a classifier of {', '.join(self.classes)}",
                why=f"{classifier.name} knows {', '.join(classifier.classes)}"[:200],
                do="Train one for it: rather train exaggerator --judge",
            )


def bin_of(p: Float[Tensor, " b"], count: int) -> Bins:
    """Which of `count` equal parts of [0, 1] a probability is in."""
    return (p * count).long().clamp(0, count - 1)
