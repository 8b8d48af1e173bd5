"""Progressive exaggeration's generator: Singla, Pollack, Chen and Batmanghelich (2020), one for a classifier.

    G: min  100 (|G(x, c(x)) - x|_1 + |G(G(x, c), c(x)) - x|_1) + KL(c || f(G(x, c))) - D(G(x, c), c)
    D: min  max(0, 1 - D(x, c(x))) + max(0, 1 + D(G(x, c), c))

S. Singla, B. Pollack, J. Chen, K. Batmanghelich, "Explanation by progressive exaggeration", ICLR 2020: c(x)
is the bin of the classifier's probability f(x), c any bin. Ours: of more than two classes a condition is a
class and a bin of its probability; the bin joins the decoder's maps, where the paper has a conditional batch
norm; a bin asks for the probability in its middle; batches are drawn evenly from the pictures, where the
paper resamples each bin to 5,000 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, final

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images
from rather.generators._conditional import Critic, Decoder, Encoder, coin_divergence, critic_loss
from rather.generators._frozen_exaggerator import Exaggerator as Product
from rather.generators._frozen_exaggerator import bin_of, condition_count, conditions
from rather.generators._layers import refuse_sides
from rather.generators.frozen import FrozenNet
from rather.generators.training import Column, Columns, Figure, Generator, GeneratorNet, Names, Phase, Shape
from rather.stats import rank_correlation


@final
class Exaggerator(Generator):
    """Makes images anew of which a classifier is as sure as asked; it is trained for that classifier."""

    reads: ClassVar[tuple[Column, ...]] = ("images", "probabilities")

    classes: Names = ()
    """Of the classifier; the training takes them from it."""
    bins: Annotated[int, Field(ge=2, le=100)] = 10
    """Equal parts of the probability of a class."""
    reconstruction: NonNegativeFloat = 100.0
    """Weight of the mean absolute differences from the image, of its own bin and back from another one."""
    classification: NonNegativeFloat = 1.0
    """Weight of the classifier's probability that is asked for."""
    steps: PositiveInt = 3000
    """Training steps."""
    lr: PositiveFloat = 0.001
    """Adam's learning rate at the start; it falls linearly to zero."""
    batch_size: PositiveInt = 32
    """Images a step, in each process."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> ExaggeratorNet:
        refuse_sides(shape)
        if len(self.classes) < 2:  # noqa: PLR2004 - rather this than that: two
            raise RatherError("CFG-SETTING", where="exaggerator.classes", why="a classifier has two at least")
        return ExaggeratorNet(self, shape, classifier)

    @override
    def figures(self, product: FrozenNet, test: Columns, judge: Classifier | None = None) -> Mapping[str, Figure]:
        if judge is None:
            return {}
        series = _series(product, test["images"][:200])  # a series is ten pictures
        sure = [judge.probabilities(images.clamp(0, 1))[:, -1] for images in series]
        each = [rank_correlation(row, torch.arange(len(sure))) for row in torch.stack(sure, 1)]
        return {"rank_correlation": float(torch.stack(each).nan_to_num(0).mean())}

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        return [shown["images"], *_series(product, shown["images"])]


def _series(product: FrozenNet, x: Images) -> list[Images]:
    """Images made anew in each bin of the last class."""
    assert isinstance(product, Product)  # noqa: S101 - `build` makes no other
    features, target = product.encode(x), torch.full((len(x),), len(product.classes) - 1)
    return [product.decode(features, target, torch.full_like(target, n)) for n in range(product.bins)]


@final
class ExaggeratorNet(GeneratorNet):
    """Encoder and decoder, critic."""

    def __init__(self, settings: Exaggerator, shape: Shape, classifier: Classifier | None) -> None:
        super().__init__()
        self.settings, self.shape = settings, shape
        self._classifier = (classifier,)  # a tuple, so that it is neither trained nor saved
        width, count = settings.width, condition_count(len(settings.classes), settings.bins)
        self.encoder, self.decoder = Encoder(shape[0], width), Decoder(shape[0], width, count)
        self.critic = Critic(shape[0], width, count)

    @override
    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> ExaggeratorNet:
        for classifier in filter(None, self._classifier):  # it goes where the nets go
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
        asked = torch.randint(count, (len(x),), device=x.device)
        here = bin_of(probabilities.gather(1, target[:, None])[:, 0], count)
        own, wanted = (conditions(target, bins, classes, count) for bins in (here, asked))
        features = self.encoder(x)
        made = self.decoder(features, wanted)
        if phase == "critic":
            return critic_loss(self.critic(x, own), self.critic(made.detach(), wanted))
        (classifier,) = self._classifier
        assert classifier is not None  # noqa: S101 - a training has one
        back = self.decoder(self.encoder(made), own)
        both = torch.stack([self.decoder(features, own), back]).float()
        error = (both - x).abs().flatten(2).mean(2).sum(0)
        wrong = coin_divergence((asked + 0.5) / count, classifier(made).float(), target)
        loss: Tensor = self.settings.reconstruction * error + self.settings.classification * wrong
        whole: Tensor = loss - self.critic(made, wanted)
        return whole

    @override
    def product(self, name: str) -> Product:
        known = self.settings.model_dump(include={"bins", "classes"})
        return Product(self.encoder, self.decoder, shape=self.shape, name=name, **known)
