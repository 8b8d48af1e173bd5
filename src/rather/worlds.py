"""Worlds whose causes can be set one at a time: there it is known what moves a classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, TypeVar, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from typing_extensions import override

from rather.core import Classifier, Images
from rather.data import faces
from rather.data.faces import ATTRIBUTES, HAIR_COLOURS, NUISANCES, RULES, Effect, Faces, Population
from rather.errors import RatherError
from rather.generators import bring_generator
from rather.oracle import Oracle
from rather.suggest import near

S = TypeVar("S")
Amounts = Float[Tensor, " n"]  # of a cause, from 0 to 1; above a half it is there

_HALF: Final = 0.5
_CORNER: Final = 6  # pixels


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
        return self.amount(scenes, cause) > _HALF

    @final
    def turn(self, scenes: S, cause: str, on: Bool[Tensor, " n"]) -> S:
        """The same scenes with a cause, or without it: where that is not so, its amount is mirrored.

        From any one scene to its mirrored one is the smallest change of this cause that is as plain on the
        other side.
        """
        amount = self.amount(scenes, cause)
        return self.give(scenes, cause, torch.where((amount > _HALF) == on, amount, 1 - amount))

    @final
    def known(self, cause: str, where: str) -> str:
        """The cause, if this world has it.

        Raises:
            RatherError: CFG-UNKNOWN.
        """
        if cause not in self.causes:
            raise RatherError("CFG-UNKNOWN", where=f"{where} {cause}", do=near(cause, self.causes))
        return cause


@final
class FaceWorld(World[Faces]):
    """The drawn faces, (3, 64, 64): their twelve attributes, and how light it is behind them above."""

    name = "faces"
    causes = (*ATTRIBUTES, "background")
    labels = MappingProxyType({name: Label(name, RULES[name].classes) for name in ("smile", "age")})

    @override
    def sample(self, count: int, seed: tuple[int, ...], label: str, contrast: float = 1.0) -> Faces:
        return faces.sample(count, seed, Population(RULES[label], contrast=contrast))

    @override
    def amount(self, scenes: Faces, cause: str) -> Amounts:
        if cause == "background":
            low, high, _ = NUISANCES["above"]
            return (scenes.nuisances["above"] - low) / (high - low)
        return scenes.attribute(cause)

    @override
    def give(self, scenes: Faces, cause: str, amount: Amounts) -> Faces:
        """A face whose hair colour is taken away gets the one that follows in HAIR_COLOURS."""
        if cause == "background":
            low, high, _ = NUISANCES["above"]
            return replace(
                scenes, nuisances={**scenes.nuisances, "above": low + amount.clamp(0, 1) * (high - low)}
            )
        if cause not in HAIR_COLOURS:
            return faces.set(scenes, **{cause: amount})
        mine, count = HAIR_COLOURS.index(cause), len(HAIR_COLOURS)
        now = torch.stack([scenes.attribute(name) for name in HAIR_COLOURS], 1).argmax(1)
        other = torch.where(now == mine, (mine + 1) % count, now)
        colour = torch.where(amount > _HALF, mine, other)
        return faces.set(scenes, **{name: (colour == k).float() for k, name in enumerate(HAIR_COLOURS)})

    @override
    @torch.no_grad()
    def draw(self, scenes: Faces) -> Images:
        return (faces.draw(scenes)[0] * 255).round() / 255

    @override
    def read(self, images: Images) -> Float[Tensor, "n a"]:
        """By the bundled oracle of attributes; the background by how light the upper corners are."""
        corners = torch.cat([images[..., :_CORNER, :_CORNER], images[..., :_CORNER, -_CORNER:]], 3)
        low, high, _ = NUISANCES["above"]
        light = (corners.flatten(1).mean(1, keepdim=True) - low) / (high - low)
        return torch.cat([_oracle().values(images), light], 1)

    @override
    def effects(self, classifier: Classifier, scenes: Faces, target: int) -> dict[str, Effect]:
        return faces.effects(classifier, scenes, target) | {
            "background": switched(self, classifier, scenes, "background", target)
        }


@cache
def _oracle() -> Oracle:
    oracle = bring_generator("faces-oracle")
    assert isinstance(oracle, Oracle)  # noqa: S101 - the package's own
    assert oracle.attributes == tuple(ATTRIBUTES)  # noqa: S101
    return oracle


def switched(world: World[S], classifier: Classifier, scenes: S, cause: str, target: int) -> Effect:
    """What setting one cause from 0 to 1 adds to the log-odds and to the probability of a class."""
    amount = world.amount(scenes, cause)
    off, on = (
        log_odds(classifier, world.draw(world.give(scenes, cause, torch.full_like(amount, to))), target)
        for to in (0.0, 1.0)
    )
    return Effect(on - off, on.sigmoid() - off.sigmoid())


@torch.no_grad()
def log_odds(classifier: Classifier, images: Images, target: int, block: int = 64) -> Float[Tensor, " n"]:
    """Log of p(target) / (1 - p(target)) of pictures, in 64 bits."""
    logits = torch.cat([classifier(part) for part in images.split(block)]).double()
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], 1)
    return logits[:, target] - others.logsumexp(1)


#: By name.
WORLDS: Final[Mapping[str, World[Any]]] = MappingProxyType({world.name: world for world in (FaceWorld(),)})
