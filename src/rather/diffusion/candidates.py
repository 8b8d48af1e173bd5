"""The nearest success of a search whose answers are more than its points, and dear to make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Final, final

import torch
from jaxtyping import Bool
from torch import Tensor

from rather.core import Classifier, Goal, Images
from rather.diffusion.refinement import Mask
from rather.search import PerRow, Rows, bisect, on_grid

#: Images, and where each was changed.
Answer = tuple[Images, Mask]
#: Answers to points with a threshold each.
Masked = Callable[[Images, Rows, PerRow], Answer]

_FARTHER: Final = 1.02  # times the distance of one that failed: less than that is not worth another look


@final
class Candidates:
    """Points that a search comes by: looked at until one leads to a success, then kept until it is over.

    What comes after the first success is mostly nearer and succeeds as well. So at the end the nearest is
    looked at first, and a row costs a few answers in place of one for each point.
    """

    def __init__(self, classifier: Classifier, goal: Goal, answer: Callable[[Images, Rows], Answer]) -> None:
        self.classifier, self.goal, self.answer = classifier, goal, answer
        self.asked = torch.zeros_like(goal.target)  # how often, of each row
        self.sure = torch.zeros_like(goal.target, dtype=torch.bool)  # that there is a success
        self._kept: list[tuple[Images, Rows, PerRow]] = []
        self._best: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # of a row: point and answer

    @torch.no_grad()
    def among(
        self, z: Images, rows: Rows, promising: Bool[Tensor, " n"], distance: PerRow
    ) -> Bool[Tensor, " n"]:
        """Which of some points are candidates.

        Args:
            z: the points.
            rows: that they belong to.
            promising: which are worth a look.
            distance: how far each is.
        """
        z, distance = z.detach(), distance.detach()
        (first,) = (promising & ~self.sure[rows]).nonzero(as_tuple=True)
        if len(first):
            self.sure[rows[first]] = self._look(z[first], rows[first])
        kept = promising & self.sure[rows]
        if kept.any():
            self._kept.append((z[kept], rows[kept], distance[kept]))
        return kept

    @torch.no_grad()
    def nearest(self, otherwise: Images) -> None:
        """Take the nearest candidate of each row that succeeds, or else what is given."""
        if self._kept:
            self._look_back(*(torch.cat(parts) for parts in zip(*self._kept, strict=True)))
        (never,) = (~self.sure).nonzero(as_tuple=True)
        if len(never):
            self._note(never, otherwise[never], self.answer(otherwise[never], never))

    @torch.no_grad()
    def smallest(self, masked: Masked, threshold: float, halvings: int) -> None:
        """For each success, once `nearest` has found it, the smallest mask whose answer succeeds as well.

        Args:
            masked: the answer to a point by a threshold; a larger one makes a smaller mask.
            threshold: by which it has succeeded; sought is the largest between this and 1.
            halvings: of what lies between.
        """
        (able,) = self.sure.nonzero(as_tuple=True)
        if not len(able):
            return
        points = torch.stack([self._best[row][0] for row in able.tolist()])

        def succeeds(thresholds: PerRow, some: Rows) -> Bool[Tensor, " n"]:
            return self._look(points[some], able[some], masked(points[some], able[some], thresholds))

        low = points.new_full((len(able),), threshold)
        bisect(succeeds, low, torch.ones_like(low), steps=halvings)

    def taken(self) -> tuple[Images, Answer]:
        """The point of each row, and its answer."""
        z, images, masks = (
            torch.stack([*some])
            for some in zip(*(self._best[row] for row in range(len(self.sure))), strict=True)
        )
        return z, (images, masks)

    def _look_back(self, z: Images, rows: Rows, distance: PerRow) -> None:
        far, row_of = distance.tolist(), rows.tolist()
        queues: dict[int, list[int]] = defaultdict(list)
        for n in distance.argsort(stable=True).tolist():
            queues[row_of[n]].append(n)
        while queues:
            heads = torch.tensor([queue[0] for queue in queues.values()], device=rows.device)
            failed = heads[~self._look(z[heads], rows[heads])].tolist()
            rest = {row_of[n]: [m for m in queues[row_of[n]] if far[m] > _FARTHER * far[n]] for n in failed}
            queues = {row: queue for row, queue in rest.items() if queue}

    def _look(self, z: Images, rows: Rows, answer: Answer | None = None) -> Bool[Tensor, " n"]:
        images, masks = answer or self.answer(z, rows)
        good = self.goal[rows].reached(self.classifier(on_grid(images)))
        self._note(rows[good], z[good], (images[good], masks[good]))
        self.asked[rows] += 1
        return good

    def _note(self, rows: Rows, z: Images, answer: Answer) -> None:
        self._best |= dict(zip(rows.tolist(), zip(z, *answer, strict=True), strict=True))
