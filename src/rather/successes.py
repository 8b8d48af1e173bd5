"""The nearest success of a search whose answers are more than its points, and dear to make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

import torch
from jaxtyping import Bool
from torch import Tensor

from rather.core import Classifier, Goal, Images
from rather.search import PerRow, Rows, on_grid

_NEARER: Final = 0.98  # of the nearest distance that succeeded: less than that is worth another look


@final
class Successes:
    """Which points lead to an answer at its goal; asked only of those that are nearer than any that did."""

    def __init__(self, classifier: Classifier, goal: Goal, answer: Callable[[Images, Rows], Images]) -> None:
        self.classifier, self.goal, self.answer = classifier, goal, answer
        self.nearest = torch.full_like(goal.confidence, torch.inf)
        self.asked = torch.zeros_like(goal.target)  # how often, of each row

    @torch.no_grad()
    def among(
        self, z: Images, rows: Rows, promising: Bool[Tensor, " n"], distance: PerRow
    ) -> Bool[Tensor, " n"]:
        """Which of some points succeed and are the nearest so far.

        Args:
            z: the points.
            rows: that they belong to.
            promising: which are worth a look.
            distance: how far each is.
        """
        success = promising & (distance < _NEARER * self.nearest[rows])
        (worth,) = success.nonzero(as_tuple=True)
        if len(worth):
            tried = rows[worth]
            self.asked[tried] += 1
            answers = on_grid(self.answer(z[worth], tried))
            success[worth] = self.goal[tried].reached(self.classifier(answers))
            self.nearest[rows[success]] = distance[success]
        return success
