"""Train a small classifier on labelled pictures; the same seed gives the same weights."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, final

import torch
from jaxtyping import Float, UInt8
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from rather.classifiers import architectures as nets
from rather.config.errors import RatherError
from rather.config.pictures import NO_OPTIONS, PictureOptions
from rather.config.settings import Seed, Settings
from rather.core import Classifier, Images, ensemble
from rather.data.source import Source
from rather.hub.checkpoints import check_writable, save_classifier
from rather.stats import wilson
from rather.train.fit import Progress
from rather.train.pictures import Pictures, load_to_train, parts, read_parts


@final
class ClassifierRecipe(Settings):
    """How to train: Adam on the cross-entropy, its learning rate falling linearly to zero."""

    architecture: str | None = None
    """A key of `classifiers.architectures`; by default goyal for 28 x 28 pixels, small for other sizes."""
    epochs: PositiveInt = 20
    """Passes over all pictures, each in a new order."""
    lr: PositiveFloat = 0.002
    """Learning rate at the start."""
    batch_size: PositiveInt = 64
    """Pictures per step."""
    shift: NonNegativeInt = 1
    """Pixels, at most, by which each pass shifts a picture in each direction."""
    members: Annotated[int, Field(gt=0, le=1000)] = 1
    """Number of classifiers; several make one ensemble."""
    seed: Seed = 0
    """Seed of the first member; each further member has the next, and differs in nothing else."""


@final
@dataclass(frozen=True, kw_only=True)
class ClassifierFigures:
    """How a training went."""

    trained_on: int  # pictures
    tested_on: int
    left_out: int  # pictures that have no label or cannot be read
    correct: int  # pictures of those tested on
    members_correct: tuple[int, ...]  # the same for each member alone
    losses: tuple[tuple[float, ...], ...]  # for each member, the mean loss of each epoch
    notes: tuple[str, ...] = ()  # on how the pictures were read

    @property
    def accuracy(self) -> float:
        """Share of the tested pictures whose class is right."""
        return self.correct / self.tested_on

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy (Wilson, 1927)."""
        return wilson(self.correct, self.tested_on)

    def __str__(self) -> str:
        """In a line: the accuracy, its interval, and what was left out."""
        low, high = self.interval
        counts = f"{self.accuracy:.1%} of {self.tested_on} test pictures right (95 % interval {low:.1%} to {high:.1%})"
        return counts + (f"; {self.left_out} left out, unreadable or unlabelled" if self.left_out else "")

    def card(self) -> dict[str, Any]:
        """The figures as the file's card has them."""
        return {
            "trained_on": self.trained_on,
            "tested_on": self.tested_on,
            "correct": self.correct,
            "accuracy": round(self.accuracy, 4),
            "accuracy_95": [round(end, 4) for end in self.interval],
            "members_correct": list(self.members_correct),
            **({"left_out": self.left_out} if self.left_out else {}),
        }


def train_to_file(
    data: str,
    out: str | os.PathLike[str],
    recipe: ClassifierRecipe | None = None,
    *,
    size: int | None = None,
    channels: int | None = None,
    options: PictureOptions = NO_OPTIONS,
    progress: Progress = lambda _done, _all, _loss: None,
) -> ClassifierFigures:
    """Train a classifier on a data set and write its file: what `rather train classifier` does.

    Args:
        data: a data set's name, or a folder with a subfolder for each class.
        out: the new file; its stem is the classifier's name.
        recipe: how to train.
        size: pixels per side to which a folder's pictures are resized; named data sets have their own size.
        channels: of a folder's pictures; by default 1 where all of them are grey, else as many as they have.
        options: how a folder is read, and what is known of its pictures.
        progress: called after each epoch with the epochs done, those of all members, and the mean loss.

    Raises:
        RatherError: what `load_dataset`, `train_classifier` and `save_classifier` raise.
    """
    check_writable(Path(out))
    recipe = recipe or ClassifierRecipe()
    pictures = load_to_train(data, size, channels, options)
    classifier, figures = train_classifier(*parts(pictures), recipe, name=Path(out).stem, progress=progress)
    architecture = recipe.architecture or nets.suited(classifier.shape)
    card = {"data": pictures.name, "recipe": recipe.model_dump() | {"architecture": architecture}}
    save_classifier(out, classifier, architecture=architecture, card=card | figures.card())
    return replace(figures, notes=pictures.notes)


