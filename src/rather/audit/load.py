"""The images of a run, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
class Seen:
    """The images of a run that could be read, and what was said of them."""

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
        none = self.found[:0]
        return none if self.labels is None else (self.labels >= 0).nonzero()[:, 0]

    @property
    def queries(self) -> Images:
        """Those that have a counterfactual."""
        return self.images[self.found]

    def some(self, count: int) -> Seen:
        """As many of the images, evenly spread, without their counterfactuals."""
        rows = torch.tensor(evenly_spaced(len(self.ids), count))
        none = self.found[:0]
        return Seen(
            ids=[self.ids[n] for n in rows.tolist()],
            images=self.images[rows],
            probabilities=self.probabilities[rows],
            predicted=self.predicted[rows],
            labels=None if self.labels is None else self.labels[rows],
            found=none,
            target=none,
            counterfactuals=self.images[:0],
        )

    def examples(self, rows: Tensor, score: Tensor, count: int = _EXAMPLES) -> list[str]:
        """The ids of the rows of the largest scores above 0."""
        best = score.argsort(descending=True, stable=True)[:count]
        return [self.ids[int(rows[n])] for n in best.tolist() if score[n] > 0]


def read(run: Run, classes: Sequence[str]) -> Seen:
    """All rows of a run whose image was asked about.

    Raises:
        RatherError: DATA-EMPTY if there is none, RUN-DAMAGED.
    """
    ids: list[str] = []
    images: list[Tensor] = []
    said, labels, found, target, counterfactuals = [], [], [], [], []
    number = {name: n for n, name in enumerate(classes)}
    for row in run.rows():
        if not row.query or len(row.before) != len(classes):
            continue
        try:
            query = unpng(row.query)
            image = unpng(row.image) if row.image and row.status == "found" else None
        except RatherError as error:
            raise run.damaged(row.id, str(error)) from None
        if images and query.shape != images[0].shape:
            raise run.damaged(row.id, f"an image of shape {tuple(query.shape)}")
        if image is not None and image.shape == query.shape and row.target in number:
            found.append(len(ids))
            target.append(number[row.target])
            counterfactuals.append(image)
        ids.append(row.id)
        images.append(query)
        said.append(row.before)
        labels.append(number.get(row.label or "", -1))
    if not ids:
        raise RatherError("DATA-EMPTY", where=run.folder, why="no row of it has an image that was asked about")
    x, probabilities = torch.stack(images), torch.tensor(said)
    return Seen(
        ids=ids,
        images=x,
        probabilities=probabilities,
        predicted=probabilities.argmax(1),
        labels=torch.tensor(labels) if max(labels) >= 0 else None,
        found=torch.tensor(found, dtype=torch.long),
        target=torch.tensor(target, dtype=torch.long),
        counterfactuals=torch.stack(counterfactuals) if counterfactuals else x[:0],
    )
