"""The types that everyone shares: Classifier, Goal, Noise, Found, Counterfactuals, Method."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rather.config.errors import RatherError, did_you_mean
from rather.config.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Images = Float[Tensor, "b c h w"]  # pixel values in [0, 1], everywhere in public
Labels = Int[Tensor, " b"]
Logits = Float[Tensor, "b k"]
Features = Float[Tensor, "b d u v"]
#: A class, by number or name, for all rows or for each.
Target = Int[Tensor, "..."] | np.ndarray | np.integer | int | str | Sequence[int | np.integer | str]


class Resource:
    """What a method needs beside its settings, such as reference images: its settings leave it out."""


@final
class Classifier(Resource, nn.Module):
    """Logits of images in [0, 1]: `head(body((x - mean) / std))`.

    `body` gives a map of features (b, d, u, v), `head` its logits (b, k). A net that nobody has cut has the
    image itself as its map. A classifier is for asking, not for training: it stays in evaluation mode, and
    its parameters are frozen.

    Args:
        body: images, normalised, to features.
        head: features to logits.
        classes: a name for each of the k classes, no two alike.
        shape: (c, h, w) of the images that it takes.
        mean: per channel, subtracted from the images; None for 0.
        std: per channel, divides the images; None for 1.
        name: what to call it in a report.
        members: the classifiers of which this one is the ensemble, if it is one.

    Raises:
        RatherError: two classes of one name, or means or deviations that are not one for each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        head: nn.Module,
        *,
        classes: Sequence[str],
        shape: tuple[int, int, int],
        mean: Sequence[float] | Tensor | np.ndarray | None = None,
        std: Sequence[float] | Tensor | np.ndarray | None = None,
        name: str = "classifier",
        members: Sequence[Classifier] = (),
    ) -> None:
        super().__init__()
        self.body, self.head = body, head
        self.classes, self.shape, self.name = tuple(classes), shape, name
        self._members = tuple(members)  # a tuple, so that they are not registered twice
        twice = [one for one, count in Counter(self.classes).items() if count > 1]
        if twice:
            raise RatherError("MODEL-CLASSES", where=twice[0], why="two classes have this name")
        self.register_buffer("mean", _per_channel("mean", 0.0 if mean is None else mean, shape[0]))
        self.register_buffer("std", _per_channel("std", 1.0 if std is None else std, shape[0]))
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, x: Images) -> Logits:
        """The logits of images."""
        given: Tensor = self.head(self.features(x))
        return given

    def features(self, x: Images) -> Features:
        """The map that the head sees."""
        given: Tensor = self.body((x - self.mean) / self.std)
        return given

    @torch.no_grad()
    def probabilities(self, x: Images, batch_size: int = 256) -> Float[Tensor, "b k"]:
        """Class probabilities of images, `batch_size` of them in memory at a time, without gradients."""
        return torch.cat([self(part).softmax(1) for part in x.split(batch_size)])

    @property
    def members(self) -> tuple[Classifier, ...]:
        """The classifiers of an ensemble; of a single one, itself."""
        return self._members or (self,)

    def train(self, mode: bool = True) -> Classifier:
        """Stays in evaluation mode, whatever `mode` says: dropout would make every answer another."""
        del mode
        return super().train(mode=False)

    def fingerprint(self) -> str:
        """A sha256 of its classes and of all that `fingerprint` looks at."""
        return fingerprint(self, self.shape, self.classes, self.get_buffer("mean").device)

    def class_index(self, name: str) -> int:
        """The index of a class given by name or by number; a wrong one is answered with the nearest names."""
        if name not in self.classes and name.isdecimal() and int(name) < len(self.classes):
            return int(name)
        return self.class_named(name)

    def class_named(self, name: str) -> int:
        """The index of a class by its name alone: what another classifier calls "7" is no number here."""
        if name in self.classes:
            return self.classes.index(name)
        raise RatherError(
            "CFG-CLASS",
            where=name,
            why=f"{self.name} knows {len(self.classes)} classes",
            do=did_you_mean(name, self.classes),
        )


@torch.no_grad()
def fingerprint(net: nn.Module, shape: tuple[int, ...], told: object, device: torch.device) -> str:
    """A sha256 of what a net takes, its structure, its numbers and its answers, and of what is told beside.

    The answers are to four inputs of noise, for code can differ where structure and numbers do not. Of each
    answer one weighted sum counts, to 3 decimals, which leaves room for the rounding errors of another
    processor or number of threads. A difference that no such sum shows stays unseen.

    Args:
        net: that takes (b, *shape) in [0, 1] and gives (b, k).
        shape: of one input.
        told: what else makes it what it is; its `repr` counts.
        device: where the net is.
    """
    digest = hashlib.sha256(repr((shape, told, net)).encode())
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    noise = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    answers = net(noise.to(device)).double().cpu()
    weights = torch.linspace(1, 2, answers.shape[1], dtype=torch.float64) / answers.shape[1] ** 0.5
    sums = (answers * weights).sum(1).round(decimals=3) + 0.0  # and not -0.0
    digest.update(repr(sums.tolist()).encode())
    return digest.hexdigest()


