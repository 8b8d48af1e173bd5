"""Wraps a method: finds the setting that gives the smallest change. Liu et al., 2019; Jacob et al., 2022.

S. Liu, B. Kailkhura, D. Loveland, Y. Han, "Generative counterfactual introspection for explainable deep
learning", GlobalSIP 2019, bisects its lambda for each image; P. Jacob et al., "STEEX: steering counterfactual
explanations with semantics", ECCV 2022, takes the largest weight of the distance that nearly always succeeds.
Ours: any method and any number among its settings; of everything tried for a row the nearest success is the
answer, so that a success that is not monotone in the setting costs precision, never validity.
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from rather.config.errors import did_you_mean
from rather.core import Classifier, Goal, Images, Loadable, Method, Noise, SearchResult
from rather.search.best import Best
from rather.search.descend import Rows, bisect


@final
class Minimal(Method):
    """For each row the value of a setting, from `loose` to `tight`, that is as tight as its success allows.

    Values are halved on a logarithmic scale: 1 lies half-way from 0.01 to 100.
    """

    gradient = "none"

    method: Loadable[Method]
    """Method to run."""
    setting: str = "distance_weight"
    """Setting of that method to vary; it must be a positive number."""
    loose: PositiveFloat | None = None
    """Value of the setting that allows the largest change; by default a thousandth of the method's own."""
    tight: PositiveFloat | None = None
    """Value that asks for the smallest change; by default 1000 times the method's own. It may be less than `loose`."""
    steps: PositiveInt = 6
    """Number of halvings; each runs the method once more."""

    @model_validator(mode="after")
    def _can_be_varied(self) -> Minimal:
        numbers = {key: value for key, value in self.method if type(value) in (int, float) and value > 0}
        if self.setting not in numbers:
            raise ValueError(f"no positive number {self.setting!r} to vary. " + did_you_mean(self.setting, numbers))
        self._with(0.0), self._with(1.0)
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Info: the value of the setting. A row where even the loosest value fails keeps its attempt."""
        best = Best(classifier, x, goal)

        def succeeds(tightness: Float[Tensor, " n"], rows: Rows) -> Bool[Tensor, " n"]:
            success = torch.zeros_like(tightness, dtype=torch.bool)
            for value in tightness.unique():  # rows of one value are one batch
                (group,) = (tightness == value).nonzero(as_tuple=True)
                part = rows[group]
                method = self._with(float(value))
                # The same noise at each value: only the setting makes a difference.
                found = method.search(classifier, x[part], goal[part], noise[part].split(1)[0])
                values = [getattr(method, self.setting)] * len(part)
                success[group] = best.offer(part, replace(found, info={**found.info, self.setting: values}))
            return success

        loosest = torch.zeros(len(x), device=x.device)
        (able,) = succeeds(loosest, torch.arange(len(x), device=x.device)).nonzero(as_tuple=True)
        bisect(lambda t, rows: succeeds(t, able[rows]), loosest[able], loosest[able] + 1, steps=self.steps)
        return best.found()

    def _with(self, tightness: float) -> Method:
        given = getattr(self.method, self.setting)
        loose, tight = self.loose or given / 1000, self.tight or given * 1000
        value = loose * (tight / loose) ** tightness
        return self.method.having(self.setting, round(value) if isinstance(given, int) else value)
