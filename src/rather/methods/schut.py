"""Changes one pixel at a time, the one that matters most to an ensemble. Schut et al., AISTATS 2021.

    L(z) = 1/M sum_m L(C_m(z), target);   z_i <- clamp(z_i - delta * sign(dL/dz_i)),   i = argmax_i |dL/dz_i|

L. Schut, O. Key, R. McGrath et al., "Generating interpretable counterfactual explanations by implicit
minimisation of epistemic and aleatoric uncertainties", AISTATS 2021; after the saliency attack JSMA (Papernot
et al., 2016). The authors search on to a confidence of 0.99: give the goal that.
Ours: a row stops when its 8-bit image reaches the goal (the authors' code stops the batch as one), of equal
gradients the first pixel is changed (theirs: all), and no step is spent on a pixel that is at its bound.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final, final

import torch
from annotated_types import Gt, Le
from pydantic import PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.search.descend import PathFrames, Rows, Update, descend_pixels, on_grid
from rather.search.losses import goal_loss

_HALF: Final = 0.5 / 255  # of a grey level: a smaller change is none


@final
class Schut(Method):
    """Lower the mean loss of an ensemble's members by the fewest changes of single pixels, greedily."""

    steps: PositiveInt = 5000
    """Maximum number of pixel changes in the whole image."""
    delta: Annotated[float, Gt(0), Le(1)] = 0.2
    """Change of a pixel per step, in pixel values from 0 to 1."""
    changes: PositiveInt = 5
    """Maximum number of changes of the same pixel."""
    num_path_frames: PathFrames = 6

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`. Info: `pixels_changed`. The search is greedy and deterministic."""
        del noise

        def objective(z: Images, rows: Rows) -> tuple[Tensor, Tensor]:
            return goal_loss(classifier, on_grid(z), goal[rows])

        found = descend_pixels(
            objective,
            x,
            steps=self.steps,
            lr=self.delta,
            optimizer=self._most_salient_pixel,
            frames=self.num_path_frames,
        )
        changed = ((found.images - x).abs() > _HALF).any(1).flatten(1).sum(1)
        return replace(found, info={"pixels_changed": changed.tolist()})

    def _most_salient_pixel(self, start: Tensor) -> Update:
        """Steps along one pixel that can still be changed; of a colour image, one channel of it."""
        left = torch.full_like(start, self.changes).flatten(1)  # changes that each pixel may still take

        def update(points: Tensor, gradient: Tensor, rows: Rows) -> Tensor:
            z, slope = points.flatten(1), gradient.flatten(1)
            room = torch.where(slope > 0, z > _HALF, z < 1 - _HALF)
            slope = slope * (room & (left[rows] > 0))
            pixel = slope.abs().argmax(1, keepdim=True)
            step = torch.zeros_like(slope).scatter(1, pixel, slope.gather(1, pixel).sign())
            left[rows] -= step.abs()
            return step.view_as(points)

        return update
