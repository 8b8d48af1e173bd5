"""Wraps a method: gives one answer for each value of a setting. Jacob et al., ECCV 2022.

P. Jacob et al., "STEEX: steering counterfactual explanations with semantics", ECCV 2022, figure 9 of the
supplement: a smaller weight of the distance distorts more, and the weight chosen is the largest at which more
than 99.5 % of the training images still succeed. `rather tune RUN` chooses it from a run of this method.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, final

import torch
from pydantic import Field, model_validator

from rather.config.errors import did_you_mean
from rather.core import Classifier, Goal, Images, Loadable, Method, Noise, SearchResult
from rather.search.best import Best
from rather.search.descend import on_grid


@final
class Sweep(Method):
    """Run a method with each of several values of a setting; the nearest success is the image."""

    gradient = "none"

    method: Loadable[Method]
    """Method to run."""
    setting: str = "distance_weight"
    """Setting of that method to vary; it must be a number."""
    values: Annotated[tuple[float, ...], Field(min_length=1, max_length=100)] = (0.1, 0.3, 1.0, 3.0)
    """Values of the setting, in the order in which they are shown; each runs the method once."""

    @model_validator(mode="after")
    def _can_be_varied(self) -> Sweep:
        numbers = {key: value for key, value in self.method if type(value) in (int, float)}
        if self.setting not in numbers:
            raise ValueError(f"no number {self.setting!r} to vary. " + did_you_mean(self.setting, numbers))
        for value in self.values:
            if isinstance(numbers[self.setting], int) and not value.is_integer():
                raise ValueError(f"{self.setting} is a whole number, {value} is not")
            self._with(value)
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `sweep`, an answer for each value. Info: the values, which succeed, the mean absolute change."""
        best, every = Best(classifier, x, goal), torch.arange(len(x), device=x.device)
        answers, reached = [], []
        for value in self.values:
            # The same noise at each value: only the setting makes a difference.
            found = self._with(value).search(classifier, x, goal, noise.split(1)[0])
            reached.append(best.offer(every, found))
            answers.append(on_grid(found.images.detach().clamp(0, 1)).nan_to_num(0))
        kept, saved = best.found(), torch.stack(answers, 1)
        info = {
            "sweep_values": [list(self.values)] * len(x),
            "sweep_found": torch.stack(reached, 1).tolist(),
            "sweep_change": (saved - x[:, None]).abs().flatten(2).mean(2).tolist(),
        }
        return replace(kept, artifacts={**kept.artifacts, "sweep": [*saved]}, info={**kept.info, **info})

    def _with(self, value: float) -> Method:
        whole = isinstance(getattr(self.method, self.setting), int)
        return self.method.having(self.setting, round(value) if whole else value)
