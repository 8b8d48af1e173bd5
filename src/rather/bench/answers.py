"""The answers of a run as tensors; what several scores need of them is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from rather.bench.judges import Nets, Pair
from rather.bench.places import Grid, key_points_in_cells, objects_in_cells
from rather.core import Goal, Images, Labels
from rather.data.source import Source
from rather.io.png import unpng
from rather.metrics.cell_edits import Edits
from rather.metrics.features import pooled
from rather.runs.store import Row


@final
@dataclass(frozen=True)
class Answers:
    """Rows that have a query and an answer."""

    rows: Sequence[Row]
    nets: Nets

    @cached_property
    def queries(self) -> Images:
        """The images."""
        return torch.stack([unpng(row.query or b"") for row in self.rows])

    @cached_property
    def images(self) -> Images:
        """The counterfactuals, or the best attempts."""
        return torch.stack([unpng(row.image or b"") for row in self.rows])

    @cached_property
    def predicted(self) -> Labels:
        """The classes that the classifier sees in the queries."""
        return torch.tensor([self.nets.classifier.class_named(row.predicted or "") for row in self.rows])

    @cached_property
    def target(self) -> Labels:
        """The classes that were asked for."""
        return torch.tensor([self.nets.classifier.class_named(row.target or "") for row in self.rows])

    @cached_property
    def grid(self) -> Grid:
        """Rows and columns of the classifier's features."""
        with torch.no_grad():
            _, _, u, v = self.nets.classifier.features(self.queries[:1]).shape
        return u, v

    @cached_property
    def edits(self) -> Edits:
        """(Query cell, distractor cell), in order, of each row that exchanges some with one distractor."""
        told = [(row.info.get("edits"), "distractor" in row.info) for row in self.rows]
        return [edits if isinstance(edits, list) and one else [] for edits, one in told]

    @cached_property
    def exchanging(self) -> list[int]:
        """Which rows exchange cells."""
        return [n for n, edits in enumerate(self.edits) if edits]

    @cached_property
    def key_points(self) -> tuple[Tensor, Tensor]:
        """Which cells show which key point, in queries and distractors of the rows that exchange cells."""
        return self._in_cells(self.nets.key_points_of, key_points_in_cells)

    @cached_property
    def objects(self) -> tuple[Tensor, Tensor]:
        """Which cells show the object, in queries and distractors of the rows that exchange cells."""
        return self._in_cells(self.nets.objects_of, objects_in_cells)

    def _in_cells(
        self, pictures: Pair | None, where: Callable[[Source, Sequence[str], Grid], Tensor]
    ) -> tuple[Tensor, Tensor]:
        assert pictures is not None  # noqa: S101 - asked for only then
        queries, distractors = pictures
        rows = [self.rows[n] for n in self.exchanging]
        return (
            where(queries, [row.id for row in rows], self.grid),
            where(distractors, [row.info["distractor"] for row in rows], self.grid),
        )

    @cached_property
    def goal(self) -> Goal:
        """With the confidence that was asked for."""
        return Goal(self.target, torch.tensor([row.confidence for row in self.rows]))

    @cached_property
    def after(self) -> Tensor:
        """Log-probabilities of the answers."""
        return torch.tensor([row.after for row in self.rows], dtype=torch.float64).log()

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """Of queries and answers."""
        assert self.nets.features is not None  # noqa: S101 - asked for only then
        return pooled(self.nets.features, self.queries), pooled(self.nets.features, self.images)

    @cached_property
    def attributes(self) -> tuple[Tensor, Tensor]:
        """Of queries and answers, as the oracle reads them."""
        assert self.nets.oracle is not None  # noqa: S101 - asked for only then
        return self.nets.oracle.values(self.queries), self.nets.oracle.values(self.images)

    @cached_property
    def said(self) -> tuple[Labels, Labels, Labels, Labels]:
        """What the classifier says before and after, and the judge, whose classes are taken for the truth."""
        judge = self.nets.judge
        assert judge is not None  # noqa: S101 - asked for only then
        names = self.nets.classifier.classes
        own = torch.tensor([names.index(name) if name in names else -1 for name in judge.classes])
        before, after = (judge.probabilities(x).argmax(1) for x in (self.queries, self.images))
        return self.predicted, self.after.argmax(1), own[before], own[after]

    @cached_property
    def truths(self) -> Images:
        """The true counterfactuals; NaN of those that do not reach the target."""
        assert self.nets.truth is not None  # noqa: S101 - asked for only then
        truths = self.nets.truth.images([row.id for row in self.rows], self.target == 1)
        solved = self.nets.classifier.probabilities(truths).argmax(1) == self.target
        return torch.where(solved[:, None, None, None], truths, torch.nan)
