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
from rather.core import Classifier, Images
from rather.data.source import Source
from rather.generators._denoiser import Denoiser
from rather.generators._frozen_editor import Editor
from rather.generators._frozen_semantic import Semantic
from rather.generators.autoencoder import Autoencoder
from rather.generators.frozen import FrozenNet
from rather.generators.training import Column, Figure, Generator
from rather.hub.generator_files import save_generator
from rather.io.checkpoints import check_writable
from rather.io.png import png
from rather.io.writing import write_whole
from rather.metrics.distribution import frechet_distance
from rather.train.fit import Precision, Progress, Schedule, fit, usable
from rather.train.pictures import Pictures, load_to_train, read_parts

_PREVIEW: Final = 10  # pictures in a row
_SAMPLES: Final = 2000  # new images, at most, of which the distance to real ones is measured


@final
@dataclass(frozen=True, kw_only=True)
class GeneratorFigures:
    """How good a generator is, on pictures that it was not trained on."""

    trained_on: int  # pictures
    tested_on: int
    left_out: int  # pictures that cannot be read
    judge: str | None  # the classifier that was asked, if there is one
    said: Mapping[str, Figure]  # by name; see `Generator.figures` and `measure`

    def __str__(self) -> str:
        """In a line."""
        said = "; ".join(
            f"{key.replace('_', ' ')} {value:.4g}" if isinstance(value, float) else f"{key.replace('_', ' ')} {value}"
            for key, value in self.said.items()
            if value is not None
        )
        said += f"; of {self.tested_on:,} pictures"
        return said + (f"; {self.left_out} left out, unreadable" if self.left_out else "")

    def card(self) -> dict[str, Any]:
        """What the card of a generator says of them."""
        told = {"trained_on": self.trained_on, "tested_on": self.tested_on, "left_out": self.left_out}
        return {**told, "judge": self.judge} | {
            key: round(v, 4) if isinstance(v, float) else v for key, v in self.said.items()
        }


