"""Train a generator on pictures: what `rather train vae`, `gan`, `semantic` and the like do."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import torch
from accelerate import PartialState
from torch import Tensor

from rather.config.errors import RatherError
from rather.config.pictures import NO_OPTIONS, PictureOptions
from rather.core import Classifier, Images
from rather.data.source import Dataset, Source
from rather.generators.autoencoder import Autoencoder
from rather.generators.frozen import FrozenNet, ReconstructingNet
from rather.generators.recipe import Column, Columns, Figure, GeneratorNet, GeneratorRecipe
from rather.hub.checkpoints import check_writable, save_generator
from rather.io.png import png
from rather.io.writing import write_whole
from rather.metrics.distribution import frechet_distance
from rather.train.fit import Precision, Progress, Schedule, fit, usable
from rather.train.pictures import Pictures, load_to_train, parts, read_parts

_PREVIEW: Final = 10  # pictures in a row
_SAMPLES: Final = 2000  # new images, at most, whose distance to real ones is measured


@final
@dataclass(frozen=True)
class GeneratorFigures:
    """How good a generator is, on pictures that it was not trained on."""

    trained_on: int  # pictures
    tested_on: int
    left_out: int  # pictures that cannot be read
    classifier: str | None  # the classifier that measured, if there is one
    values: Mapping[str, Figure]  # by name; see `GeneratorRecipe.figures` and `measure`
    notes: tuple[str, ...] = ()  # on how the pictures were read

    def __str__(self) -> str:
        """In a line."""
        values = "; ".join(
            f"{key.replace('_', ' ')} {value:.4g}" if isinstance(value, float) else f"{key.replace('_', ' ')} {value}"
            for key, value in self.values.items()
            if value is not None
        )
        unreadable = f"; {self.left_out} left out, unreadable" if self.left_out else ""
        return f"{values}; of {self.tested_on:,} pictures{unreadable}"

    def card(self) -> dict[str, Any]:
        """The figures as the file's card has them."""
        counts = {"trained_on": self.trained_on, "tested_on": self.tested_on, "left_out": self.left_out}
        rounded = {key: round(v, 4) if isinstance(v, float) else v for key, v in self.values.items()}
        return {**counts, "judge": self.classifier, **rounded}


def train_generator(
    recipe: GeneratorRecipe,
    data: str,
    out: str | os.PathLike[str],
    *,
    size: int | None = None,
    channels: int | None = None,
    options: PictureOptions = NO_OPTIONS,
    seed: int = 0,
    precision: Precision = "auto",
    classifier: Classifier | None = None,
    progress: Progress = lambda _done, _all, _loss: None,
) -> GeneratorFigures | None:
    """Train a generator and write its file, and a preview next to it if it has one.

    While it trains, `OUT.checkpoint` is saved twice a minute; the same call resumes from it.

    Args:
        recipe: what to train, and how.
        data: a data set's name, or a folder of pictures; some kinds need labels, regions or attributes.
        out: the new file; its stem is the generator's name.
        size: pixels per side to which a folder's pictures are resized; named data sets have their own size.
        channels: of a folder's pictures; by default 1 where all of them are grey, else as many as they have.
        options: how a folder is read, and what is known of its pictures.
        seed: of the first weights and of all other random numbers.
        precision: bf16 computes the nets in bfloat16; auto does so where the device gains from it.
        classifier: a classifier that measures, and that an exaggerator is trained for; if its net has a preprocessing
            of its own, a folder's pictures go through it, unless `size` says another size.
        progress: see `fit.Progress`.

    Returns:
        How good it is; None in a process that is not the first of several.

    Raises:
        RatherError: what `load_to_train` and `fit` raise; CFG-SETTING for names other than those of data and
            classifier; TRAIN-DATA and DATA-SHAPE for pictures, and CFG-OPTIONS for a classifier, that do not fit.
    """
    check_writable(out := Path(out))
    dataset = _load(data, size, channels, options, classifier)
    source, train, test, left_out = _read(recipe, dataset, seed)
    recipe, precision = _with_names(recipe, source, classifier), usable(precision)
    seen, held = (_columns(part, recipe, classifier) for part in (train, test))
    net = _build(recipe, train, classifier, seed)
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    schedule = Schedule(steps=recipe.steps, lr=recipe.lr, batch_size=recipe.batch_size, seed=seed, precision=precision)
    identity = _identity(recipe, seen, classifier) | {"seed": seed, "precision": precision}

    def saved() -> None:
        _show(out, recipe, copy.deepcopy(net).cpu().product("preview"), held)

    fit(net, [*seen.values()], schedule, checkpoint=checkpoint, identity=identity, progress=progress, saved=saved)
    if not PartialState().is_main_process:
        return None
    product = net.product(out.stem)
    values = {**recipe.figures(product, _floats(held), classifier), **measure(product, train, test, classifier)}
    figures = GeneratorFigures(len(train), len(test), left_out, classifier and classifier.name, values, dataset.notes)
    save_generator(out, recipe, product, {"data": dataset.name, "seed": seed, "precision": precision} | figures.card())
    _show(out, recipe, product, held)
    checkpoint.unlink(missing_ok=True)
    return figures


