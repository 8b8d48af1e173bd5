"""Images made anew with more or less of what a classifier sees in them."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images, Labels
from rather.generators._frozen_editor import Features
from rather.generators.frozen import FrozenNet

Bins = Int[Tensor, " b"]  # from 0, sure that it is not the class, to the last, sure that it is


@final
class Exaggerator(FrozenNet):
    """An encoder of images, and a decoder of what it keeps to images a classifier is more or less sure of.

    Args:
        encoder: images to their features, a list of tensors.
        decoder: features and one-hot conditions, see `conditions`, to images.
        shape: (c, h, w) of the images.
        bins: how many parts the probabilities of a class are cut into.
        classes: of the classifier that it was trained for.
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
        name: str = "exaggerator",
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.shape, self.bins, self.classes, self.name = shape, bins, tuple(classes), name
        self.freeze()

    def encode(self, x: Images) -> Features:
        """What is kept of images whatever a classifier says of them."""
        features: Features = self.encoder(x)
        return features

    def decode(self, features: Features, target: Labels, bins: Bins) -> Images:
        """Images in [0, 1] whose probability of the target is in these bins."""
        images: Tensor = self.decoder(features, conditions(target, bins, len(self.classes), self.bins))
        return images

    def forward(self, x: Images) -> Images:
        """Images that may or may not be of the last class."""
        target = torch.full((len(x),), len(self.classes) - 1, device=x.device)
        return self.decode(self.encode(x), target, torch.full_like(target, self.bins // 2))

    @override
    def fingerprint_extra(self) -> object:
        return self.bins, self.classes

    @override
    def preflight(self, classifier: Classifier, images: Images) -> list[str]:
        """Whether it was trained for such a classifier."""
        del images
        self.refuse_other(classifier)
        return []

    def refuse_other(self, classifier: Classifier) -> None:
        """Refuse a classifier of other images or classes than the one that it was trained for.

        Raises:
            RatherError: GEN-SIZE, MODEL-CLASSES.
        """
        self.refuse_other_images(classifier)
        if self.classes != classifier.classes:
            raise RatherError(
                "MODEL-CLASSES",
                where=f"{self.name} is of a classifier of {', '.join(self.classes)}"[:200],
                why=f"{classifier.name} knows {', '.join(classifier.classes)}"[:200],
                do="Train one for it: rather train exaggerator --judge",
            )


def bin_of(p: Float[Tensor, " b"], count: int) -> Bins:
    """Which of `count` equal parts of [0, 1] a probability is in."""
    return (p * count).long().clamp(0, count - 1)


def condition_count(classes: int, bins: int) -> int:
    """How many conditions there are: one for each class and bin, but of two classes one says it all."""
    return bins if classes == 2 else classes * bins  # noqa: PLR2004 - see above


def conditions(target: Labels, bins: Bins, classes: int, count: int) -> Float[Tensor, "b n"]:
    """One-hot conditions: the probability of the target is in one of `count` bins.

    Of two classes, a bin of the one is a bin of the other, and the same condition.
    """
    two = torch.where(target == 1, bins, count - 1 - bins)
    places = two if classes == 2 else target * count + bins  # noqa: PLR2004 - see above
    return F.one_hot(places, condition_count(classes, count)).float()
