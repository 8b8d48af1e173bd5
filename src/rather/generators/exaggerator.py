"""Progressive exaggeration's generator, trained for one classifier: Singla, Pollack, Chen and Batmanghelich (2020).

    G: min  100 (|G(x, c(x)) - x|_1 + |G(G(x, c), c(x)) - x|_1) + KL(c || f(G(x, c))) - D(G(x, c), c)
    D: min  max(0, 1 - D(x, c(x))) + max(0, 1 + D(G(x, c), c))

S. Singla, B. Pollack, J. Chen, K. Batmanghelich, "Explanation by progressive exaggeration", ICLR 2020: c(x)
is the bin of the classifier's probability f(x), c any bin. Ours: with more than two classes a condition is a
class and a bin of its probability; the bin joins the decoder's maps, where the paper has a conditional batch
norm; the target of a bin is the probability in its middle; batches are drawn evenly from the pictures, where
the paper resamples each bin to 5,000 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, final

import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images, Labels
from rather.generators._conditional import Critic, Decoder, Encoder, coin_divergence, critic_loss
from rather.generators._layers import check_sides
from rather.generators.editor import Features
from rather.generators.frozen import FrozenNet
from rather.generators.recipe import Batch, Columns, Figure, GeneratorNet, GeneratorRecipe, Names, Phase, Rate, Steps
from rather.io.images import Shape
from rather.stats import rank_correlation

Bins = Int[Tensor, " b"]  # from 0, surely not the class, to the last, surely the class


@final
class Exaggerator(FrozenNet):
    """An encoder of images, and a decoder of its features to images with a wanted class probability.

    Args:
        encoder: images to their features, a list of tensors.
        decoder: features and one-hot conditions, see `conditions`, to images.
        shape: (c, h, w) of the images.
        bins: equal parts into which the probability of a class is cut.
        classes: of the classifier that it was trained for.
        name: for reports.
    """

    kind = "exaggerator"

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        shape: Shape,
        bins: int,
        classes: tuple[str, ...],
        name: str = "exaggerator",
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.shape, self.bins, self.classes, self.name = shape, bins, tuple(classes), name
        self.freeze()

    def encode(self, x: Images) -> Features:
        """The features of images, which do not depend on the wanted probability."""
        features: Features = self.encoder(x)
        return features

    def decode(self, features: Features, target: Labels, bins: Bins) -> Images:
        """Images in [0, 1] whose probability of the target is in these bins."""
        images: Tensor = self.decoder(features, conditions(target, bins, len(self.classes), self.bins))
        return images

    def forward(self, x: Images) -> Images:
        """Images between all other classes and the last one."""
        target = torch.full((len(x),), len(self.classes) - 1, device=x.device)
        return self.decode(self.encode(x), target, torch.full_like(target, self.bins // 2))

    @override
    def fingerprint_extra(self) -> object:
        return self.bins, self.classes

    @override
    def preflight(self, classifier: Classifier, images: Images) -> list[str]:
        del images
        self.check_classifier(classifier)
        return []

    def check_classifier(self, classifier: Classifier) -> None:
        """Check that the classifier has the images and the classes that this net was trained for.

        Raises:
            RatherError: GEN-SIZE, MODEL-CLASSES.
        """
        self.check_images(classifier)
        if self.classes != classifier.classes:
            raise RatherError(
                "MODEL-CLASSES",
                where=f"{self.name} is of a classifier of {', '.join(self.classes)}"[:200],
                why=f"{classifier.name} knows {', '.join(classifier.classes)}"[:200],
                do="Train one for it: rather train exaggerator --classifier",
            )


def bin_of(p: Float[Tensor, " b"], count: int) -> Bins:
    """Which of `count` equal parts of [0, 1] a probability is in."""
    return (p * count).long().clamp(0, count - 1)


def condition_count(classes: int, bins: int) -> int:
    """One condition for each class and bin; with two classes, a bin of one is a bin of the other."""
    return bins if classes == 2 else classes * bins  # noqa: PLR2004 - see above


def conditions(target: Labels, bins: Bins, classes: int, count: int) -> Float[Tensor, "b n"]:
    """One-hot conditions: the probability of the target is in one of `count` bins."""
    two = torch.where(target == 1, bins, count - 1 - bins)
    places = two if classes == 2 else target * count + bins  # noqa: PLR2004 - as in `condition_count`
    return F.one_hot(places, condition_count(classes, count)).float()


@final
class ExaggeratorRecipe(GeneratorRecipe):
    """Generates each image with the class probability that is wanted of one classifier."""

    makes = Exaggerator
    reads = ("images", "probabilities")

    classes: Names = ()
    """Of the classifier; the training takes them from it."""
    bins: Annotated[int, Field(ge=2, le=100)] = 10
    """Equal parts of the probability of a class."""
    reconstruction: NonNegativeFloat = 100.0
    """Weight of the mean absolute differences from the image, in its own bin and back from another one."""
    classification: NonNegativeFloat = 1.0
    """Weight of the divergence between the wanted probability and the classifier's."""
    steps: Steps = 3000
    lr: Rate = 0.001
    batch_size: Batch = 32

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> ExaggeratorNet:
        check_sides(shape)
        if len(self.classes) < 2:  # noqa: PLR2004 - a class and another
            raise RatherError("CFG-SETTING", where="exaggerator.classes", why="a classifier has two at least")
        return ExaggeratorNet(self, shape, classifier)

    @override
    def figures(self, product: FrozenNet, test: Columns, classifier: Classifier | None = None) -> Mapping[str, Figure]:
        if classifier is None:
            return {}
        series = _series(product, test["images"][:200])  # ten pictures each
        sure = [classifier.probabilities(images.clamp(0, 1))[:, -1] for images in series]
        each = [rank_correlation(row, torch.arange(len(sure))) for row in torch.stack(sure, 1)]
        return {"rank_correlation": float(torch.stack(each).nan_to_num(0).mean())}

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        return [shown["images"], *_series(product, shown["images"])]