def _load(
    data: str, size: int | None, channels: int | None, options: PictureOptions, classifier: Classifier | None
) -> Dataset:
    dataset = load_to_train(data, size, channels, options)
    if classifier is not None and (size is None or classifier.shape[1:] == (size, size)):
        return dataset.through(classifier.preprocess)
    return dataset


def _read(recipe: GeneratorRecipe, dataset: Dataset, seed: int) -> tuple[Source, Pictures, Pictures, int]:
    """What is trained on, the pictures to train and to test on, and how many are left out."""
    source, held_out = parts(dataset)
    labelled = "labels" in recipe.reads
    train, test, left_out = read_parts(source, held_out, labelled=labelled, seed=seed, columns=recipe.reads)
    _check_classes(recipe, source, train)
    return source, train, test, left_out


def _check_classes(recipe: GeneratorRecipe, source: Source, train: Pictures) -> None:
    """Refuse a class without pictures where a recipe reads labels: its part of the generator would stay random."""
    present = {*train.labels.tolist()}
    empty = [name for label, name in enumerate(source.classes) if label not in present]
    if empty and "labels" in recipe.reads:
        raise RatherError(
            "TRAIN-DATA",
            where=f"{source.name}, class {', '.join(empty)}"[:200],
            why="no picture to train on",
            do="Give some, or leave the class out",
        )


def _with_names(recipe: GeneratorRecipe, source: Source, classifier: Classifier | None) -> GeneratorRecipe:
    """The recipe with the names of data and classifier; other names in the settings are an error."""
    named = recipe.with_names(source.classes, source.regions, source.attributes, classifier)
    for key in sorted(recipe.model_fields_set):
        if getattr(named, key) != getattr(recipe, key):
            raise RatherError(
                "CFG-SETTING",
                where=f"{recipe.name()}.{key}",
                why=f"the training takes {', '.join(getattr(named, key))}"[:200],
                do="Leave it out",
            )
    return named


