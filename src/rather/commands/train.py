"""The commands that train: `rather train classifier`, `vae`, `semantic`, ...; loaded when asked for."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.types import NonNegativeInt, PositiveInt
from cyclopts.validators import Number

from rather.commands.words import settings_of
from rather.config.pictures import NO_OPTIONS, PictureOptions
from rather.hub.generators import list_generators

if TYPE_CHECKING:
    from rather.train import ClassifierFigures, GeneratorFigures

#: How many channels a net of a folder's pictures takes.
Channels = Literal["1", "3", "auto"]

train = App(
    name="train",
    help="Train a classifier, or a generator that methods need, on your own pictures.",
    help_format="plaintext",
)


@train.command(name="classifier")
def train_classifier(
    *,
    data: str = "digits",
    out: Path,
    architecture: Literal["goyal", "small", "patches", "top", "middle", "bottom"] | None = None,
    epochs: PositiveInt | None = None,
    lr: float | None = None,
    batch_size: PositiveInt | None = None,
    shift: NonNegativeInt | None = None,
    members: PositiveInt | None = None,
    seed: NonNegativeInt | None = None,
    size: PositiveInt | None = None,
    channels: Channels = "auto",
    pictures: Annotated[PictureOptions, Parameter(name="*")] = NO_OPTIONS,
    json: bool = False,
) -> int:
    """Train a small classifier, or an ensemble, on labelled pictures; a minute or two for 10,000 digits.

    Args:
        data: A dataset (`rather list data`), or a folder with a subfolder for each class.
        out: The new file, NAME.safetensors; `rather explain --classifier` takes it.
        architecture: The net: goyal (by default for 28 x 28 pixels), small (for all other sizes), or patches, top,
            middle and bottom, which see only a part of the picture.
        epochs: Passes over all pictures [default: 20].
        lr: Learning rate at the start [default: 0.002].
        batch_size: Pictures per step [default: 64].
        shift: Pixels, at most, by which each pass shifts a picture [default: 1].
        members: Number of classifiers; several make one ensemble [default: 1].
        seed: Seed of the first member; each further member has the next [default: 0].
        size: Pixels per side to which a folder's pictures are resized.
        channels: Of a folder's pictures; auto is 1 where all of them are grey, else as many as they have.
        pictures: How a folder is read.
        json: Print one JSON object and nothing else.
    """
    from rather.commands.terminal import progress_bar
    from rather.config.settings import validate
    from rather.train import ClassifierRecipe, train_to_file

    given = {
        "architecture": architecture,
        "epochs": epochs,
        "lr": lr,
        "batch_size": batch_size,
        "shift": shift,
        "members": members,
        "seed": seed,
    }
    recipe = validate(ClassifierRecipe, {key: value for key, value in given.items() if value is not None}, "recipe")
    with progress_bar("training", shown=not json) as progress:
        figures = train_to_file(
            data,
            out,
            recipe,
            size=size,
            channels=_number(channels),
            options=pictures,
            progress=lambda done, total, _loss: progress(done, total),
        )
    return _done(out, figures, json=json)


def _number(channels: Channels) -> int | None:
    return None if channels == "auto" else int(channels)


def _done(out: Path, figures: ClassifierFigures | GeneratorFigures | None, *, json: bool) -> int:
    if figures is not None:  # of several processes the first alone has them
        for note in figures.notes:
            print(f"rather: note: {note}", file=sys.stderr)
        print(jsonlib.dumps({"file": str(out), **figures.card()}) if json else f"{out}: {figures}")
    return 0


@train.command(name="latent-classifier")
def train_latent_classifier(
    *,
    data: str = "digits",
    generator: str = "digits-vae",
    out: Path,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    pictures: Annotated[PictureOptions, Parameter(name="*")] = NO_OPTIONS,
    json: bool = False,
) -> int:
    """Train an ensemble of classifiers on a generator's latents; the method clarity needs them.

    Args:
        data: A dataset (`rather list data`), or a folder with a subfolder for each class.
        generator: The generator: a bundled one (`rather list generators`), or a file that `rather train vae` wrote.
        out: The new file, NAME.safetensors; `rather explain --latent` and `--classifier` take it.
        set_: A setting, KEY=VALUE; may be repeated (`rather describe latent-classifier`).
        pictures: How a folder is read.
        json: Print one JSON object and nothing else.
    """
    from rather.commands.terminal import progress_bar
    from rather.config.settings import validate
    from rather.train import LatentRecipe, train_latent

    recipe = validate(LatentRecipe, settings_of(set_ or []), "latent-classifier")
    with progress_bar("training", shown=not json) as progress:
        figures = train_latent(
            data, generator, out, recipe, options=pictures, progress=lambda done, total, _loss: progress(done, total)
        )
    return _done(out, figures, json=json)


def _train_generator(kind: str, line: str) -> Callable[..., int]:
    """The command that trains a kind of generator."""

    def command(
        *,
        data: str = "digits",
        out: Path,
        set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
        size: PositiveInt | None = None,
        channels: Channels = "auto",
        pictures: Annotated[PictureOptions, Parameter(name="*")] = NO_OPTIONS,
        seed: Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))] = 0,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        classifier: str | None = None,
        json: bool = False,
    ) -> int:
        from rather.commands.terminal import progress_bar
        from rather.hub.classifiers import classifier_of, load_classifier
        from rather.hub.generators import generator_class
        from rather.train import train_generator

        recipe = generator_class(kind).of(settings_of(set_ or []))
        name = classifier or classifier_of(data)
        with progress_bar("training", shown=not json) as progress:
            figures = train_generator(
                recipe,
                data,
                out,
                size=size,
                channels=_number(channels),
                options=pictures,
                seed=seed,
                precision=precision,
                classifier=None if name is None else load_classifier(name),
                progress=lambda done, total, _loss: progress(done, total),
            )
        return _done(out, figures, json=json)

    command.__doc__ = f"""{line}

    The same command resumes an interrupted training. For several processes, on one machine or many, put torchrun or
    accelerate launch in front: torchrun -m rather train {kind} ...

    Args:
        data: A dataset (`rather list data`), or a folder of pictures; kinds that need regions or attributes need a
            dataset that has them, or --masks or --annotations.
        out: The new file, NAME.safetensors; a preview is written to NAME.preview.png.
        set_: A setting, KEY=VALUE; may be repeated (`rather describe {kind}`).
        size: Pixels per side to which a folder's pictures are resized.
        channels: Of a folder's pictures; auto is 1 where all of them are grey, else as many as they have.
        pictures: How a folder is read.
        seed: Seed of the first weights and of all other random numbers.
        precision: bf16 computes in bfloat16; auto does so on devices that gain from it.
        classifier: A classifier that measures the result; an exaggerator is trained for it. By default the bundled
            one for the data.
        json: Print one JSON object and nothing else.
    """
    return command


for _kind, _line in list_generators().items():
    train.command(_train_generator(_kind, _line), name=_kind)