def _per_channel(name: str, values: float | Sequence[float] | Tensor | np.ndarray, count: int) -> Tensor:
    numbers = torch.as_tensor(values, dtype=torch.float32).flatten()
    if isinstance(values, float):
        numbers = numbers.expand(count)
    if len(numbers) != count:
        raise RatherError("CFG-SETTING", where=f"{name} of {len(numbers)}", why=f"there are {count} channels")
    return numbers.clone().view(-1, 1, 1)


@final
@dataclass(frozen=True)
class Goal:
    """A class and a confidence for each row.

    Reached when the class is the classifier's first choice and has at least that probability. A *criticism*
    wants another class; a *prototype* wants more confidence in the class that the image has.
    """

    target: Labels
    confidence: Float[Tensor, " b"]

    @classmethod
    def criticism(cls, target: Labels, confidence: float = 0.0) -> Goal:
        """Another class, with at least `confidence`; 0 asks only that it be the first choice."""
        _refuse_confidence(confidence)
        return cls(target.long(), torch.full(target.shape, confidence, device=target.device))

    @classmethod
    def prototype(cls, logits: Logits, confidence: float = 0.0) -> Goal:
        """More confidence in the class that it is: `confidence`, and half of the remaining doubt gone."""
        _refuse_confidence(confidence)
        top = logits.softmax(1).max(1)
        return cls(top.indices, (1 - (1 - top.values) / 2).clamp(min=confidence))

    def reached(self, logits: Logits) -> Bool[Tensor, " b"]:
        """Which rows of logits are at their goal. NaN never is."""
        p = logits.softmax(1)
        mine = p.gather(1, self.target[:, None])[:, 0]
        return (p.argmax(1) == self.target) & (mine >= self.confidence)

    def __getitem__(self, rows: Tensor) -> Goal:
        """The goals of some rows."""
        return Goal(self.target[rows], self.confidence[rows])

    def __len__(self) -> int:
        return len(self.target)


def _refuse_confidence(confidence: float) -> None:
    if not 0 <= confidence <= 1:
        raise RatherError("CFG-SETTING", where=f"confidence {confidence}", why="it is not in [0, 1]")


@final
class Noise:
    """One stream of random numbers per row, seeded by (seed, the row's id).

    So neither the batch that a row is in, nor its place there, nor an interruption can change its numbers.
    (torch's own generator on a CPU keeps 32 bits of its seed, and would be one stream for all.)
    """

    def __init__(self, seed: int, ids: Sequence[str], *, branch: Sequence[int] = ()) -> None:
        if seed < 0:
            raise RatherError("CFG-SETTING", where=f"seed {seed}", why="it is negative")
        self.seed, self.ids, self.branch = seed, tuple(ids), tuple(branch)
        self.streams = [
            np.random.default_rng(np.random.SeedSequence([seed, *_words(row)], spawn_key=self.branch))
            for row in self.ids
        ]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Tensor) -> Noise:
        """The streams of some rows, by their places or by a mask; they go on where they are."""
        part = Noise(self.seed, (), branch=self.branch)
        places = torch.arange(len(self))[rows.cpu()].tolist()
        part.ids = tuple(self.ids[i] for i in places)
        part.streams = [self.streams[i] for i in places]
        return part

    def split(self, count: int) -> list[Noise]:
        """`count` new, independent noises for the same rows."""
        return [Noise(self.seed, self.ids, branch=(*self.branch, n)) for n in range(count)]

    def normal(self, *shape: int) -> Float[Tensor, "b *shape"]:
        """Standard normal numbers, `shape` of them for each row."""
        return self._stack([s.standard_normal(shape, dtype=np.float32) for s in self.streams], shape)

    def uniform(self, *shape: int) -> Float[Tensor, "b *shape"]:
        """Uniform numbers in [0, 1), `shape` of them for each row."""
        return self._stack([s.random(shape, dtype=np.float32) for s in self.streams], shape)

    def choice(self, counts: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """For each row a whole number from 0 to below its count."""
        return torch.tensor(
            [int(s.integers(n)) for s, n in zip(self.streams, counts.tolist(), strict=True)], dtype=torch.long
        )

    @staticmethod
    def _stack(rows: list[np.ndarray], shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, *shape)


def _words(text: str) -> list[int]:
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]


