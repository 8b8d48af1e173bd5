"""Schut et al. (2021): one pixel at a time, the one to which an ensemble's loss is most sensitive.

    L(z) = 1/M sum_m L(C_m(z), target);   z_i <- clamp(z_i - delta * sign(dL/dz_i)),   i = argmax_i |dL/dz_i|

L. Schut, O. Key, R. McGrath et al., "Generating interpretable counterfactual explanations by implicit
minimisation of epistemic and aleatoric uncertainties", AISTATS 2021; after the saliency attack JSMA (Papernot
et al., 2016). The authors search on to a confidence of 0.99: give the goal that.
Ours: a row stops when its 8-bit picture reaches the goal (the authors' code stops the batch as one), of equal
gradients the first pixel is changed (theirs: all), and no step is spent on a pixel that is at its bound.
"""

from __future__ import annotations

from typing import Annotated, Final, final

import torch
from annotated_types import Gt, Le
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.search.descend import Direction, Rows, descend, on_grid
from rather.search.losses import toward

_HALF: Final = 0.5 / 255  # of a grey level: a smaller change is none


@final
class Schut(Method):
    """Lower the mean loss of an ensemble's members by the fewest changes of single pixels, greedily."""

    steps: PositiveInt = 5000
    """Changes of a pixel, at most, in the whole picture."""
    delta: Annotated[float, Gt(0), Le(1)] = 0.2
    """What a pixel changes in a step, in pixel values."""
    changes: PositiveInt = 5
    """Changes of the same pixel, at most."""
    num_path_frames: NonNegativeInt = 6
    """Pictures of the search path to keep, about."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Greedy and without chance."""
        del noise

        def objective(z: Images, rows: Rows) -> tuple[Tensor, Tensor]:
            return toward(classifier, on_grid(z), goal[rows])

        path = descend(
            objective,
            x,
            steps=self.steps,
            lr=self.delta,
            rule=self._most_salient,
            project=lambda z: z.clamp(0, 1),
            frames=self.num_path_frames,
        )
        return SearchResult(
            images=path.end,
            steps=path.steps,
            evaluations=path.evaluations,
            artifacts={"path": path.frames} if self.num_path_frames else {},
            info={"pixels_changed": ((path.end - x).abs() > _HALF).any(1).flatten(1).sum(1).tolist()},
        )

    def _most_salient(self, start: Tensor) -> Direction:
        """One pixel of those that can still be changed; of a colour picture, one channel of it."""
        left = torch.full_like(start, self.changes).flatten(1)

        def direction(points: Tensor, gradient: Tensor, rows: Rows) -> Tensor:
            z, slope = points.flatten(1), gradient.flatten(1)
            room = torch.where(slope > 0, z > _HALF, z < 1 - _HALF)
            slope = slope * (room & (left[rows] > 0))
            pixel = slope.abs().argmax(1, keepdim=True)
            step = torch.zeros_like(slope).scatter(1, pixel, slope.gather(1, pixel).sign())
            left[rows] -= step.abs()
            return step.view_as(points)

        return direction
