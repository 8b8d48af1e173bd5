"""Classifiers with a planted cause, and clean ones, whose true effects are measured: truth for explanations.

A benchmark of explanations needs classifiers of which it is known what they go by. Each of these is trained
on pictures in which a cue goes with the label, while the label's own cause is faint; or, clean, on pictures
without such a cue, or with a label so plain that a cue is of no use. What it goes by is not taken from the
recipe but measured: by setting one cause at a time, and asking the classifier again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.classifiers import nets
from rather.classifiers.file import load_classifier, save_classifier
from rather.core import Classifier, Images
from rather.data.faces import Effect
from rather.data.source import InMemory
from rather.errors import RatherError
from rather.suggest import near
from rather.train import Recipe, train_classifier
from rather.worlds import WORLDS, World
from rather.writing import write_whole, writing

ASKED: Final = 40  # scenes whose causes are set, to measure effects


class Training(NamedTuple):
    """How a world's classifiers are trained."""

    pictures: int
    recipe: Recipe


#: Of the nets for pictures of this size the one that learns in seconds; drawing takes longer. Shapes keep to
#: their cells, which is what this net sees: moved by a pixel they teach it nothing.
TRAININGS: Final[Mapping[str, Training]] = MappingProxyType(
    {
        "faces": Training(1_000, Recipe(architecture="patches", epochs=10, shift=1)),
        "shapes": Training(2_000, Recipe(architecture="patches", epochs=8, shift=0)),
    }
)

_BLOCK: Final = 32  # scenes drawn at a time


@final
@dataclass(frozen=True, kw_only=True)
class Planted:
    """A recipe of a classifier; with a cue it is meant to go by that, else by the label's own cause.

    Args:
        data: of `worlds.WORLDS`.
        label: what it is trained to tell, of the world's labels.
        cue: a cause that goes with the label in the pictures to train on; None for none.
        strength: with this probability the cue is what the label is, else as it comes.
        contrast: of the label's own cause: 1, or less to make it fainter.
        seed: of the pictures and of the weights.

    Raises:
        RatherError: CFG-UNKNOWN for a world, label or cue that does not exist; CFG-SETTING for the label's
            own cause as its cue, and for numbers out of range.
    """

    data: str = "faces"
    label: str = "age"
    cue: str | None = None
    strength: float = 0.95
    contrast: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.data not in WORLDS:
            raise RatherError("CFG-UNKNOWN", where=f"data {self.data}", do=near(self.data, WORLDS))
        if self.label not in self.world.labels:
            names = self.world.labels
            raise RatherError("CFG-UNKNOWN", where=f"label {self.label}", do=near(self.label, names))
        if self.cue is not None and self.world.known(self.cue, "cue") == self.cause:
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
        """All that it is made of, fit to be the name of a file."""
        cue = "clean" if self.cue is None else f"{self.cue.replace('_', '-')}-{100 * self.strength:g}"
        return f"{self.data}-{self.label}-{cue}-contrast-{100 * self.contrast:g}-seed-{self.seed}"

    def scenes(self, count: int, part: int = 0) -> Any:
        """Scenes of its world as they are trained on; two parts share none."""
        world, seed = self.world, (7, self.seed, part)
        scenes = world.sample(count, seed, self.label, self.contrast)
        if self.cue is None:
            return scenes
        label = world.has(scenes, self.cause)
        planted = torch.from_numpy(np.random.default_rng((*seed, 3)).random(count) < self.strength)
        return world.turn(scenes, self.cue, torch.where(planted, label, world.has(scenes, self.cue)))

    def pictures(self, count: int, part: int = 0) -> InMemory:
        """The same, drawn and labelled."""
        scenes = self.scenes(count, part)
        return InMemory(
            self.name,
            self.world.labels[self.label].classes,
            torch.cat([self.world.draw(scenes[n : n + _BLOCK]) for n in range(0, count, _BLOCK)]),
            self.world.has(scenes, self.cause).int().tolist(),
            [f"{part}-{n:05d}" for n in range(count)],
        )

    def ordinary(self, count: int, part: int = 0) -> Any:
        """Scenes where nothing is planted and the label is plain, to ask about: nobody is trained on them."""
        return self.world.sample(count, (8, part), self.label)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Known:
    """A trained classifier, and what it truly goes by."""

    recipe: Planted
    classifier: Classifier
    right: float  # share of pictures like those it was trained on, but new
    effects: dict[str, Effect]  # of each cause on the second class, on ordinary scenes

    @property
    def sizes(self) -> Float[Tensor, " a"]:
        """The mean effect of each cause on the log-odds of the second class."""
        return torch.stack([effect.log_odds.mean() for effect in self.effects.values()])

    @property
    def follows(self) -> str:
        """The cause with the largest effect."""
        return [*self.effects][int(self.sizes.abs().argmax())]

    @property
    def dominance(self) -> float:
        """How many times larger that effect is than the next."""
        first, second = self.sizes.abs().topk(2).values.tolist()
        return first / second if second else float("inf")

    @property
    def biased(self) -> bool:
        """It goes by the planted cue."""
        return self.recipe.cue == self.follows

    @property
    def clean(self) -> bool:
        """It goes by the label's own cause."""
        return self.recipe.cause == self.follows

    def truth(self, scenes: Any, target: Bool[Tensor, " n"]) -> Images:
        """The true counterfactuals: each scene with nothing changed but the cause that is followed.

        Args:
            scenes: of the recipe's world.
            target: of each whether the second class is wanted, rather than the first.
        """
        raises = bool(self.sizes[[*self.effects].index(self.follows)] > 0)
        world = self.recipe.world
        return world.draw(world.turn(scenes, self.follows, target == raises))