def train_classifier(
    train: Source,
    test: Source | None = None,
    recipe: ClassifierRecipe | None = None,
    *,
    name: str = "classifier",
    progress: Progress = lambda _done, _all, _loss: None,
) -> tuple[Classifier, ClassifierFigures]:
    """Train a classifier, or an ensemble of classifiers that differ in their seed only.

    On one thread, one kind of processor and one version of torch, the same arguments give the same weights,
    to the bit.

    Args:
        train: labelled pictures of one shape.
        test: labelled pictures to measure on; None keeps a tenth of the training pictures for that.
        recipe: how to train.
        name: what to call the classifier in a report.
        progress: called after each epoch with the epochs done, those of all members, and the mean loss.

    Raises:
        RatherError: TRAIN-DATA for pictures that cannot train a classifier, TRAIN-NONFINITE when the loss is
            no longer a number.
    """
    recipe = recipe or ClassifierRecipe()
    data, held, left_out = read_parts(train, test, labelled=True, seed=recipe.seed)
    check_classes(train, data, held)
    mean, std = _mean_and_std(data.images)
    c, h, w = data.images.shape[1:]
    architecture = recipe.architecture or nets.suited((c, h, w))

    means, stds = mean.tolist(), std.tolist()
    members: list[Classifier] = []
    losses: list[tuple[float, ...]] = []
    for number in range(recipe.members):
        history: list[float] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed + number)
            body, head = nets.build(architecture, (c, h, w), len(train.classes))
            for loss in _fit(nn.Sequential(body, head), data, mean, std, recipe):
                history.append(loss)
                progress(number * recipe.epochs + len(history), recipe.members * recipe.epochs, loss)
        losses.append(tuple(history))
        own = name if recipe.members == 1 else f"{name}-{number}"
        members.append(Classifier(body, head, classes=train.classes, shape=(c, h, w), mean=means, std=stds, name=own))
    classifier = members[0] if recipe.members == 1 else ensemble(members, name)
    return classifier, ClassifierFigures(
        trained_on=len(data),
        tested_on=len(held),
        left_out=left_out,
        correct=_correct(classifier, held),
        members_correct=tuple(_correct(one, held) for one in members),
        losses=tuple(losses),
    )


def check_classes(source: Source, data: Pictures, held: Pictures) -> None:
    """Check that pictures can train a classifier: two classes, two pictures of each, one shape."""
    if len(source.classes) < 2:  # noqa: PLR2004 - a class and another
        raise RatherError("TRAIN-DATA", where=source.name, why="it has a single class")
    counts = data.labels.bincount(minlength=len(source.classes))
    if counts.min() < 2:  # noqa: PLR2004 - one picture is no class
        raise RatherError(
            "TRAIN-DATA",
            where=f"{source.name}, class {source.classes[int(counts.argmin())]}",
            why=f"pictures to train on: {int(counts.min())}",
            do="Give more, or leave the class out",
        )
    if not len(held):
        raise RatherError("TRAIN-DATA", where=source.name, why="nothing is left to measure the accuracy on")
    if held.images.shape[1:] != data.images.shape[1:]:
        raise RatherError("TRAIN-DATA", where=source.name, why="training and test pictures differ in shape")


def _mean_and_std(images: UInt8[Tensor, "n c h w"]) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Of each channel, in pixel values; by counting, which is exact and needs no copy of the pictures."""
    counts = torch.stack([channel.flatten().bincount(minlength=256) for channel in images.unbind(1)]).double()
    shares, values = counts / counts.sum(1, keepdim=True), torch.arange(256, dtype=torch.float64) / 255
    mean = shares @ values
    variance = (shares * (values - mean[:, None]) ** 2).sum(1)
    return mean.float(), variance.sqrt().clamp(min=1 / 255).float()


def _fit(
    net: nn.Module, data: Pictures, mean: Float[Tensor, " c"], std: Float[Tensor, " c"], recipe: ClassifierRecipe
) -> Iterator[float]:
    """Train a net; yields the mean loss of each epoch."""
    mean, std = mean[:, None, None], std[:, None, None]
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.lr)
    steps = recipe.epochs * math.ceil(len(data) / recipe.batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
    for _ in range(recipe.epochs):
        total = 0.0
        for rows in torch.randperm(len(data)).split(recipe.batch_size):
            batch = data[rows]
            x = (_moved(batch.images.float() / 255, recipe.shift) - mean) / std
            loss = F.cross_entropy(net(x), batch.labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(rows)
        if not math.isfinite(total):
            raise RatherError("TRAIN-NONFINITE", why=f"the loss is {total}", do="Lower the learning rate")
        yield total / len(data)


def _moved(x: Images, by: int) -> Images:
    """Each picture shifted by -`by` to `by` pixels, down and right; the border is repeated."""
    b, _, h, w = x.shape
    padded = F.pad(x, (by, by, by, by), mode="replicate") if by else x
    down = torch.randint(2 * by + 1, (b, 1, 1)) + torch.arange(h)[:, None]
    right = torch.randint(2 * by + 1, (b, 1, 1)) + torch.arange(w)
    return padded.movedim(1, -1)[torch.arange(b)[:, None, None], down, right].movedim(-1, 1)


def _correct(classifier: Classifier, data: Pictures) -> int:
    return sum(
        int((classifier.probabilities(images.float() / 255).argmax(1) == labels).sum())
        for images, labels in zip(data.images.split(256), data.labels.split(256), strict=True)
    )