@final
@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search brings back, row by row; whether it is a success is not for the search to say."""

    images: Images  # the counterfactuals, or the best attempts
    steps: Int[Tensor, " b"]  # how many steps the search took
    evaluations: Int[Tensor, " b"]  # how often the classifier, or its head, was asked about this row
    artifacts: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)  # a row: (c, h, w) or (n, c, h, w)
    info: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # a row: plain data (JSON)


@final
@dataclass(frozen=True, kw_only=True)
class Counterfactuals:
    """The answers for a batch of images, judged by the classifier itself on the 8-bit picture.

    `artifacts` and `info` hold what only the method knows: its path, its edits, its attention.
    """

    queries: Images
    images: Images  # on the 8-bit grid, so that a saved PNG is this very picture
    goal: Goal
    classes: tuple[str, ...]
    before: Float[Tensor, "b k"]  # class probabilities of the queries
    after: Float[Tensor, "b k"]  # and of the counterfactuals
    success: Bool[Tensor, " b"]  # the counterfactual is at its goal
    failure: tuple[str, ...]  # empty where found, else a reason: BUDGET, LOST-IN-SAVING or NONFINITE
    steps: Int[Tensor, " b"]
    evaluations: Int[Tensor, " b"]
    artifacts: Mapping[str, Sequence[Tensor]]
    info: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        """How many were found, and why the others were not: the tensors would fill the screen."""
        reasons = sorted(Counter(reason for reason in self.failure if reason).items())
        counts = [f"{int(self.success.sum())} of {len(self)} found", *(f"{n} {reason}" for reason, n in reasons)]
        return f"<Counterfactuals: {'; '.join(counts)}>"

    def plot(self) -> Figure:
        """A sheet: query, counterfactual and what changed, a row each."""
        from rather.plots import sheet

        return sheet(self)

    def save(self, folder: str) -> None:
        """Write the counterfactuals as `0.png`, `1.png`, ... into a folder, losslessly."""
        from rather.io.png import write_png

        for i, image in enumerate(self.images):
            write_png(image, folder, str(i))

    def _repr_png_(self) -> bytes:
        from rather.plots import figure_png

        return figure_png(self.plot())


class Method(Settings, ABC):
    """A way of finding counterfactuals: a frozen value whose fields are its settings; calling it runs it.

    A subclass is final and defines `search`. The module's first line names the paper.
    """

    @abstractmethod
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Find images near `x` that reach the goal. No row may look at another."""

    @final
    def __call__(
        self,
        classifier: Classifier,
        x: Images,
        target: Goal | Target,
        *,
        seed: int = 0,
        ids: Sequence[str] | None = None,
    ) -> Counterfactuals:
        """Explain a batch: for each image the change after which the classifier says `target`.

        Args:
            classifier: whom to ask.
            x: images (b, c, h, w) in [0, 1]; of whatever type of numbers, they are taken as float32.
            target: a class, by number or name, for all rows or for each, or a `Goal`.
            seed: of the noise; together with a row's id it fixes all that is random.
            ids: a name for each row, by default its place in the batch.

        Raises:
            RatherError: images of another shape or range, a class that does not exist, a row already there.
        """
        _check_kinds(classifier, x)
        # A search takes gradients, which nothing made in inference mode can have: hence the copies, too.
        with torch.inference_mode(mode=False), torch.random.fork_rng(devices=[]):  # torch's stream: no trace
            x = x.detach().to(torch.float32, copy=True)
            goal = _goal(classifier, target, x)
            names = [str(i) for i in range(len(x))] if ids is None else ids
            _check(classifier, x, goal, names)
            before = classifier.probabilities(x)
            there = goal.reached(before.log())
            if there.any():
                raise RatherError(
                    "GOAL-REACHED",
                    where=f"row {int(there.nonzero()[0])}",
                    why="the classifier already says so",
                    do="Choose another target, or ask for more confidence with Goal.prototype",
                )
            found = self.search(classifier, x, goal, Noise(seed, names)) if names else _nothing(x, goal)
            _check_found(self.name(), found, x)
            raw = found.images.detach()
            finite = raw.isfinite().flatten(1).all(1)
            raw = torch.where(finite[:, None, None, None], raw, x).clamp(0, 1)
            images = (raw * 255).round() / 255
            after = classifier.probabilities(images)
            reached = goal.reached(after.log()) & finite
            lost = goal.reached(classifier.probabilities(raw).log()) & ~reached
        why = tuple(
            "" if r else "NONFINITE" if not f else "LOST-IN-SAVING" if w else "BUDGET"
            for r, f, w in zip(reached.tolist(), finite.tolist(), lost.tolist(), strict=True)
        )
        return Counterfactuals(
            queries=x,
            images=images,
            goal=goal,
            classes=classifier.classes,
            before=before,
            after=after,
            success=reached,
            failure=why,
            steps=found.steps,
            evaluations=found.evaluations,
            artifacts=found.artifacts,
            info=found.info,
        )

    def settings(self) -> dict[str, Any]:
        """Its settings as plain data, its name among them; `methods.build` makes the method of them again."""
        return {"name": self.name()} | {
            key: _plain(value, f"{self.name()}.{key}") for key, value in self if not isinstance(value, Resource)
        }


