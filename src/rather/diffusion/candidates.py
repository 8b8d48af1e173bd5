"""The nearest success of a search whose answers are more than its points, and dear to make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Final, final

import torch
from jaxtyping import Bool
from torch import Tensor

from rather.core import Classifier, Goal, Images
from rather.diffusion.refinement import Mask, Thresholds
from rather.search.descend import PerRow, Rows, bisect, on_grid

#: Images, and where each was changed.
Answer = tuple[Images, Mask]
#: Of points and the rows that they belong to; by a threshold each, if others than usual are asked for.
Answering = Callable[[Images, Rows, Thresholds | None], Answer]

_FARTHER: Final = 1.02  # times the distance of one that failed: less than that is not worth another look


@final
class Candidates:
    """Points that a search comes by: looked at until one leads to a success, then kept until it is over.

    What comes after the first success is mostly nearer and succeeds as well. So at the end the nearest is
    looked at first, and a row costs a few answers in place of one for each point.
    """

    def __init__(self, classifier: Classifier, goal: Goal, answer: Answering) -> None:
        self.classifier, self.goal, self.answer = classifier, goal, answer
        self.asked = torch.zeros_like(goal.target)  # how often, of each row
        self.sure = torch.zeros_like(goal.target, dtype=torch.bool)  # that there is a success
        self._kept: list[tuple[Images, Rows, PerRow]] = []
        self._best: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # of a row: point and answer

    @torch.no_grad()
    def keep(self, z: Images, rows: Rows, promising: Bool[Tensor, " n"], distance: PerRow) -> Bool[Tensor, " n"]:
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
    def nearest(self, otherwise: Images) -> tuple[Images, Answer]:
        """The nearest candidate of each row that succeeds, or what is given, and its answer."""
        if self._kept:
            self._look_back(*(torch.cat(parts) for parts in zip(*self._kept, strict=True)))
        (never,) = (~self.sure).nonzero(as_tuple=True)
        if len(never):
            self._note(never, otherwise[never], self.answer(otherwise[never], never, None))
        z, images, masks = (
            torch.stack([*some]) for some in zip(*(self._best[row] for row in range(len(self.sure))), strict=True)
        )
        return z, (images, masks)

    @torch.no_grad()
    def smallest(
        self, z: Images, answer: Answer, threshold: float, mask_search_steps: int
    ) -> tuple[Answer, Thresholds]:
        """Answers within the smallest mask that succeeds, and the thresholds that make it.

        By bisection: of a row whose success comes and goes as the threshold rises, one of its borders.

        Args:
            z: a point of each row.
            answer: by the threshold; where it fails, it is left as it is.
            threshold: the least; a larger one makes a smaller mask.
            mask_search_steps: of what lies between it and 1; with 0 the answers are those that are given.
        """
        thresholds = z.new_full((len(z),), threshold)
        if not mask_search_steps:
            return answer, thresholds
        images, masks = (some.clone() for some in answer)
        (able,) = self._succeed(images, torch.arange(len(z), device=z.device)).nonzero(as_tuple=True)

        def succeeds(some: Thresholds, which: Rows) -> Bool[Tensor, " n"]:
            rows = able[which]
            there, theirs = self.answer(z[rows], rows, some)
            good = self._succeed(there, rows)
            images[rows[good]], masks[rows[good]] = there[good], theirs[good]
            self.asked[rows] += 1
            return good

        low = thresholds[able]
        thresholds[able] = bisect(succeeds, low, torch.ones_like(low), steps=mask_search_steps)
        return (images, masks), thresholds

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

    def _look(self, z: Images, rows: Rows) -> Bool[Tensor, " n"]:
        images, masks = self.answer(z, rows, None)
        good = self._succeed(images, rows)
        self._note(rows[good], z[good], (images[good], masks[good]))
        self.asked[rows] += 1
        return good

    def _succeed(self, images: Images, rows: Rows) -> Bool[Tensor, " n"]:
        return self.goal[rows].reached(self.classifier(on_grid(images)))

    def _note(self, rows: Rows, z: Images, answer: Answer) -> None:
        self._best |= dict(zip(rows.tolist(), zip(z, *answer, strict=True), strict=True))
