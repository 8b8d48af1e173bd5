"""The best of several counterfactuals for each row, for methods that run a search more than once."""

from __future__ import annotations

from typing import Any, Final, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.core import Classifier, Goal, Images, SearchResult
from rather.search.descend import Rows, on_grid
from rather.search.losses import l1

DENOISER_CALLS: Final = "denoiser_calls"  # the info of a diffusion method that counts its network calls


@final
class Best:
    """For each row the nearest image that reaches its goal, or else the one with the largest p(target).

    The classifier judges the 8-bit image, as `Method.__call__` does. The distance is the mean absolute
    difference of the pixels; of equals the last one wins. Steps, evaluations and denoiser calls add up.
    """

    def __init__(self, classifier: Classifier, x: Images, goal: Goal) -> None:
        self.classifier, self.x, self.goal = classifier, x, goal
        self.images = x.detach().clone()
        self.steps = torch.zeros(len(x), dtype=torch.long, device=x.device)
        self.evaluations = torch.zeros_like(self.steps)
        self.score = torch.full((len(x),), torch.inf, device=x.device)
        self.artifacts: list[dict[str, Tensor]] = [{} for _ in range(len(x))]
        self.info: list[dict[str, Any]] = [{} for _ in range(len(x))]
        self.calls = [0] * len(x)

    def offer(self, rows: Rows, found: SearchResult) -> Bool[Tensor, " n"]:
        """Keep the images that are better than the best so far, and say which of them reach their goal."""
        score, reached = self._judge(rows, found.images.detach())
        self.steps[rows] += found.steps
        self.evaluations[rows] += found.evaluations + 1
        for row, calls in zip(rows.tolist(), found.info.get(DENOISER_CALLS, ()), strict=False):
            self.calls[row] += calls
        better = score <= self.score[rows]
        self.score[rows[better]] = score[better]
        self.images[rows[better]] = found.images.detach()[better]
        for i in better.nonzero()[:, 0].tolist():
            self.artifacts[rows[i]] = {key: values[i] for key, values in found.artifacts.items()}
            self.info[rows[i]] = {key: values[i] for key, values in found.info.items()}
        return reached

    def _judge(self, rows: Rows, images: Images) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
        images, goal = on_grid(images.clamp(0, 1)), self.goal[rows]
        p = self.classifier.probabilities(images)
        reached = goal.reached(p.log())
        missing = 1 - p.gather(1, goal.target[:, None])[:, 0]
        # A distance is at most 1, so that no failure beats a success; a row of NaN comes last.
        return torch.where(reached, l1(images, self.x[rows]), 1 + missing).nan_to_num(nan=3), reached

    def found(self) -> SearchResult:
        """The best image of each row."""
        return SearchResult(
            images=self.images,
            steps=self.steps,
            evaluations=self.evaluations,
            artifacts=_columns(self.artifacts),
            info=_columns(self.info) | ({DENOISER_CALLS: self.calls} if any(self.calls) else {}),
        )


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {key: [row[key] for row in rows] for key in (rows[0] if rows else {})}