def _nothing(x: Images, goal: Goal) -> SearchResult:
    """What is found for no rows, so that no search need think of them."""
    return SearchResult(images=x, steps=torch.zeros_like(goal.target), evaluations=torch.zeros_like(goal.target))


def _plain(value: object, where: str) -> Any:
    if isinstance(value, Method):
        return value.settings()
    if isinstance(value, list | tuple):
        return type(value)([_plain(part, where) for part in value])
    if isinstance(value, dict):
        return {key: _plain(part, f"{where}.{key}") for key, part in value.items()}
    if isinstance(value, bool | int | float | str | type(None)):
        return value
    raise TypeError(f"{where}: {type(value).__name__} is neither plain data nor a Method nor a Resource")


def _goal(classifier: Classifier, target: Goal | Target, x: Images) -> Goal:
    if isinstance(target, Goal):
        return Goal(target.target.to(x.device, copy=True), target.confidence.to(x.device, copy=True))
    if isinstance(target, str):
        target = classifier.class_index(target)
    elif isinstance(target, Sequence):
        target = [classifier.class_index(one) if isinstance(one, str) else one for one in target]
    try:
        classes = torch.as_tensor(target, device=x.device)
    except (TypeError, ValueError, RuntimeError):  # what torch says of None, of ragged lists, of objects
        classes = torch.empty(0)
    if classes.is_floating_point() or classes.dtype == torch.bool:
        raise RatherError("CFG-CLASS", where=f"target {target!r:.60}", why="no class, and not one for each row")
    return Goal.criticism(classes.expand(len(x)).clone() if classes.ndim == 0 else classes.clone())


def _check_kinds(classifier: object, x: object) -> None:
    if not isinstance(classifier, Classifier):
        raise RatherError(
            "MODEL-INPUT",
            where=type(classifier).__name__,
            why="not a Classifier",
            do="Wrap it: rather.adapt(net, shape=(c, h, w))",
        )
    if not isinstance(x, Tensor):
        raise RatherError(
            "DATA-SHAPE", where=f"x is of type {type(x).__name__}", do="Give a tensor (b, c, h, w) in [0, 1]"
        )
    if x.ndim != 4 or tuple(x.shape[1:]) != classifier.shape:  # noqa: PLR2004 - b, c, h, w
        raise RatherError(
            "DATA-SHAPE",
            where=f"x of shape {tuple(x.shape)}",
            why=f"{classifier.name} takes (b, {', '.join(map(str, classifier.shape))})",
        )


def _check_found(name: str, found: SearchResult, x: Images) -> None:
    """A search that brings back something else for each row is its author's fault, not the user's."""
    if found.images.shape != x.shape:
        raise TypeError(f"{name}: images {tuple(found.images.shape)} for x {tuple(x.shape)}")
    for key, count in (("steps", found.steps), ("evaluations", found.evaluations)):
        if count.shape != x.shape[:1]:
            raise TypeError(f"{name}: {key} {tuple(count.shape)} for {len(x)} rows")
    for key, per_row in [*found.artifacts.items(), *found.info.items()]:
        if len(per_row) != len(x):
            raise TypeError(f"{name}: {len(per_row)} of {key!r} for {len(x)} rows")


def _check(classifier: Classifier, x: Images, goal: Goal, ids: Sequence[str]) -> None:
    if len(ids) != len(x):
        raise RatherError("CFG-OPTIONS", where=f"{len(ids)} ids", why=f"there are {len(x)} images")
    if goal.target.shape != x.shape[:1]:
        raise RatherError("CFG-CLASS", where=f"targets {tuple(goal.target.shape)}", why=f"there are {len(x)} images")
    bad = ~(x.isfinite() & (x >= 0) & (x <= 1)).flatten(1).all(1)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise RatherError(
            "DATA-NONFINITE",
            where=f"image {row}",
            why=f"values from {float(x[row].min()):.3g} to {float(x[row].max()):.3g}",
            do="Scale to [0, 1]; normalisation belongs inside the classifier",
        )
    wrong = (goal.target < 0) | (goal.target >= len(classifier.classes))
    if wrong.any():
        raise RatherError(
            "CFG-CLASS",
            where=f"target {int(goal.target[wrong][0])}",
            why=f"the classes are 0 to {len(classifier.classes) - 1}",
        )


def rows_of(values: Mapping[str, Sequence[Any]], row: int) -> Iterator[tuple[str, Any]]:
    """What `artifacts` or `info` hold for one row."""
    return ((name, per_row[row]) for name, per_row in values.items())
