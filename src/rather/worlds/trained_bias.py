"""Classifiers trained from a `BiasSpec`, and the effect of every cause on them, measured by intervention."""

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

from rather.classifiers import architectures
from rather.config.errors import RatherError
from rather.core import Classifier, Images
from rather.hub.checkpoints import read_classifier, save_classifier
from rather.io.writing import write_whole, writing
from rather.train import ClassifierRecipe, train_classifier
from rather.worlds.bias_spec import BiasSpec
from rather.worlds.world import Effect

SCENES: Final = 40  # whose causes are set, to measure effects


class Training(NamedTuple):
    """How a world's classifiers are trained."""

    pictures: int
    recipe: ClassifierRecipe


#: `patches` learns pictures of this size in seconds; drawing takes longer. Shapes are not shifted: they keep to their
#: cells, which is what this net sees.
TRAININGS: Final[Mapping[str, Training]] = MappingProxyType(
    {
        "faces": Training(1_000, ClassifierRecipe(architecture="patches", epochs=10, shift=1)),
        "shapes": Training(2_000, ClassifierRecipe(architecture="patches", epochs=8, shift=0)),
    }
)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedBias:
    """A trained classifier, and the causes that it really relies on."""

    spec: BiasSpec
    classifier: Classifier
    accuracy: float  # on new pictures like the training pictures
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
        """It relies most on the planted cue."""
        return self.spec.cue == self.follows

    @property
    def clean(self) -> bool:
        """It relies most on the label's own cause."""
        return self.spec.cause == self.follows

    def truth(self, scenes: Any, target: Bool[Tensor, " n"]) -> Images:
        """The true counterfactuals: each scene with nothing changed but the cause that the classifier follows.

        Args:
            scenes: of the specification's world.
            target: of each, whether the second class is wanted rather than the first.
        """
        raises = bool(self.sizes[[*self.effects].index(self.follows)] > 0)
        world = self.spec.world
        return world.draw(world.turn(scenes, self.follows, target == raises))


def train_biased(
    spec: BiasSpec,
    folder: str | os.PathLike[str],
    *,
    count: int | None = None,
    scenes: int = SCENES,
    training: ClassifierRecipe | None = None,
) -> TrainedBias:
    """Train a classifier and measure it, or read it if the folder already has it, made in the same way.

    It writes two files: NAME.safetensors, which every command takes as a classifier, and NAME.json. A classifier that
    was made with other arguments is trained again and replaced.

    Args:
        spec: of the classifier.
        folder: where it is kept.
        count: training pictures; None for the number in `TRAININGS`.
        scenes: ordinary scenes whose causes are set one at a time.
        training: the recipe; None for the one in `TRAININGS`. Its seed is the specification's.

    Raises:
        RatherError: what `train_classifier` and `save_classifier` raise.
    """
    card, file = (Path(folder) / f"{spec.name}.{end}" for end in ("json", "safetensors"))
    usual = TRAININGS[spec.data]
    count = usual.pictures if count is None else count
    training = (training or usual.recipe).model_copy(update={"seed": spec.seed})
    made = {"count": count, "asked": scenes, "training": training.model_dump(mode="json")}
    if card.exists() and file.exists() and _content(card).get("made") == made:
        return read(card)
    train, test = spec.pictures(count), spec.pictures(max(count // 10, 20), part=1)
    classifier, figures = train_classifier(train, test, training, name=spec.name)
    effects = spec.world.effects(classifier, spec.ordinary(scenes, part=1), 1)
    content = {
        "recipe": asdict(spec),
        "made": made,
        "right": figures.accuracy,
        "effects": {
            name: {kind: [round(one, 5) for one in values.tolist()] for kind, values in effect._asdict().items()}
            for name, effect in effects.items()
        },
    }
    with writing(Path(folder)):
        card.unlink(missing_ok=True)  # or a new net would have, for a moment, the old one's card
        save_classifier(
            file,
            classifier,
            architecture=training.architecture or architectures.suited(classifier.shape),
            card={"recipe": asdict(spec), **figures.card()},
        )
        write_whole(card, json.dumps(content).encode())
    return read(card)


def read(card: str | os.PathLike[str]) -> TrainedBias:
    """The classifier of a JSON file that `train_biased` has written.

    Raises:
        RatherError: what `read_classifier` raises, and MODEL-FILE-DAMAGED for another JSON.
    """
    content = _content(Path(card))
    try:
        spec = BiasSpec(**content["recipe"])
        effects = {
            name: Effect(*(torch.tensor(values[kind]).double() for kind in Effect._fields))
            for name, values in content["effects"].items()
        }
        accuracy = float(content["right"])
    except (ValueError, KeyError, TypeError) as error:
        raise RatherError("MODEL-FILE-DAMAGED", where=str(card), why=str(error)) from None
    classifier = read_classifier(Path(card).with_suffix(".safetensors"))
    return TrainedBias(spec=spec, classifier=classifier, accuracy=accuracy, effects=effects)


def load(folder: str | os.PathLike[str]) -> list[TrainedBias]:
    """All classifiers of a folder that `train_biased` has written, by name; other files are ignored.

    Raises:
        RatherError: DATA-NOT-FOUND if there is no such folder, or what `read` raises.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RatherError("DATA-NOT-FOUND", where=folder, do="`train_biased` writes classifiers into one")
    return [read(card) for card in sorted(folder.glob("*.json")) if card.with_suffix(".safetensors").is_file()]


def _content(card: Path) -> dict[str, Any]:
    try:
        content = json.loads(card.read_text("utf-8"))
    except ValueError as error:
        raise RatherError("MODEL-FILE-DAMAGED", where=card, why=str(error)) from None
    if not isinstance(content, dict):
        raise RatherError("MODEL-FILE-DAMAGED", where=card, why="no JSON object")
    return content
