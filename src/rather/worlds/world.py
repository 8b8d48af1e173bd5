"""A world whose causes can be set one at a time: there it is known what moves a classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, Generic, NamedTuple, TypeVar, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.config.errors import RatherError, did_you_mean
from rather.core import Classifier, Images, Logits
from rather.worlds.faces import Effect
from rather.worlds.faces.effects import log_odds

S = TypeVar("S")
Amounts = Float[Tensor, " n"]  # of a cause, from 0 to 1; above a half it is there

HALF: Final = 0.5


class Label(NamedTuple):
    """A cause by which pictures are classified."""

    cause: str
    classes: tuple[str, str]  # without and with it


class World(ABC, Generic[S]):
    """Scenes of which every cause is known, can be set, and can be drawn.

    A scene's type S is the world's own: it has a length, and rows can be taken of it.
    """

    name: str
    causes: tuple[str, ...]
    labels: Mapping[str, Label]

    @abstractmethod
    def sample(self, count: int, seed: tuple[int, ...], label: str, contrast: float = 1.0) -> S:
        """Scenes at random, whose causes are independent of each other; scene n of a seed is always the same.

        Args:
            count: how many.
            seed: of all of them.
            label: of `labels`; its cause is the one that `contrast` is about.
            contrast: 1, or less for a cause that is harder to see.
        """

    @abstractmethod
    def amount(self, scenes: S, cause: str) -> Amounts:
        """How much of a cause each scene has."""

    @abstractmethod
    def give(self, scenes: S, cause: str, amount: Amounts) -> S:
        """The same scenes with that much of a cause, and all else as it was: an intervention."""

    @abstractmethod
    def draw(self, scenes: S) -> Images:
        """Their pictures, on the 8-bit grid."""

    @abstractmethod
    def read(self, images: Images) -> Float[Tensor, "n a"]:
        """How much of each cause pictures show, as one reads it who knows neither scene nor classifier."""

    @abstractmethod
    def effects(self, classifier: Classifier, scenes: S, target: int) -> dict[str, Effect]:
        """What setting each cause from 0 to 1 adds, in the order of `causes`; see `data.faces.effects`."""

    @final
    def has(self, scenes: S, cause: str) -> Bool[Tensor, " n"]:
        """Which scenes have a cause."""
        return self.amount(scenes, cause) > HALF

    @final
    def turn(self, scenes: S, cause: str, on: Bool[Tensor, " n"]) -> S:
        """The same scenes with a cause, or without it: where that is not so, its amount is mirrored.

        From any one scene to its mirrored one is the smallest change of this cause that is as plain on the
        other side.
        """
        amount = self.amount(scenes, cause)
        return self.give(scenes, cause, torch.where((amount > HALF) == on, amount, 1 - amount))

    @final
    def known(self, cause: str, where: str) -> str:
        """The cause, if this world has it.

        Raises:
            RatherError: CFG-UNKNOWN.
        """
        if cause not in self.causes:
            raise RatherError("CFG-UNKNOWN", where=f"{where} {cause}", do=did_you_mean(cause, self.causes))
        return cause


def switched(world: World[S], classifier: Classifier, scenes: S, cause: str, target: int) -> Effect:
    """What setting one cause from 0 to 1 adds to the log-odds and to the probability of a class."""
    amount = world.amount(scenes, cause)
    off, on = (
        log_odds(_logits(classifier, world.draw(world.give(scenes, cause, torch.full_like(amount, to)))), target)
        for to in (0.0, 1.0)
    )
    return Effect(on - off, on.sigmoid() - off.sigmoid())


@torch.no_grad()
def _logits(classifier: Classifier, images: Images, block: int = 64) -> Logits:
    return torch.cat([classifier(part) for part in images.split(block)])