def _series(product: FrozenNet, x: Images) -> list[Images]:
    """Images generated in each bin of the last class."""
    assert isinstance(product, Exaggerator)  # noqa: S101 - `build` makes no other
    features, target = product.encode(x), torch.full((len(x),), len(product.classes) - 1)
    return [product.decode(features, target, torch.full_like(target, n)) for n in range(product.bins)]


@final
class ExaggeratorNet(GeneratorNet):
    """Encoder and decoder, critic."""

    def __init__(self, settings: ExaggeratorRecipe, shape: Shape, classifier: Classifier | None) -> None:
        super().__init__()
        self.settings, self.shape = settings, shape
        self._classifier = (classifier,)  # a tuple, so that it is neither trained nor saved
        width, count = settings.width, condition_count(len(settings.classes), settings.bins)
        self.encoder, self.decoder = Encoder(shape[0], width), Decoder(shape[0], width, count)
        self.critic = Critic(shape[0], width, count)

    @override
    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> ExaggeratorNet:
        for classifier in filter(None, self._classifier):  # it moves to the device of the nets
            classifier._apply(fn, recurse)  # noqa: SLF001 - torch's own way to move a part of a module
        super()._apply(fn, recurse)
        return self

    @override
    def phases(self) -> Mapping[str, Phase]:
        making = [*self.encoder.parameters(), *self.decoder.parameters()]
        return {
            "critic": Phase([*self.critic.parameters()], betas=(0.5, 0.999)),
            "exaggerator": Phase(making, betas=(0.5, 0.999)),
        }

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        x, probabilities = batch
        (_, classes), count = probabilities.shape, self.settings.bins
        target = torch.randint(classes, (len(x),), device=x.device)
        new = torch.randint(count, (len(x),), device=x.device)
        old = bin_of(probabilities.gather(1, target[:, None])[:, 0], count)
        own, wanted = (conditions(target, bins, classes, count) for bins in (old, new))
        features = self.encoder(x)
        generated = self.decoder(features, wanted)
        if phase == "critic":
            return critic_loss(self.critic(x, own), self.critic(generated.detach(), wanted))
        (classifier,) = self._classifier
        assert classifier is not None  # noqa: S101 - a training has one
        back = self.decoder(self.encoder(generated), own)
        both = torch.stack([self.decoder(features, own), back]).float()
        error = (both - x).abs().flatten(2).mean(2).sum(0)
        wrong = coin_divergence((new + 0.5) / count, classifier(generated).float(), target)
        loss: Tensor = self.settings.reconstruction * error + self.settings.classification * wrong
        total: Tensor = loss - self.critic(generated, wanted)
        return total

    @override
    def product(self, name: str) -> Exaggerator:
        known = self.settings.model_dump(include={"bins", "classes"})
        return Exaggerator(self.encoder, self.decoder, shape=self.shape, name=name, **known)
