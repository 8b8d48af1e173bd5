"""What a search finds, and what comes of it once the classifier has judged it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, final, overload

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rather.config.errors import RatherError
from rather.core.goal import Goal
from rather.types import Image, Images, Labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The outcome of a row, here and in a stored run.
Status = Literal["found", "not_found", "already", "failed"]
_STATUS_OF: Final[Mapping[str, Status]] = {
    "": "found",
    "BUDGET": "not_found",
    "GRADIENT-NONFINITE": "not_found",
    "LOST-IN-SAVING": "not_found",
    "NO-REGION": "not_found",
    "ALREADY-TARGET": "already",
}
_SHOWN: Final = 4  # rows that a notebook shows by itself


@final
@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search finds, row by row; whether it is a success is not for the search to say."""

    images: Images  # the counterfactuals, or the best attempts
    steps: Int[Tensor, " b"]  # how many steps the search took
    evaluations: Int[Tensor, " b"]  # how often the classifier, or its head, was evaluated for this row
    artifacts: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)  # a row: (c, h, w) or (n, c, h, w)
    info: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # a row: plain data (JSON)

    @classmethod
    def cat(cls, parts: Sequence[SearchResult]) -> SearchResult:
        """What several searches of one method find, as one."""
        images, steps, evaluations = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("images", "steps", "evaluations")
        )
        artifacts = _joined([part.artifacts for part in parts], parts, images[:0])
        info = _joined([part.info for part in parts], parts, None)
        return cls(images=images, steps=steps, evaluations=evaluations, artifacts=artifacts, info=info)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Int[Tensor, " n"]) -> SearchResult:
        """What it finds for some rows."""
        places = rows.tolist()
        artifacts, info = (
            {name: [values[n] for n in places] for name, values in each.items()} for each in (self.artifacts, self.info)
        )
        return SearchResult(
            images=self.images[rows],
            steps=self.steps[rows],
            evaluations=self.evaluations[rows],
            artifacts=artifacts,
            info=info,
        )


@final
@dataclass(frozen=True, kw_only=True)
class Counterfactuals:
    """A counterfactual, or the best attempt at one, for each image of a batch, judged on the 8-bit picture.

    Index it with a number for one row, a `Counterfactual`, or with a slice for some of them; or iterate over it.
    A row whose image is at its goal already is not searched: its status is "already", its image is the query, it
    counts as no success, and its artifacts are empty.
    """

    queries: Images
    images: Images  # of each row that was searched on the 8-bit grid, so that a saved PNG is this very picture
    goal: Goal
    classes: tuple[str, ...]
    before: Float[Tensor, "b k"]  # class probabilities of the queries
    after: Float[Tensor, "b k"]  # class probabilities of the images
    success: Bool[Tensor, " b"]  # a counterfactual was found: its picture is at the goal
    failure: tuple[str, ...]  # empty where found, else a key of `config.errors.REASONS`
    steps: Int[Tensor, " b"]
    evaluations: Int[Tensor, " b"]
    artifacts: Mapping[str, Sequence[Tensor]]  # what only the method knows: its path, edits, attention
    info: Mapping[str, Sequence[Any]]
    ids: tuple[str, ...] = ()  # the name of each row; empty for its number

    @property
    def status(self) -> tuple[Status, ...]:
        """The outcome of each row."""
        return tuple(_STATUS_OF.get(reason, "failed") for reason in self.failure)

    @classmethod
    def cat(cls, parts: Sequence[Counterfactuals]) -> Counterfactuals:
        """Several batches of one classifier as one."""
        if len(parts) == 1:
            return parts[0]
        goals = [part.goal for part in parts]
        tensors = ("queries", "images", "before", "after", "success", "steps", "evaluations")
        return cls(
            goal=Goal(torch.cat([one.target for one in goals]), torch.cat([one.confidence for one in goals])),
            classes=parts[0].classes,
            failure=tuple(reason for part in parts for reason in part.failure),
            artifacts=_joined([part.artifacts for part in parts], parts, parts[0].queries[:0]),
            info=_joined([part.info for part in parts], parts, None),
            ids=tuple(one for part in parts for one in part.ids),
            **{name: torch.cat([getattr(part, name) for part in parts]) for name in tensors},
        )

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, row: int) -> Counterfactual: ...
    @overload
    def __getitem__(self, row: slice) -> Counterfactuals: ...

    def __getitem__(self, row: int | slice) -> Counterfactual | Counterfactuals:
        """One row by its number, or a slice of them."""
        if isinstance(row, slice):
            return self._rows(row)
        place = range(len(self))[row]
        return Counterfactual(self._rows(slice(place, place + 1)), place)

    def __iter__(self) -> Iterator[Counterfactual]:
        return (self[row] for row in range(len(self)))

    def _rows(self, rows: slice) -> Counterfactuals:
        some = {name: getattr(self, name)[rows] for name in _PER_ROW}
        artifacts = {name: values[rows] for name, values in self.artifacts.items()}
        info = {name: values[rows] for name, values in self.info.items()}
        goal = Goal(self.goal.target[rows], self.goal.confidence[rows])
        return replace(self, goal=goal, artifacts=artifacts, info=info, **some)

    def __repr__(self) -> str:
        """How many were found, and why the others were not: the tensors would fill the screen."""
        reasons = sorted(Counter(reason for reason in self.failure if reason).items())
        counts = [f"{int(self.success.sum())} of {len(self)} found", *(f"{n} {reason}" for reason, n in reasons)]
        return f"<Counterfactuals: {'; '.join(counts)}>"

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns with a value for each row; probabilities are of the target."""
        target = self.goal.target[:, None]
        return {
            "id": [*self.ids] or [str(row) for row in range(len(self))],
            "status": [*self.status],
            "reason": [*self.failure],
            "predicted": _named(self, self.before.argmax(1)),
            "target": _named(self, self.goal.target),
            "before": self.before.gather(1, target)[:, 0].tolist(),
            "after": self.after.gather(1, target)[:, 0].tolist(),
            "steps": self.steps.tolist(),
            "evaluations": self.evaluations.tolist(),
        }

    def to_pandas(self) -> Any:
        """The columns of `to_dict` as a `pandas.DataFrame`.

        Raises:
            RatherError: MODEL-MISSING-LIBRARY without pandas.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            do = "pip install 'rather[pandas]', or take to_dict()"
            raise RatherError("MODEL-MISSING-LIBRARY", where="pandas", do=do) from None
        return DataFrame(self.to_dict())

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

        return figure_png(self[:_SHOWN].plot())


