"""The commands that train: `rather train classifier`, `vae`, `semantic`, ...; loaded when asked for."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.types import NonNegativeInt, PositiveInt
from cyclopts.validators import Number

from rather.commands.words import settings_of
from rather.hub.generators import list_generators

if TYPE_CHECKING:
    from rather.train import ClassifierFigures

train = App(name="train", help="Make the nets that the methods need.", help_format="plaintext")


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
    json: bool = False,
) -> int:
    """Train a small classifier, or an ensemble of them; the same seed gives the same weights.

    What is not given is as in `rather.train.ClassifierRecipe`.

    Args:
        data: A data set (`rather list data`), or a folder with a folder for each class.
        out: The new file, NAME.safetensors; `rather explain --classifier` takes it.
        architecture: goyal for pictures of 28 x 28 pixels, small for others; patches, whose features see a
            square of the picture each.
        epochs: How often to see each picture.
        lr: Learning rate, at the start.
        batch_size: Pictures a step.
        shift: Pixels, at most, by which a picture is moved each time.
        members: How many classifiers; several make one ensemble.
        seed: Of the first member; each further one has the next.
        size: Pixels a side to which a folder's pictures are brought.
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
        figures = train_to_file(data, out, recipe, size=size, progress=lambda done, all_, _loss: progress(done, all_))
    _told_of_classifier(out, figures, json=json)
    return 0


def _told_of_classifier(out: Path, figures: ClassifierFigures, *, json: bool) -> None:
    if json:
        print(jsonlib.dumps({"file": str(out), **figures.card()}))
    else:
        low, high = figures.interval
        print(
            f"{out}: {figures.accuracy:.1%} of {figures.tested_on} test pictures right "
            f"(95 % interval {low:.1%} to {high:.1%})"
            + (f"; {figures.left_out} left out, unreadable or unlabelled" if figures.left_out else "")
        )


@train.command(name="latent-classifier")
def train_latent_classifier(
    *,
    data: str = "digits",
    generator: str = "digits-vae",
    out: Path,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    json: bool = False,
) -> int:
    """Train classifiers of a generator's latents, an ensemble; `--method clarity` searches with them.

    Args:
        data: A data set (`rather list data`), or a folder with a folder for each class.
        generator: Whose latents: a bundled one (`rather list generators`), or a file of `rather train vae`.
        out: The new file, NAME.safetensors; `rather explain --latent` and `--classifier` take it.
        set_: A setting, KEY=VALUE, of `rather.train.LatentRecipe`; may be given again.
        json: Print one JSON object and nothing else.
    """
    from rather.commands.terminal import progress_bar
    from rather.config.settings import validate
    from rather.train import LatentRecipe, train_latent

    recipe = validate(LatentRecipe, settings_of(set_ or []), "latent-classifier")
    with progress_bar("training", shown=not json) as progress:
        figures = train_latent(data, generator, out, recipe, progress=lambda done, all_, _loss: progress(done, all_))
    if figures is not None:  # the first of several processes says it
        _told_of_classifier(out, figures, json=json)
    return 0


def _train_generator(kind: str, line: str) -> Callable[..., int]:
    """The command that trains a kind of generator."""

    def command(
        *,
        data: str = "digits",
        out: Path,
        set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
        size: PositiveInt | None = None,
        seed: Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))] = 0,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        judge: str | None = None,
        json: bool = False,
    ) -> int:
        from rather.commands.terminal import progress_bar
        from rather.hub.classifiers import classifier_of, load_classifier
        from rather.hub.generators import generator_class
        from rather.train import train_generator

        generator = generator_class(kind).of(settings_of(set_ or []))
        name = judge or classifier_of(data)
        with progress_bar("training", shown=not json) as progress:
            figures = train_generator(
                generator,
                data,
                out,
                size=size,
                seed=seed,
                precision=precision,
                judge=None if name is None else load_classifier(name),
                progress=lambda done, all_, _loss: progress(done, all_),
            )
        if figures is None:  # the first of several processes says it
            return 0
        print(jsonlib.dumps({"file": str(out), **figures.card()}) if json else f"{out}: {figures}")
        return 0

    command.__doc__ = f"""{line}

    An interrupted training goes on with the same command. Several processes, on one machine or many: put
    torchrun or accelerate launch in front, -m rather train {kind} ...

    Args:
        data: A data set (`rather list data`), or, where pictures alone are needed, a folder of them; regions
            and attributes only some data sets know.
        out: The new file, NAME.safetensors; a preview, NAME.preview.png, lies beside it.
        set_: A setting, KEY=VALUE; may be given again (`rather describe {kind}`).
        size: Pixels a side to which a folder's pictures are brought.
        seed: Of the first weights and of all that is random.
        precision: bf16 computes in bfloat16; auto does so where the device gains from it.
        judge: A classifier to measure with, and that an exaggerator is trained for; by default the bundled
            one of the data.
        json: Print one JSON object and nothing else.
    """
    return command


for _kind, _line in list_generators().items():
    train.command(_train_generator(_kind, _line), name=_kind)