def train_generator(
    generator: Generator,
    data: str,
    out: str | os.PathLike[str],
    *,
    size: int | None = None,
    seed: int = 0,
    precision: Precision = "auto",
    judge: Classifier | None = None,
    progress: Progress = lambda _done, _all, _loss: None,
) -> GeneratorFigures | None:
    """Train a generator and write its file, with a preview beside it if it has one.

    While it trains, `OUT.checkpoint` is saved twice a minute; the same call goes on from it.

    Args:
        generator: what to train, and how.
        data: a data set's name, or a folder of pictures; of what a generator reads beside the images (labels,
            regions, attributes) only some data sets know, and most read nothing.
        out: the new file; its stem is the generator's name.
        size: pixels a side to which a folder's pictures are brought; a data set that has a name has its own.
        seed: of the first weights and of all that is random.
        precision: bf16 computes the nets in bfloat16; auto does so where the device gains from it.
        judge: a classifier to measure with, and for an exaggerator the one that it is of; None leaves those
            figures out.
        progress: see `fit.Progress`.

    Returns:
        How good it is; None in a process that is not the first of several.

    Raises:
        RatherError: what `load_to_train` and `fit` raise; CFG-SETTING for names of regions, attributes or
            classes other than those of data and judge; TRAIN-DATA for pictures that are too small, too few or
            not known well enough; DATA-SHAPE for a judge of other pictures; CFG-OPTIONS for none where one is
            needed.
    """
    out = Path(out)
    check_writable(out)
    pictures = load_to_train(data, size)
    sources = (pictures.test, None) if pictures.train is None else (pictures.train, pictures.test)
    labelled = "labels" in generator.reads
    train, test, left_out = read_parts(*sources, labelled=labelled, seed=seed, beside=generator.reads)
    if labelled:
        _refuse_empty_classes(sources[0], train)
    shape = (int(train.images.shape[1]), int(train.images.shape[2]), int(train.images.shape[3]))
    if judge is not None and judge.shape != shape:
        raise RatherError(
            "DATA-SHAPE", where=f"pictures of shape {shape}", why=f"the judge, {judge.name}, takes {judge.shape}"
        )
    generator = _suited(generator, sources[0], judge)
    seen, held = (_columns(part, generator, judge) for part in (train, test))
    precision = usable(precision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = generator.build(shape, count=len(train), classifier=judge)
    schedule = Schedule(
        steps=generator.steps, lr=generator.lr, batch_size=generator.batch_size, seed=seed, precision=precision
    )
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    preview, shown = out.with_suffix(".preview.png"), {key: rows[:_PREVIEW] for key, rows in held.items()}
    fit(
        net,
        [*seen.values()],
        schedule,
        checkpoint=checkpoint,
        asks={
            "generator": generator.settings(),
            **{key: hashlib.sha256(rows.numpy().data).hexdigest() for key, rows in seen.items()},
            "seed": seed,
            "precision": precision,
            **({"judge": judge.fingerprint()} if judge and "probabilities" in generator.reads else {}),
        },
        progress=progress,
        saved=lambda: _show(preview, generator, copy.deepcopy(net).cpu().product("preview"), shown),
    )
    if not PartialState().is_main_process:
        return None
    product = net.product(out.stem)
    figures = GeneratorFigures(
        trained_on=len(train),
        tested_on=len(test),
        left_out=left_out,
        judge=judge and judge.name,
        said={**generator.figures(product, _floats(held), judge), **measure(product, train, test, judge)},
    )
    card = {"data": pictures.name, "seed": seed, "precision": precision} | figures.card()
    save_generator(out, generator, product, card)
    _show(preview, generator, product, shown)
    checkpoint.unlink(missing_ok=True)
    return figures


def _refuse_empty_classes(source: Source, train: Pictures) -> None:
    """What a generator has for each class would stay as it was drawn."""
    there = {*train.labels.tolist()}
    empty = [name for label, name in enumerate(source.classes) if label not in there]
    if empty:
        raise RatherError(
            "TRAIN-DATA",
            where=f"{source.name}, class {', '.join(empty)}"[:200],
            why="no picture to train on",
            do="Give some, or leave the class out",
        )


def _suited(generator: Generator, source: Source, judge: Classifier | None) -> Generator:
    """With the names that pictures and judge decide; whoever gave others expects what will not be."""
    suited = generator.suited(source.classes, source.regions, source.attributes, judge)
    for key in sorted(generator.model_fields_set):
        if getattr(suited, key) != getattr(generator, key):
            raise RatherError(
                "CFG-SETTING",
                where=f"{generator.name()}.{key}",
                why=f"the training takes {', '.join(getattr(suited, key))}"[:200],
                do="Leave it out",
            )
    return suited


def _columns(pictures: Pictures, generator: Generator, judge: Classifier | None) -> dict[Column, Tensor]:
    """What a batch has, in the order that the generator reads."""
    columns: dict[Column, Tensor] = {}
    for column in generator.reads:
        if column == "probabilities":
            if judge is None:
                raise RatherError(
                    "CFG-OPTIONS", where=generator.name(), why="it is of a classifier", do="Give one: --judge"
                )
            parts = pictures.images.split(256)
            columns[column] = torch.cat([judge.probabilities(part.float() / 255) for part in parts])
        else:
            known = getattr(pictures, column)
            assert isinstance(known, Tensor)  # noqa: S101 - `read_parts` has read it
            columns[column] = known
    return columns


def _floats(columns: Mapping[Column, Tensor]) -> dict[Column, Tensor]:
    """Images in [0, 1], and the rest as it is."""
    return {key: rows.float() / 255 if rows.dtype == torch.uint8 else rows for key, rows in columns.items()}


@torch.no_grad()
def _show(preview: Path, generator: Generator, product: FrozenNet, shown: Mapping[Column, Tensor]) -> None:
    shown = _floats(shown)
    rows = generator.preview(product, shown)
    if isinstance(product, Autoencoder):
        x = shown["images"]
        rows = [x, product(x), new_images(product, len(x))]
    if rows:
        with suppress(OSError):  # a training does not end for a picture
            write_whole(preview, png(torch.cat([torch.cat([*row.clamp(0, 1)], 2) for row in rows], 1)))


@torch.no_grad()
def measure(product: FrozenNet, train: Pictures, test: Pictures, judge: Classifier | None) -> dict[str, Figure]:
    """What can be said of all that brings images back from what it makes of them; of others, nothing.

    Returns:
        `pixel_error`, the mean absolute difference between a picture and its reconstruction. With a judge:
        `same_class`, how many reconstructions have the class of their picture; of an autoencoder
        `samples_distance`, the Frechet distance of new images from pictures in the judge's features, and
        `pictures_distance`, the same of as many training pictures: as near as one can come.
    """
    if not isinstance(product, Autoencoder | Semantic | Editor | Denoiser):
        return {}
    x = test.images.float() / 255
    again = torch.cat([product(part) for part in x.split(128)]).clamp(0, 1)
    said: dict[str, Figure] = {"pixel_error": float((again - x).abs().mean())}
    if judge is not None:
        said["same_class"] = int((judge.probabilities(again).argmax(1) == judge.probabilities(x).argmax(1)).sum())
        count = min(_SAMPLES, len(x), len(train))
        if isinstance(product, Autoencoder) and count > 1:  # of one picture there is no covariance
            real, others = _some(test, count), _some(train, count)
            said["samples_distance"] = float(frechet_distance(new_images(product, count), real, judge))
            said["pictures_distance"] = float(frechet_distance(others, real, judge))
    return said


def _some(pictures: Pictures, count: int) -> Images:
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    return pictures[order[:count]].images.float() / 255


@torch.no_grad()
def new_images(autoencoder: Autoencoder, count: int, seed: int = 0) -> Images:
    """Images of standard normal latents: what the generator takes for likely."""
    z = torch.randn(count, autoencoder.size, generator=torch.Generator().manual_seed(seed))
    return torch.cat([autoencoder.decode(part).clamp(0, 1) for part in z.split(256)])
