"""Drawn faces as a data set: pictures are drawn when they are read, and kept in a cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, final

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from typing_extensions import override

from rather.config.errors import RatherError, did_you_mean
from rather.core import Classifier, Images
from rather.data.source import Dataset
from rather.worlds.drawn import DrawnSource, Part
from rather.worlds.faces import cache
from rather.worlds.faces.attributes import ATTRIBUTES, GRADED, HAIR_COLOURS, REGIONS
from rather.worlds.faces.cache import Drawn
from rather.worlds.faces.drawing import draw
from rather.worlds.faces.sample import RULES, Faces, Population, sample

SIDE: Final = 64
BLOCK: Final = 32  # faces that are drawn when one of them is read
WORTH_KEEPING: Final = 1_000  # of fewer faces, drawing takes seconds

#: The population that each variant trains on.
VARIANTS: Final[Mapping[str, Population]] = MappingProxyType(
    {
        "smile": Population(RULES["smile"]),
        "age": Population(RULES["age"]),
        # Small convolutional nets still relied on age with a contrast of 0.2, and on both with 0.1.
        "age-glasses": Population(RULES["age"], {"glasses": 0.95, "hat": 0.7}, contrast=0.05),
        "smile-xor-hat": Population(RULES["smile-xor-hat"]),
        "others": Population(RULES["smile"]),
    }
)


def load(variant: str = "smile", seed: int = 0) -> Dataset:
    """10,000 faces for training and references, 2,000 to explain; (3, 64, 64).

    Attributes are planted in the training part only: the faces to explain are ordinary ones with full contrast.

    Args:
        variant: of `VARIANTS`: a rule's name; `age-glasses`, where age is faint and glasses and hats go with it; or
            `others`, smiling and not smiling faces of the next seed, to train nets that judge.
        seed: two seeds of one variant share no face.

    Raises:
        RatherError: DATA-NOT-FOUND.
    """
    if variant not in VARIANTS:
        names = ["faces", *(f"faces/{name}" for name in VARIANTS)]
        raise RatherError("DATA-NOT-FOUND", where=f"faces/{variant}", do=did_you_mean(f"faces/{variant}", names))
    population, seed = VARIANTS[variant], seed + (variant == "others")
    name = "faces" if variant == "smile" else f"faces/{variant}"
    return Dataset(
        name,
        test=DrawnFaces(name, "test", 2_000, seed=seed, population=Population(population.rule)),
        train=DrawnFaces(name, "train", 10_000, seed=seed, population=population),
    )


@final
class DrawnFaces(DrawnSource):
    """Faces of a population; face n of a seed is always the same, and its pixels lie on the 8-bit grid.

    Args:
        name: of the data set.
        part: two parts of one seed share nothing.
        count: how many faces.
        seed: of the faces.
        population: of the faces; its rule labels them.
        side: of the pictures, in pixels.
    """

    attributes = tuple(ATTRIBUTES)
    regions = REGIONS
    #: A hair colour is none: to take it away is to give another, so that there is no one truth.
    causes = tuple(name for name in ATTRIBUTES if name not in HAIR_COLOURS)

    def __init__(
        self, name: str, part: Part, count: int, *, seed: int, population: Population, side: int = SIDE
    ) -> None:
        self.side, self._seed, self._population = side, seed, population
        self.classes = population.rule.classes
        self.faces: Faces = sample(count, (seed, int(part == "test")), population)
        super().__init__(name, part, population.rule.label(self.faces.attributes).int().tolist())
        self._key = f"{part} {count} {seed} {side} {population.rule.name} {population.contrast} " + repr(
            sorted(population.planted.items())
        )
        self._blocks: dict[int, Drawn] = {}
        self._all: Drawn | None = None
        self._twins: DrawnFaces | None = None

    @override
    def read(self, index: int) -> Float[Tensor, "c h w"]:
        images, _, row = self._drawn(index)
        return images[row].float() / 255

    @override
    def attribute_values(self, index: int) -> Float[Tensor, " a"]:
        return self.faces.attributes[index]

    @override
    def layout(self, index: int) -> UInt8[Tensor, "h w"]:
        _, layouts, row = self._drawn(index)
        return layouts[row]

    @property
    @override
    def twins(self) -> DrawnFaces:
        """The same faces with one thing changed in each; with labels that go with that.

        What a face has or has not is turned; graded attributes and hair colours are those of the face before.
        """
        if self._twins is None:
            twins = DrawnFaces(
                self.name, self.part, len(self), seed=self._seed, population=self._population, side=self.side
            )
            own, other = self.faces.attributes, self.faces.attributes.roll(1, 0)
            graded = torch.tensor([name in GRADED for name in ATTRIBUTES])
            colour = torch.tensor([name in HAIR_COLOURS for name in ATTRIBUTES])
            things = torch.cumsum(~colour, 0).masked_fill(colour, 0)  # a hair colour is one thing
            random = np.random.default_rng((self._seed, int(self.part == "test"), len(own)))
            changed = things == torch.from_numpy(random.integers(0, int(things.max()) + 1, len(own)))[:, None]
            new = torch.where(graded | colour, other, 1 - own)
            twins.faces = replace(self.faces, attributes=torch.where(changed, new, own))
            twins._labels = self._population.rule.label(twins.faces.attributes).int().tolist()
            twins._key += " twins of one change"
            self._twins = twins
        return self._twins

    @override
    def true_effects(self, classifier: Classifier, count: int) -> dict[str, float]:
        from rather.worlds import WORLDS  # it imports the faces

        found = WORLDS["faces"].effects(classifier, self.faces[:count], 1)
        return {name: float(found[name].log_odds.mean()) for name in ATTRIBUTES}

    @override
    def true_counterfactuals(self, indices: list[int], cause: str, more: Bool[Tensor, " b"]) -> Images:
        from rather.worlds import WORLDS  # it imports the faces

        world = WORLDS["faces"]
        return world.draw(world.turn(self.faces[indices], cause, more))

    def everything(self) -> Drawn:
        """All pictures and layouts at once: from the cache on disk, or drawn and kept there."""
        if self._all is None:
            self._all = self._cached()
        if self._all is None:
            self._all = self._draw(0, len(self))
            if len(self) >= WORTH_KEEPING:
                cache.save(*self._kept_as, self._all)
        self._blocks.clear()
        return self._all

    @property
    def _kept_as(self) -> tuple[str, str]:
        return f"{self.name.replace('/', '-')}-{self.part}", self._key

    def _cached(self) -> Drawn | None:
        return cache.load(*self._kept_as, len(self), self.side) if len(self) >= WORTH_KEEPING else None

    def _drawn(self, index: int) -> tuple[UInt8[Tensor, "n 3 h w"], UInt8[Tensor, "n h w"], int]:
        """Pictures and layouts with the face among them, and its row."""
        if self._all is None and not self._blocks:
            self._all = self._cached()  # reading it is faster than drawing one block
        if len(self._blocks) * BLOCK >= WORTH_KEEPING:  # most of the set is being read
            self.everything()
        if self._all is not None:
            return *self._all, index
        block, row = divmod(range(len(self))[index], BLOCK)
        if block not in self._blocks:
            self._blocks[block] = self._draw(block * BLOCK, min((block + 1) * BLOCK, len(self)))
        return *self._blocks[block], row

    def _draw(self, start: int, stop: int) -> Drawn:
        """Faces in 8 bits, a few at a time, since as floats all of them would fill the memory."""
        images = torch.empty(stop - start, 3, self.side, self.side, dtype=torch.uint8)
        layouts = torch.empty(stop - start, self.side, self.side, dtype=torch.uint8)
        with torch.no_grad():
            for first in range(0, stop - start, BLOCK):
                rows = slice(first, min(first + BLOCK, stop - start))
                pictures, layouts[rows] = draw(self.faces[start + rows.start : start + rows.stop], self.side)
                images[rows] = (pictures * 255).round().byte()
        return images, layouts
