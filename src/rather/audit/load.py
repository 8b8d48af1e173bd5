"""The images of a run, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Images
from rather.hub.resources import evenly_spaced
from rather.io.png import unpng
from rather.runs.store import Run

_EXAMPLES: Final = 6


@final
@dataclass(frozen=True, eq=False)
class LoadedRun:
    """The readable images of a run with their predictions, labels and counterfactuals."""

    ids: Sequence[str]
    images: Images
    probabilities: Float[Tensor, "n k"]
    predicted: Int[Tensor, " n"]
    labels: Int[Tensor, " n"] | None  # -1 where there is none; None if there is none at all
    found: Int[Tensor, " f"]  # the rows that have a counterfactual
    target: Int[Tensor, " f"]
    counterfactuals: Images

    @property
    def labelled(self) -> Int[Tensor, " m"]:
        """The rows that have a label."""
        return self.found[:0] if self.labels is None else (self.labels >= 0).nonzero()[:, 0]

    @property
    def queries(self) -> Images:
        """The images that have a counterfactual."""
        return self.images[self.found]

    def evenly_spaced(self, count: int) -> LoadedRun:
        """At most `count` of the images, evenly spaced, without their counterfactuals."""
        rows = torch.tensor(evenly_spaced(len(self.ids), count))
        return replace(
            self,
            ids=[self.ids[n] for n in rows.tolist()],
            images=self.images[rows],
            probabilities=self.probabilities[rows],
            predicted=self.predicted[rows],
            labels=None if self.labels is None else self.labels[rows],
            found=self.found[:0],
            target=self.found[:0],
            counterfactuals=self.images[:0],
        )

    def examples(self, rows: Tensor, score: Tensor) -> list[str]:
        """The ids of the rows with the largest scores above 0."""
        best = score.argsort(descending=True, stable=True)[:_EXAMPLES]
        return [self.ids[int(rows[n])] for n in best.tolist() if score[n] > 0]


def load(run: Run, classes: Sequence[str]) -> LoadedRun:
    """All rows of a run whose image could be read and classified.

    Raises:
        RatherError: DATA-EMPTY if there is none, RUN-DAMAGED.
    """
    ids: list[str] = []
    images: list[Tensor] = []
    probabilities, labels, found, target, counterfactuals = [], [], [], [], []
    number = {name: n for n, name in enumerate(classes)}
    for row in run.rows():
        if not row.query or len(row.before) != len(classes):
            continue
        with run.reading(row.id):
            query = unpng(row.query)
            image = unpng(row.image) if row.image and row.status == "found" else None
        if images and query.shape != images[0].shape:
            raise run.damaged(row.id, f"an image of shape {tuple(query.shape)}")
        if image is not None and image.shape == query.shape and row.target in number:
            found.append(len(ids))
            target.append(number[row.target])
            counterfactuals.append(image)
        ids.append(row.id)
        images.append(query)
        probabilities.append(row.before)
        labels.append(number.get(row.label or "", -1))
    if not ids:
        raise RatherError("DATA-EMPTY", where=run.folder, why="no row of it has an image that was classified")
    x, before = torch.stack(images), torch.tensor(probabilities)
    return LoadedRun(
        ids=ids,
        images=x,
        probabilities=before,
        predicted=before.argmax(1),
        labels=torch.tensor(labels) if max(labels) >= 0 else None,
        found=torch.tensor(found, dtype=torch.long),
        target=torch.tensor(target, dtype=torch.long),
        counterfactuals=torch.stack(counterfactuals) if counterfactuals else x[:0],
    )
