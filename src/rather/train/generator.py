"""Train a generator on pictures: what `rather train vae`, `tcvae` and `gan` do."""

from __future__ import annotations

import copy
import hashlib
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, final

import torch
from accelerate import PartialState

from rather.autoencoder import Autoencoder
from rather.core import Classifier, Images
from rather.draw import png
from rather.errors import RatherError
from rather.generator import Generator, GeneratorNet
from rather.generators._file import save_generator
from rather.metrics.distribution import frechet_distance
from rather.net_file import refuse_unwritable
from rather.train.fit import Precision, Progress, Schedule, fit, usable
from rather.train.pictures import Pictures, load_to_train, read_parts
from rather.writing import write_whole

_PREVIEW: Final = 10  # pictures in a row
_SAMPLES: Final = 2000  # new images, at most, of which the distance to real ones is measured


@final
@dataclass(frozen=True, kw_only=True)
class GeneratorFigures:
    """How good a generator is, on pictures that it was not trained on."""

    trained_on: int  # pictures
    tested_on: int
    left_out: int  # pictures that cannot be read
    pixel_error: float  # mean absolute difference between a picture and its reconstruction
    judge: str | None  # the classifier that was asked for the rest, if there is one
    same_class: int | None  # reconstructions with the class of their picture
    samples_distance: float | None  # Frechet distance of new images from pictures, in the judge's features
    pictures_distance: float | None  # the same of as many training pictures: as near as one can come

    def __str__(self) -> str:
        """In a line."""
        said = f"reconstructions differ by {self.pixel_error:.4f} a pixel"
        if self.same_class is not None:
            said += f", {self.same_class / self.tested_on:.1%} of {self.tested_on} keep their class"
        if self.samples_distance is not None:
            said += (
                f"; new images {self.samples_distance:.2f} from pictures in the features of {self.judge}, "
                f"pictures themselves {self.pictures_distance:.2f}"
            )
        return said + (f"; {self.left_out} left out, unreadable" if self.left_out else "")

    def card(self) -> dict[str, Any]:
        """What the card of a generator says of them."""
        return {key: round(v, 4) if isinstance(v, float) else v for key, v in asdict(self).items()}


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
    """Train a generator and write its file, with a preview beside it: pictures, reconstructions, new ones.

    While it trains, `OUT.checkpoint` is saved twice a minute; the same call goes on from it.

    Args:
        generator: what to train, and how.
        data: a data set's name, or a folder of pictures; labels are not needed.
        out: the new file; its stem is the generator's name.
        size: pixels a side to which a folder's pictures are brought; a data set that has a name has its own.
        seed: of the first weights and of all that is random.
        precision: bf16 computes the nets in bfloat16; auto does so where the device gains from it.
        judge: a classifier to measure with; None leaves those figures out.
        progress: see `fit.Progress`.

    Returns:
        How good it is; None in a process that is not the first of several.

    Raises:
        RatherError: what `load_to_train` and `fit` raise; TRAIN-DATA for pictures that are too small or too
            few; DATA-SHAPE for a judge of other pictures.
    """
    out = Path(out)
    refuse_unwritable(out)
    pictures = load_to_train(data, size)
    sources = (pictures.test, None) if pictures.train is None else (pictures.train, pictures.test)
    train, test, left_out = read_parts(*sources, labelled=False, seed=seed)
    shape = (int(train.images.shape[1]), int(train.images.shape[2]), int(train.images.shape[3]))
    if judge is not None and judge.shape != shape:
        raise RatherError(
            "DATA-SHAPE",
            where=f"pictures of shape {shape}",
            why=f"the judge, {judge.name}, takes {judge.shape}",
        )
    precision = usable(precision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = generator.build(shape, count=len(train))
    schedule = Schedule(
        steps=generator.steps,
        lr=generator.lr,
        batch_size=generator.batch_size,
        seed=seed,
        precision=precision,
    )
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    preview, shown = out.with_suffix(".preview.png"), test.images[:_PREVIEW].float() / 255
    fit(
        net,
        [train.images],
        schedule,
        checkpoint=checkpoint,
        asks={
            "generator": generator.settings(),
            "images": hashlib.sha256(train.images.numpy().data).hexdigest(),
            "seed": seed,
            "precision": precision,
        },
        progress=progress,
        saved=lambda: _show(preview, _frozen(net), shown),
    )
    if not PartialState().is_main_process:
        return None
    autoencoder = net.autoencoder(out.stem)
    figures = measure(autoencoder, train, test, judge, left_out)
    card = {"data": pictures.name, "seed": seed, "precision": precision} | figures.card()
    save_generator(out, generator, autoencoder, card)
    _show(preview, autoencoder, shown)
    checkpoint.unlink(missing_ok=True)
    return figures


def _show(preview: Path, autoencoder: Autoencoder, shown: Images) -> None:
    with suppress(OSError):  # a training does not end for a picture
        write_whole(preview, draw_preview(autoencoder, shown))


def _frozen(net: GeneratorNet) -> Autoencoder:
    """What the net is so far; a copy, since an autoencoder's nets are no longer for training."""
    return copy.deepcopy(net).cpu().autoencoder("preview")


@torch.no_grad()
def measure(
    autoencoder: Autoencoder, train: Pictures, test: Pictures, judge: Classifier | None, left_out: int = 0
) -> GeneratorFigures:
    """The figures of a trained generator; see `GeneratorFigures`."""
    x = test.images.float() / 255
    again = torch.cat([autoencoder(part).clamp(0, 1) for part in x.split(256)])
    same = samples = pictures = None
    if judge is not None:
        same = int((judge.probabilities(again).argmax(1) == judge.probabilities(x).argmax(1)).sum())
        count = min(_SAMPLES, len(x), len(train))
        if count > 1:  # of one picture there is no covariance
            real, others = _some(test, count), _some(train, count)
            samples = float(frechet_distance(new_images(autoencoder, count), real, judge))
            pictures = float(frechet_distance(others, real, judge))
    return GeneratorFigures(
        trained_on=len(train),
        tested_on=len(test),
        left_out=left_out,
        pixel_error=float((again - x).abs().mean()),
        judge=judge and judge.name,
        same_class=same,
        samples_distance=samples,
        pictures_distance=pictures,
    )


def _some(pictures: Pictures, count: int) -> Images:
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    return pictures[order[:count]].images.float() / 255


@torch.no_grad()
def new_images(autoencoder: Autoencoder, count: int, seed: int = 0) -> Images:
    """Images of standard normal latents: what the generator takes for likely."""
    z = torch.randn(count, autoencoder.size, generator=torch.Generator().manual_seed(seed))
    return torch.cat([autoencoder.decode(part).clamp(0, 1) for part in z.split(256)])


@torch.no_grad()
def draw_preview(autoencoder: Autoencoder, x: Images) -> bytes:
    """A PNG of three rows: pictures, their reconstructions, new ones."""
    rows = [x, autoencoder(x), new_images(autoencoder, len(x))]
    return png(torch.cat([torch.cat([*row.clamp(0, 1)], 2) for row in rows], 1))
