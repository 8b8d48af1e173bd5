"""Attacks the pixels by signed gradient steps: a baseline. Jeanneret et al., CVPR 2023.

    z <- clamp(z - lr * sign(grad [-log p(target | z) + distance_weight * sum |z - x|])),  from x on

G. Jeanneret, L. Simon, F. Jurie, "Adversarial counterfactual visual explanations", CVPR 2023: ACE without its
diffusion filter; the attack is PGD (Madry et al., 2018) without a bound. The result is an adversarial example:
it shows how little change flips a classifier when the image need not look natural.
Ours: steps after the goal is reached shrink the change, so the answer is the nearest success, not the last
step; and the weight is per row (the authors' code takes the mean of the losses, but the sum of the distances
over the batch, so that there the weight grows with the batch). They take 50 steps, on ImageNet 100: 50 of
1/255 are too few for black-and-white images.
"""

from __future__ import annotations

from typing import final

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.search.descend import PathFrames, Rows, descend_pixels, on_grid, sign_sgd
from rather.search.losses import goal_loss, l1_sum


@final
class Attack(Method):
    """Lower -log p(target | z) + distance_weight * sum |z - x| by signed steps; the nearest success counts."""

    steps: PositiveInt = 100
    """Maximum number of signed steps."""
    lr: PositiveFloat = 1 / 255
    """Change of a pixel per step, in pixel values from 0 to 1."""
    distance_weight: NonNegativeFloat = 0.001
    """Weight of the distance, the sum of absolute pixel differences; larger keeps the answer closer to the image."""
    patience: NonNegativeInt = 100
    """Steps to go on after a success without finding a nearer one; 0 stops at the first success."""
    num_path_frames: PathFrames = 6

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`. The search is deterministic."""
        del noise

        def objective(z: Images, rows: Rows) -> tuple[Tensor, Tensor]:
            loss, success = goal_loss(classifier, on_grid(z), goal[rows])
            return loss + self.distance_weight * l1_sum(z, x[rows]), success

        return descend_pixels(
            objective,
            x,
            steps=self.steps,
            lr=self.lr,
            optimizer=sign_sgd,
            patience=self.patience,
            frames=self.num_path_frames,
        )
