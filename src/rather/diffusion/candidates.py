"""The nearest point of a search whose refinement succeeds, found with few refinements."""

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

#: Refined images, and their masks of what may change.
Answer = tuple[Images, Mask]
#: (points, the rows that they belong to, a mask threshold for each or None for the usual one) -> answers.
Refine = Callable[[Images, Rows, Thresholds | None], Answer]

_FARTHER: Final = 1.02  # times the distance of a point that failed: a nearer one is not worth a refinement


@final
class Candidates:
    """Points of a search that are worth a refinement, and the nearest of them whose refinement succeeds.

    Each point is refined until one of its row succeeds; later points are only kept. They are mostly nearer and
    succeed as well, so at the end the nearest is refined first: a few refinements for a row in place of one
    for each point.
    """

    def __init__(self, classifier: Classifier, goal: Goal, refine: Refine) -> None:
        self.classifier, self.goal, self.refine = classifier, goal, refine
        self.tries = torch.zeros_like(goal.target)  # refinements of each row that were judged
        self.success = torch.zeros_like(goal.target, dtype=torch.bool)  # rows with a refinement that succeeds
        self._kept: list[tuple[Images, Rows, PerRow]] = []
        self._best: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # row -> point and answer

    @torch.no_grad()
    def keep(self, z: Images, rows: Rows, promising: Bool[Tensor, " n"], distance: PerRow) -> Bool[Tensor, " n"]:
        """Keep points, and say which are candidates: promising ones of a row with a success.

        Args:
            z: the points.
            rows: the rows that they belong to.
            promising: which are worth a refinement.
            distance: of each point from its query.
        """
        z, distance = z.detach(), distance.detach()
        (first,) = (promising & ~self.success[rows]).nonzero(as_tuple=True)
        if len(first):
            self.success[rows[first]] = self._try(z[first], rows[first])
        kept = promising & self.success[rows]
        if kept.any():
            self._kept.append((z[kept], rows[kept], distance[kept]))
        return kept

    @torch.no_grad()
    def nearest(self, otherwise: Images) -> tuple[Images, Answer]:
        """The nearest candidate of each row whose refinement succeeds, else the given point; and its answer."""
        if self._kept:
            self._try_nearest_first(*(torch.cat(parts) for parts in zip(*self._kept, strict=True)))
        (never,) = (~self.success).nonzero(as_tuple=True)
        if len(never):
            self._note(never, otherwise[never], self.refine(otherwise[never], never, None))
        z, images, masks = (
            torch.stack([*some]) for some in zip(*(self._best[row] for row in range(len(self.success))), strict=True)
        )
        return z, (images, masks)

    @torch.no_grad()
    def smallest(
        self, z: Images, answer: Answer, threshold: float, mask_search_steps: int
    ) -> tuple[Answer, Thresholds]:
        """The answers of the largest threshold, and so of the smallest mask, that succeeds; and the thresholds.

        By bisection: if success is not monotone in the threshold, any of its borders may be found.

        Args:
            z: a point of each row.
            answer: its answer at `threshold`; a row where it fails keeps it.
            threshold: the least threshold.
            mask_search_steps: halvings of the range from it to 1; with 0 the answers stay as they are.
        """
        thresholds = z.new_full((len(z),), threshold)
        if not mask_search_steps:
            return answer, thresholds
        images, masks = (some.clone() for some in answer)
        (able,) = self._succeed(images, torch.arange(len(z), device=z.device)).nonzero(as_tuple=True)

        def succeeds(some: Thresholds, which: Rows) -> Bool[Tensor, " n"]:
            rows = able[which]
            refined, mask = self.refine(z[rows], rows, some)
            good = self._succeed(refined, rows)
            images[rows[good]], masks[rows[good]] = refined[good], mask[good]
            self.tries[rows] += 1
            return good

        low = thresholds[able]
        thresholds[able] = bisect(succeeds, low, torch.ones_like(low), steps=mask_search_steps)
        return (images, masks), thresholds

    def _try_nearest_first(self, z: Images, rows: Rows, distance: PerRow) -> None:
        far, row_of = distance.tolist(), rows.tolist()
        queues: dict[int, list[int]] = defaultdict(list)
        for n in distance.argsort(stable=True).tolist():
            queues[row_of[n]].append(n)
        while queues:
            heads = torch.tensor([queue[0] for queue in queues.values()], device=rows.device)
            failed = heads[~self._try(z[heads], rows[heads])].tolist()
            rest = {row_of[n]: [m for m in queues[row_of[n]] if far[m] > _FARTHER * far[n]] for n in failed}
            queues = {row: queue for row, queue in rest.items() if queue}

    def _try(self, z: Images, rows: Rows) -> Bool[Tensor, " n"]:
        images, masks = self.refine(z, rows, None)
        good = self._succeed(images, rows)
        self._note(rows[good], z[good], (images[good], masks[good]))
        self.tries[rows] += 1
        return good

    def _succeed(self, images: Images, rows: Rows) -> Bool[Tensor, " n"]:
        return self.goal[rows].reached(self.classifier(on_grid(images)))

    def _note(self, rows: Rows, z: Images, answer: Answer) -> None:
        self._best |= dict(zip(rows.tolist(), zip(z, *answer, strict=True), strict=True))