def _named(rows: Counterfactuals, classes: Labels) -> list[str]:
    """The names of classes; nothing of a row that the classifier gave no answer for."""
    known = rows.before.isfinite().all(1)
    return [rows.classes[k] if there else "" for k, there in zip(classes.tolist(), known.tolist(), strict=True)]


def _joined(values: Sequence[Mapping[str, Sequence[Any]]], parts: Sequence[Sized], none: Any) -> Any:
    """What artifacts or info of several batches are as one; a batch that has no such rows has `none` for each."""
    names = dict.fromkeys(name for each in values for name in each)
    return {
        name: [row for each, part in zip(values, parts, strict=True) for row in each.get(name, [none] * len(part))]
        for name in names
    }


_PER_ROW: Final = ("queries", "images", "before", "after", "success", "failure", "steps", "evaluations", "ids")


@final
class Counterfactual:
    """One row of `Counterfactuals`."""

    def __init__(self, one: Counterfactuals, number: int = 0) -> None:
        self._one = one
        self.id = one.ids[0] if one.ids else str(number)
        self.query: Image = one.queries[0]
        self.image: Image = one.images[0]
        self.status: Status = one.status[0]
        self.success = bool(one.success[0])
        self.reason = one.failure[0]  # why not found, in a word; empty where found
        (self.predicted,) = _named(one, one.before.argmax(1))  # of the query
        (self.target,) = _named(one, one.goal.target)
        self.before: Float[Tensor, " k"] = one.before[0]  # class probabilities of the query
        self.after: Float[Tensor, " k"] = one.after[0]  # and of the counterfactual
        self.steps, self.evaluations = int(one.steps[0]), int(one.evaluations[0])
        self.artifacts = dict(rows_of(one.artifacts, 0))
        self.info = dict(rows_of(one.info, 0))

    def __repr__(self) -> str:
        """What became of it, without its pictures."""
        if not self.predicted:
            return f"<Counterfactual {self.id}: {self.status}, {self.reason}>"
        k = self._one.classes.index(self.target)
        says = f"{self.target} {float(self.before[k]):.0%} -> {float(self.after[k]):.0%}"
        return f"<Counterfactual {self.id}: {self.status}, {self.predicted} to {says}>"

    def plot(self) -> Figure:
        """Query, counterfactual and what changed, side by side."""
        return self._one.plot()

    def _repr_png_(self) -> bytes:
        return self._one._repr_png_()


def rows_of(values: Mapping[str, Sequence[Any]], row: int) -> Iterator[tuple[str, Any]]:
    """What `artifacts` or `info` hold for one row."""
    return ((name, per_row[row]) for name, per_row in values.items())