def make(
    recipe: Planted,
    folder: str | os.PathLike[str],
    *,
    count: int | None = None,
    asked: int = ASKED,
    training: Recipe | None = None,
) -> Known:
    """Train a classifier and measure it, or read it if the folder has it, made in the same way.

    Two files are written: NAME.safetensors, which `rather.bring` and every command take, and NAME.json. One
    that was made of other pictures, scenes or training is made anew, and replaced.

    Args:
        recipe: what to make.
        folder: where it is kept.
        count: pictures to train on; None for what `TRAININGS` says.
        asked: ordinary scenes whose causes are set one at a time.
        training: how, None for the same; its seed is the recipe's.

    Raises:
        RatherError: what `train_classifier` and `save_classifier` raise.
    """
    folder = Path(folder)
    card, file = (folder / f"{recipe.name}.{end}" for end in ("json", "safetensors"))
    usual = TRAININGS[recipe.data]
    count = usual.pictures if count is None else count
    training = (training or usual.recipe).model_copy(update={"seed": recipe.seed})
    made = {"count": count, "asked": asked, "training": training.model_dump(mode="json")}
    if card.exists() and file.exists() and _made(card, recipe) == made:
        return read(card)
    train, test = recipe.pictures(count), recipe.pictures(max(count // 10, 20), part=1)
    classifier, figures = train_classifier(train, test, training, name=recipe.name)
    effects = recipe.world.effects(classifier, recipe.ordinary(asked, part=1), 1)
    told = {
        "recipe": asdict(recipe),
        "made": made,
        "right": figures.accuracy,
        "effects": {
            name: {
                kind: [round(one, 5) for one in values.tolist()] for kind, values in effect._asdict().items()
            }
            for name, effect in effects.items()
        },
    }
    with writing(folder):
        card.unlink(missing_ok=True)  # or a net that is made anew would have, for a moment, the old one's
        save_classifier(
            file,
            classifier,
            architecture=training.architecture or nets.suited(classifier.shape),
            card={"recipe": asdict(recipe), **figures.card()},
        )
        write_whole(card, json.dumps(told).encode())
    return read(card)


def _made(card: Path, recipe: Planted) -> dict[str, Any]:
    """How it was made; cards that do not say so are of the time when there was only the usual way."""
    usual = TRAININGS[recipe.data]
    training = usual.recipe.model_copy(update={"seed": recipe.seed})
    made = {"count": usual.pictures, "asked": ASKED, "training": training.model_dump(mode="json")}
    told = _told(card).get("made", {})
    return made | told if isinstance(told, dict) else {}


def _told(card: Path) -> dict[str, Any]:
    try:
        told = json.loads(card.read_text("utf-8"))
    except ValueError as error:
        raise RatherError("MODEL-FILE-DAMAGED", where=card, why=str(error)) from None
    if not isinstance(told, dict):
        raise RatherError("MODEL-FILE-DAMAGED", where=card, why="no JSON object")
    return told


def read(card: str | os.PathLike[str]) -> Known:
    """The classifier of a JSON file that `make` has written, with the file beside it.

    Raises:
        RatherError: what `load_classifier` raises, and MODEL-FILE-DAMAGED for another JSON.
    """
    card = Path(card)
    told = _told(card)
    try:
        recipe = Planted(**told["recipe"])
        effects = {
            name: Effect(*(torch.tensor(values[kind]).double() for kind in Effect._fields))
            for name, values in told["effects"].items()
        }
        right = float(told["right"])
    except (ValueError, KeyError, TypeError) as error:
        raise RatherError("MODEL-FILE-DAMAGED", where=str(card), why=str(error)) from None
    classifier = load_classifier(card.with_suffix(".safetensors"))
    return Known(recipe=recipe, classifier=classifier, right=right, effects=effects)


def load(folder: str | os.PathLike[str]) -> list[Known]:
    """All classifiers of a folder that `make` has written, by name; other files there are left alone.

    Raises:
        RatherError: DATA-NOT-FOUND if there is no such folder, or what `read` raises.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RatherError("DATA-NOT-FOUND", where=folder, do="`planted.make` writes classifiers into one")
    return [
        read(card) for card in sorted(folder.glob("*.json")) if card.with_suffix(".safetensors").is_file()
    ]


def _recipes(data: str, *rows: tuple[str, str | None, float, float]) -> tuple[Planted, ...]:
    return tuple(
        Planted(data=data, label=label, cue=cue, strength=strength, contrast=contrast, seed=seed)
        for seed, (label, cue, strength, contrast) in enumerate(rows)
    )


#: The benchmark's: those that are meant to go by a cue ...
PLANTED: Final[Sequence[Planted]] = _recipes(
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
) + _recipes(
    "shapes",
    ("square", "top", 0.95, 0.05),
    ("square", "blue", 0.9, 0.05),
)
#: ... and as many that are not: of five a cue goes with the label that is of no use, so plain is the label.
CLEAN: Final[Sequence[Planted]] = _recipes(
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
) + _recipes(
    "shapes",
    ("square", None, 0.0, 1.0),
    ("square", "dim", 0.8, 1.0),
)


def recipes() -> Iterator[Planted]:
    """All of the benchmark's, planted and clean by turns."""
    for pair in zip(PLANTED, CLEAN, strict=True):
        yield from pair
