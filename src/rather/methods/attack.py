"""Plain signed-gradient attack, a baseline: Jeanneret et al. (2023), ACE, without its diffusion filter.

    z <- clamp(z - lr * sign(grad [-log p(target | z) + distance_weight * |z - x|_1])), from x on

G. Jeanneret, L. Simon, F. Jurie, "Adversarial counterfactual visual explanations", CVPR 2023; the attack is
PGD (Madry et al., 2018) without a bound. What it finds is an adversarial example: how little it takes to
change a classifier's mind when the picture need not look like anything.
Ours: steps after the goal is reached shrink the change, so the answer is the nearest picture that reached it,
not the last one; and the weight is per row (the authors' code takes the mean of the losses, but the sum of
the distances over the batch, so that there the weight grows with the batch). Theirs takes 50 steps, on
ImageNet 100: 50 of 1/255 are too short a way for black-and-white pictures.
"""

from __future__ import annotations

from typing import final

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.search.descend import Rows, descend, on_grid, sign
from rather.search.losses import l1_sum, toward


@final
class Attack(Method):
    """Lower -log p(target | z) + distance_weight * sum |z - x| by signed steps; the nearest success counts."""

    steps: PositiveInt = 100
    """Signed steps, at most."""
    lr: PositiveFloat = 1 / 255
    """What a pixel changes in a step, in pixel values."""
    distance_weight: NonNegativeFloat = 0.001
    """Weight of the distance, a sum over the pixels."""
    patience: NonNegativeInt = 100
    """For how many steps to go on, once the goal is reached, without a smaller change; 0 stops there."""
    num_path_frames: NonNegativeInt = 6
    """Pictures of the search path to keep, about."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """It starts at x itself, so there is nothing random."""
        del noise

        def objective(z: Images, rows: Rows) -> tuple[Tensor, Tensor]:
            loss, reached = toward(classifier, on_grid(z), goal[rows])
            return loss + self.distance_weight * l1_sum(z, x[rows]), reached

        path = descend(
            objective,
            x,
            steps=self.steps,
            lr=self.lr,
            rule=sign,
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
