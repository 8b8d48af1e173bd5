"""Classifiers that were made of a recipe, and whose true effects are measured.

What a classifier goes by is not taken from its recipe but measured: by setting one cause at a time, and
asking the classifier again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.classifiers import architectures as nets
from rather.config.errors import RatherError
from rather.core import Classifier, Images
from rather.hub.checkpoints import read_classifier, save_classifier
from rather.io.writing import write_whole, writing
from rather.train import ClassifierRecipe, train_classifier
from rather.worlds.bias_spec import Planted
from rather.worlds.faces import Effect

ASKED: Final = 40  # scenes whose causes are set, to measure effects


class Training(NamedTuple):
    """How a world's classifiers are trained."""

    pictures: int
    recipe: ClassifierRecipe


#: Of the nets for pictures of this size the one that learns in seconds; drawing takes longer. Shapes keep to
#: their cells, which is what this net sees: moved by a pixel they teach it nothing.
TRAININGS: Final[Mapping[str, Training]] = MappingProxyType(
    {
        "faces": Training(1_000, ClassifierRecipe(architecture="patches", epochs=10, shift=1)),
        "shapes": Training(2_000, ClassifierRecipe(architecture="patches", epochs=8, shift=0)),
    }
)


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
    training: ClassifierRecipe | None = None,
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
            name: {kind: [round(one, 5) for one in values.tolist()] for kind, values in effect._asdict().items()}
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
    classifier = read_classifier(card.with_suffix(".safetensors"))
    return Known(recipe=recipe, classifier=classifier, right=right, effects=effects)


def load(folder: str | os.PathLike[str]) -> list[Known]:
    """All classifiers of a folder that `make` has written, by name; other files there are left alone.

    Raises:
        RatherError: DATA-NOT-FOUND if there is no such folder, or what `read` raises.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RatherError("DATA-NOT-FOUND", where=folder, do="`known.make` writes classifiers into one")
    return [read(card) for card in sorted(folder.glob("*.json")) if card.with_suffix(".safetensors").is_file()]