def _build(recipe: GeneratorRecipe, train: Pictures, classifier: Classifier | None, seed: int) -> GeneratorNet:
    c, h, w = train.images.shape[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return recipe.build((c, h, w), count=len(train), classifier=classifier)


def _columns(pictures: Pictures, recipe: GeneratorRecipe, classifier: Classifier | None) -> dict[Column, Tensor]:
    """The columns that the recipe reads, in its order."""
    shape = tuple(pictures.images.shape[1:])
    if classifier is not None and classifier.shape != shape:
        raise RatherError(
            "DATA-SHAPE",
            where=f"pictures of shape {shape}",
            why=f"the classifier, {classifier.name}, takes {classifier.shape}",
        )
    columns: dict[Column, Tensor] = {}
    for column in recipe.reads:
        if column == "probabilities":
            if classifier is None:
                why, do = "it is trained for a classifier", "Give one: --classifier"
                raise RatherError("CFG-OPTIONS", where=recipe.name(), why=why, do=do)
            parts = pictures.images.split(256)
            columns[column] = torch.cat([classifier.probabilities(part.float() / 255) for part in parts])
        else:
            known = getattr(pictures, column)
            assert isinstance(known, Tensor)  # noqa: S101 - `read_parts` has read it
            columns[column] = known
    return columns


def _identity(recipe: GeneratorRecipe, seen: Columns, classifier: Classifier | None) -> dict[str, Any]:
    """What tells a checkpoint of this training from those of others."""
    digests = {str(key): hashlib.sha256(rows.numpy().data).hexdigest() for key, rows in seen.items()}
    judged = {"judge": classifier.fingerprint()} if classifier and "probabilities" in recipe.reads else {}
    return {"generator": recipe.settings(), **digests, **judged}


def _floats(columns: Columns) -> dict[Column, Tensor]:
    """Images in [0, 1], and the rest as it is."""
    return {key: rows.float() / 255 if rows.dtype == torch.uint8 else rows for key, rows in columns.items()}


@torch.no_grad()
def _show(out: Path, recipe: GeneratorRecipe, product: FrozenNet, held: Columns) -> None:
    """Write the preview, of the first pictures that are held out."""
    shown = _floats({key: rows[:_PREVIEW] for key, rows in held.items()})
    rows = recipe.preview(product, shown)
    if isinstance(product, Autoencoder):
        x = shown["images"]
        rows = [x, product(x), new_images(product, len(x))]
    if rows:
        with suppress(OSError):  # a training does not end for a picture
            write_whole(
                out.with_suffix(".preview.png"), png(torch.cat([torch.cat([*row.clamp(0, 1)], 2) for row in rows], 1))
            )


@torch.no_grad()
def measure(product: FrozenNet, train: Pictures, test: Pictures, classifier: Classifier | None) -> dict[str, Figure]:
    """The figures of any net that reconstructs images; none of other nets.

    Returns:
        `pixel_error`, the mean absolute difference between a picture and its reconstruction. With a classifier:
        `same_class`, the number of reconstructions with the class of their picture; of an autoencoder
        `samples_distance`, the Frechet distance of new images from pictures in the classifier's features, and
        `pictures_distance`, the same of as many training pictures, which bounds it in practice.
    """
    if not isinstance(product, ReconstructingNet):
        return {}
    x = test.images.float() / 255
    reconstructed = torch.cat([product(part) for part in x.split(128)]).clamp(0, 1)
    figures: dict[str, Figure] = {"pixel_error": float((reconstructed - x).abs().mean())}
    if classifier is not None:
        same = classifier.probabilities(reconstructed).argmax(1) == classifier.probabilities(x).argmax(1)
        figures["same_class"] = int(same.sum())
        count = min(_SAMPLES, len(x), len(train))
        if isinstance(product, Autoencoder) and count > 1:  # one picture has no covariance
            real, others = _some(test, count), _some(train, count)
            figures["samples_distance"] = float(frechet_distance(new_images(product, count), real, classifier))
            figures["pictures_distance"] = float(frechet_distance(others, real, classifier))
    return figures


def _some(pictures: Pictures, count: int) -> Images:
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    return pictures[order[:count]].images.float() / 255


@torch.no_grad()
def new_images(autoencoder: Autoencoder, count: int, seed: int = 0) -> Images:
    """Images of standard normal latents."""
    z = torch.randn(count, autoencoder.size, generator=torch.Generator().manual_seed(seed))
    return torch.cat([autoencoder.decode(part).clamp(0, 1) for part in z.split(256)])
