"""The drawn faces as a world."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators.oracle import Oracle
from rather.hub.generators import load_generator
from rather.worlds import faces
from rather.worlds.faces import ATTRIBUTES, HAIR_COLOURS, NUISANCES, RULES, Faces, Population
from rather.worlds.world import HALF, Amounts, Effect, Label, World, outcome

_CORNER: Final = 6  # pixels


@final
class FaceWorld(World[Faces]):
    """The drawn faces, (3, 64, 64). Causes: their twelve attributes, and the light behind them in the upper part."""

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
            return replace(scenes, nuisances={**scenes.nuisances, "above": low + amount.clamp(0, 1) * (high - low)})
        if cause not in HAIR_COLOURS:
            return faces.set_attributes(scenes, {cause: amount})
        k, now = HAIR_COLOURS.index(cause), torch.stack([scenes.attribute(name) for name in HAIR_COLOURS], 1).argmax(1)
        other = torch.where(now == k, (k + 1) % len(HAIR_COLOURS), now)
        colour = torch.where(amount > HALF, k, other)
        return faces.set_attributes(scenes, {name: (colour == n).float() for n, name in enumerate(HAIR_COLOURS)})

    @override
    @torch.no_grad()
    def draw(self, scenes: Faces) -> Images:
        return (faces.draw(scenes)[0] * 255).round() / 255

    @override
    def read(self, images: Images) -> Float[Tensor, "n a"]:
        """By the bundled oracle of attributes; the background by the light of the upper corners."""
        corners = torch.cat([images[..., :_CORNER, :_CORNER], images[..., :_CORNER, -_CORNER:]], 3)
        low, high, _ = NUISANCES["above"]
        light = (corners.flatten(1).mean(1, keepdim=True) - low) / (high - low)
        return torch.cat([_oracle().values(images), light], 1)

    @override
    def effects(self, classifier: Classifier, scenes: Faces, target: int) -> dict[str, Effect]:
        """A hair colour cannot be taken away without giving another.

        Its effect is that of giving it, minus the mean effect of giving one of the other three.
        """
        found = {
            name: self.effect(classifier, scenes, name, target) for name in self.causes if name not in HAIR_COLOURS
        }
        given = [faces.set_attributes(scenes, {name: 1}) for name in HAIR_COLOURS]
        coloured = torch.stack([outcome(classifier, self.draw, some, target) for some in given])
        for n, name in enumerate(HAIR_COLOURS):
            others = coloured[[k for k in range(len(HAIR_COLOURS)) if k != n]]
            found[name] = Effect(*(coloured[n] - others.mean(0)))
        return {cause: found[cause] for cause in self.causes}


@cache
def _oracle() -> Oracle:
    oracle = load_generator("faces-oracle")
    assert isinstance(oracle, Oracle)  # noqa: S101 - the package's own
    assert oracle.attributes == tuple(ATTRIBUTES)  # noqa: S101
    return oracle
