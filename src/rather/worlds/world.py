"""A synthetic world: every cause of a picture is known and can be set on its own, so its true effect is known too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sized
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, final, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Classifier, Images, Logits

Amounts = Float[Tensor, " n"]  # of a cause, from 0 to 1; above a half the cause is present
HALF: Final = 0.5
_BLOCK: Final = 32  # scenes drawn at a time: all pictures at once could fill the memory


@runtime_checkable  # the shapes in the types are checked at run time by the tests
class Scenes(Sized, Protocol):
    """A world's own kind of scenes: they have a length, and some of them can be taken."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Some of the scenes."""


S = TypeVar("S", bound=Scenes)


class Label(NamedTuple):
    """A cause by which pictures are classified."""

    cause: str
    classes: tuple[str, str]  # without and with it


class Effect(NamedTuple):
    """What setting a cause from 0 to 1 adds for each scene; the effect of the cause is the mean."""

    log_odds: Float[Tensor, " n"]  # log p(target) / (1 - p(target))
    probability: Float[Tensor, " n"]  # p(target)


class World(ABC, Generic[S]):
    """Scenes whose every cause is known, can be set, and can be drawn."""

    name: str
    causes: tuple[str, ...]
    labels: Mapping[str, Label]

    @abstractmethod
    def sample(self, count: int, seed: tuple[int, ...], label: str, contrast: float = 1.0) -> S:
        """Random scenes, whose causes are independent of each other; scene n of a seed is always the same.

        Args:
            count: number of scenes.
            seed: of all of them.
            label: of `labels`; its cause is the one that `contrast` is about.
            contrast: 1, or less for a cause that is harder to see.
        """

    @abstractmethod
    def amount(self, scenes: S, cause: str) -> Amounts:
        """How much of a cause each scene has."""

    @abstractmethod
    def give(self, scenes: S, cause: str, amount: Amounts) -> S:
        """The same scenes with this amount of a cause and all else unchanged: an intervention."""

    @abstractmethod
    def draw(self, scenes: S) -> Images:
        """Their pictures, on the 8-bit grid."""

    @abstractmethod
    def read(self, images: Images) -> Float[Tensor, "n a"]:
        """How much of each cause the pictures show, read without scene or classifier."""

    def effects(self, classifier: Classifier, scenes: S, target: int) -> dict[str, Effect]:
        """The interventional effect of each cause on a class, in the order of `causes`.

        Each scene is drawn with the cause at 0 and at 1 and everything else unchanged; the effect is the difference of
        the classifier's outputs.

        Args:
            classifier: of this world's pictures.
            scenes: whose causes are set.
            target: the class whose log-odds and probability are taken.

        Raises:
            RatherError: DATA-EMPTY for no scenes.
        """
        return {cause: self.effect(classifier, scenes, cause, target) for cause in self.causes}

    @final
    def effect(self, classifier: Classifier, scenes: S, cause: str, target: int) -> Effect:
        """What setting one cause from 0 to 1 adds to the log-odds and to the probability of a class."""
        amount = self.amount(scenes, cause)
        off, on = (
            outcome(classifier, self.draw, self.give(scenes, cause, torch.full_like(amount, to)), target)
            for to in (0.0, 1.0)
        )
        return Effect(*(on - off))

    @final
    def has(self, scenes: S, cause: str) -> Bool[Tensor, " n"]:
        """Which scenes have a cause."""
        return self.amount(scenes, cause) > HALF

    @final
    def turn(self, scenes: S, cause: str, on: Bool[Tensor, " n"]) -> S:
        """The same scenes with a cause present or absent; where that changes, its amount a becomes 1 - a.

        The mirrored amount is the smallest change after which the cause is as plain on the other side.
        """
        amount = self.amount(scenes, cause)
        return self.give(scenes, cause, torch.where((amount > HALF) == on, amount, 1 - amount))


@torch.no_grad()
def outcome(classifier: Classifier, draw: Callable[[S], Images], scenes: S, target: int) -> Float[Tensor, "2 n"]:
    """Log-odds and probability of a class for each scene, in 64 bits."""
    if not len(scenes):
        raise RatherError("DATA-EMPTY", where="no scenes", do="Give one at least")
    device = classifier.get_buffer("mean").device
    blocks = (scenes[start : start + _BLOCK] for start in range(0, len(scenes), _BLOCK))
    odds = log_odds(torch.cat([classifier(draw(block).to(device)).cpu() for block in blocks]), target)
    return torch.stack([odds, odds.sigmoid()])


def log_odds(logits: Logits, target: int) -> Float[Tensor, " n"]:
    """Log of p(target) / (1 - p(target)), in 64 bits."""
    logits = logits.double()
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], 1)
    return logits[:, target] - others.logsumexp(1)
