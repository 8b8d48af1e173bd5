"""Wachter, Mittelstadt and Russell (2018): gradient descent on the pixels, as in the Clarity slides' L_CE.

    min_z  L(C(z), target) + distance_weight * d(x, z)

S. Wachter, B. Mittelstadt, C. Russell, "Counterfactual explanations without opening the black box", Harvard
Journal of Law and Technology 31(2), 2018. Ours: Adam from x on, d is the mean absolute difference, and the
search ends when the 8-bit picture reaches the goal, or, with patience, when none nearer is found any more,
not when the loss stops falling.
"""

from __future__ import annotations

from typing import final

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.search.descend import Rows, descend, on_grid
from rather.search.losses import l1, toward


@final
class Wachter(Method):
    """Minimise -log p(target | z) + distance_weight * mean |z - x| over images z, from x on."""

    steps: PositiveInt = 300
    """Adam steps, at most."""
    lr: PositiveFloat = 0.01
    """Learning rate, in pixel values."""
    distance_weight: NonNegativeFloat = 1.0
    """Weight of the distance."""
    patience: NonNegativeInt = 0
    """For how many steps to go on, once the goal is reached, without a smaller change; 0 stops there."""
    num_path_frames: NonNegativeInt = 6
    """Pictures of the search path to keep, about."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Every random number is left alone: the descent has none."""
        del noise

        def objective(z: Images, rows: Rows) -> tuple[Tensor, Tensor]:
            loss, reached = toward(classifier, on_grid(z), goal[rows])
            return loss + self.distance_weight * l1(z, x[rows]), reached

        path = descend(
            objective,
            x,
            steps=self.steps,
            lr=self.lr,
            project=lambda z: z.clamp(0, 1),
            patience=self.patience,
            frames=self.num_path_frames,
        )
        return SearchResult(
            images=path.end,
            steps=path.steps,
            evaluations=path.evaluations,
            artifacts={"path": path.frames} if self.num_path_frames else {},
        )
