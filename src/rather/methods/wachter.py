"""Changes pixels by gradient descent until the class changes. Wachter et al., 2018.

    min_z  -log p(target | z) + distance_weight * mean |z - x|

S. Wachter, B. Mittelstadt, C. Russell, "Counterfactual explanations without opening the black box", Harvard
Journal of Law and Technology 31(2), 2018; L_CE of the Clarity slides (Theobald, 2023).
Ours: Adam, from x on; the search ends when the 8-bit image reaches the goal or, with patience, when no nearer
one is found any more, not when the loss stops falling.
"""

from __future__ import annotations

from typing import final

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.search.descend import PathFrames, Rows, descend_pixels, on_grid
from rather.search.losses import goal_loss, l1


@final
class Wachter(Method):
    """Minimise -log p(target | z) + distance_weight * mean |z - x| over images z, from x on."""

    steps: PositiveInt = 300
    """Maximum number of Adam steps."""
    lr: PositiveFloat = 0.01
    """Learning rate of Adam: roughly the change of a pixel per step, in pixel values from 0 to 1."""
    distance_weight: NonNegativeFloat = 1.0
    """Weight of the distance, the mean absolute pixel difference; larger keeps the answer closer to the image."""
    patience: NonNegativeInt = 0
    """Steps to go on after a success without finding a nearer one; 0 stops at the first success."""
    num_path_frames: PathFrames = 6

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`. The search is deterministic."""
        del noise

        def objective(z: Images, rows: Rows) -> tuple[Tensor, Tensor]:
            loss, success = goal_loss(classifier, on_grid(z), goal[rows])
            return loss + self.distance_weight * l1(z, x[rows]), success

        return descend_pixels(
            objective, x, steps=self.steps, lr=self.lr, patience=self.patience, frames=self.num_path_frames
        )
