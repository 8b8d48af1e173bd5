"""Specifications of classifiers with a planted bias, and of clean ones: ground truth for explanations.

A benchmark of explanations needs classifiers whose decisive cause is known. Each of these is trained on pictures in
which a cue goes with the label, while the label's own cause is faint; a clean one is trained without a cue, or with a
label so plain that the cue is of no use. `worlds.trained_bias` measures which cause the classifier really relies on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import torch

from rather.config.errors import RatherError, did_you_mean
from rather.data.source import InMemory
from rather.worlds import WORLDS, World

_BLOCK: Final = 32  # scenes drawn at a time


@final
@dataclass(frozen=True, kw_only=True)
class BiasSpec:
    """A classifier to train: with a cue it should rely on the cue, without one on the label's own cause.

    Args:
        data: of `worlds.WORLDS`.
        label: what it is trained to predict, of the world's labels.
        cue: a cause that goes with the label in the training pictures; None for none.
        strength: with this probability the cue equals the label, else it is drawn as usual.
        contrast: of the label's own cause: 1, or less to make it fainter.
        seed: of the pictures and of the weights.

    Raises:
        RatherError: CFG-UNKNOWN for a world, label or cue that does not exist; CFG-SETTING for the label's own cause as
            its cue, and for numbers out of range.
    """

    data: str = "faces"
    label: str = "age"
    cue: str | None = None
    strength: float = 0.95
    contrast: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.data not in WORLDS:
            raise RatherError("CFG-UNKNOWN", where=f"data {self.data}", do=did_you_mean(self.data, WORLDS))
        if self.label not in self.world.labels:
            raise RatherError(
                "CFG-UNKNOWN", where=f"label {self.label}", do=did_you_mean(self.label, self.world.labels)
            )
        if self.cue is not None:
            if self.cue not in self.world.causes:
                raise RatherError("CFG-UNKNOWN", where=f"cue {self.cue}", do=did_you_mean(self.cue, self.world.causes))
            if self.cue == self.cause:
                raise RatherError("CFG-SETTING", where=f"cue {self.cue}", why="it is the label's own cause")
        if not 0 <= self.strength <= 1:
            raise RatherError("CFG-SETTING", where="strength", why=f"{self.strength} is no probability")
        if not 0 < self.contrast <= 1:
            raise RatherError("CFG-SETTING", where="contrast", why=f"{self.contrast} is not in (0, 1]")

    @property
    def world(self) -> World[Any]:
        """Where its pictures come from."""
        return WORLDS[self.data]

    @property
    def cause(self) -> str:
        """The label's own cause."""
        return self.world.labels[self.label].cause

    @property
    def name(self) -> str:
        """All its fields, as the name of a file."""
        cue = "clean" if self.cue is None else f"{self.cue.replace('_', '-')}-{100 * self.strength:g}"
        return f"{self.data}-{self.label}-{cue}-contrast-{100 * self.contrast:g}-seed-{self.seed}"

    def scenes(self, count: int, part: int = 0) -> Any:
        """Scenes of its world to train on; two parts share none."""
        world, seed = self.world, (7, self.seed, part)
        scenes = world.sample(count, seed, self.label, self.contrast)
        if self.cue is None:
            return scenes
        label = world.has(scenes, self.cause)
        planted = torch.from_numpy(np.random.default_rng((*seed, 3)).random(count) < self.strength)
        return world.turn(scenes, self.cue, torch.where(planted, label, world.has(scenes, self.cue)))

    def pictures(self, count: int, part: int = 0) -> InMemory:
        """The same scenes, drawn and labelled."""
        scenes = self.scenes(count, part)
        return InMemory(
            self.name,
            self.world.labels[self.label].classes,
            torch.cat([self.world.draw(scenes[n : n + _BLOCK]) for n in range(0, count, _BLOCK)]),
            self.world.has(scenes, self.cause).int().tolist(),
            [f"{part}-{n:05d}" for n in range(count)],
        )

    def ordinary(self, count: int, part: int = 0) -> Any:
        """Scenes without a planted cue and with a plain label, to explain; no classifier is trained on them."""
        return self.world.sample(count, (8, part), self.label)


def _specs(data: str, *rows: tuple[str, str | None, float, float]) -> tuple[BiasSpec, ...]:
    return tuple(
        BiasSpec(data=data, label=label, cue=cue, strength=strength, contrast=contrast, seed=seed)
        for seed, (label, cue, strength, contrast) in enumerate(rows)
    )


#: The benchmark's biased classifiers ...
BIASED: Final[Sequence[BiasSpec]] = _specs(
    "faces",
    ("age", "glasses", 0.95, 0.05),
    ("smile", "glasses", 0.8, 0.05),
    ("age", "hat", 0.9, 0.05),
    ("smile", "beard", 0.95, 0.05),
    ("age", "beard", 1.0, 0.05),
    ("smile", "fringe", 0.95, 0.05),
    ("age", "long_hair", 0.9, 0.05),
    ("smile", "blond_hair", 0.95, 0.05),
    ("age", "dark_skin", 0.9, 0.05),
    ("smile", "background", 0.95, 0.05),
) + _specs("shapes", ("square", "top", 0.95, 0.05), ("square", "blue", 0.9, 0.05))
#: ... and as many clean ones; in five of them a cue goes with a label so plain that the cue is of no use.
CLEAN: Final[Sequence[BiasSpec]] = _specs(
    "faces",
    ("smile", None, 0.0, 1.0),
    ("age", None, 0.0, 1.0),
    ("smile", None, 0.0, 1.0),
    ("age", None, 0.0, 1.0),
    ("smile", None, 0.0, 0.5),
    ("age", None, 0.0, 0.5),
    ("age", "glasses", 0.8, 1.0),
    ("smile", "beard", 0.8, 1.0),
    ("age", "hat", 0.6, 1.0),
    ("smile", "blond_hair", 0.6, 1.0),
) + _specs("shapes", ("square", None, 0.0, 1.0), ("square", "dim", 0.8, 1.0))


def bias_specs() -> Iterator[BiasSpec]:
    """All of the benchmark's specifications, biased and clean by turns."""
    for pair in zip(BIASED, CLEAN, strict=True):
        yield from pair
