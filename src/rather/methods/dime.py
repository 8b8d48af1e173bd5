"""DiME, Jeanneret, Simon and Jurie (2022): a diffusion model's way back from noise, guided to another class.

    mu <- mu - variance * ( scale * grad L(C(x_t), target) / sqrt(a) + distance_weight * sign(z_t - x) )

G. Jeanneret, L. Simon, F. Jurie, "Diffusion models for counterfactual explanations", ACCV 2022. Each x_t, of
which the classifier is asked, is made of z_t by going all the way back, unguided: tau (tau + 1) / 2 calls.
Ours: no perceptual term; the query is brought to the very level that the way back starts from (the authors'
is one higher); and by default 15 of 50 levels in the place of their 60 of 200, which reach as far up.
"""

from __future__ import annotations

from typing import Annotated, final

import torch
from pydantic import NonNegativeFloat, PositiveInt, model_validator

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.diffusion.denoising import lowest, step_back
from rather.diffusion.guidance import Scales, away_from_target, climb, pull
from rather.generators._denoiser import Denoiser
from rather.generators.frozen import Bundled
from rather.generators.noise_schedule import to_pm1, to_unit
from rather.search.descend import Rows


@final
class DiME(Method):
    """Guide the way back from noise by the classifier's gradient at the image that is at its end."""

    generator: Annotated[Denoiser, Bundled("ddpm")]
    """Knows images of the queries' kind."""
    scales: Scales = (8.0, 10.0, 15.0)
    """Weights of the classifier, tried in this order until the goal is reached."""
    distance_weight: NonNegativeFloat = 0.05
    """Weight of the sum of the absolute differences."""
    tau: PositiveInt = 15
    """How many levels of the respaced schedule to go up."""
    num_inference_steps: PositiveInt = 50
    """Levels of the respaced schedule."""

    @model_validator(mode="after")
    def _levels_exist(self) -> DiME:
        lowest(self.generator, self.num_inference_steps, self.tau)
        return self

    @torch.no_grad()
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Facts: the scale; how often the generator was asked."""
        self.generator.refuse_other_images(classifier)

        def guided(scale: float, rows: Rows) -> SearchResult:
            same = noise[rows].split(1)[0]  # only the scale makes a difference
            return self._guided(classifier, x[rows], goal[rows], same, scale)

        return climb(self.scales, guided, classifier, x, goal)

    def _guided(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise, scale: float) -> SearchResult:
        schedule, query = lowest(self.generator, self.num_inference_steps, self.tau), to_pm1(x)
        z, clean = schedule.add_noise(query, self.tau - 1, noise.normal(*x.shape[1:]).to(x)), query
        for t in reversed(range(self.tau)):
            mean, variance = self.generator.step(z, schedule, t)
            gradient = pull(away_from_target(classifier, clean, goal), schedule, t, scale=scale)
            z = mean - variance * (gradient + self.distance_weight * (z - query).sign())
            if t:
                z = z + variance.sqrt() * noise.normal(*x.shape[1:]).to(x)
            clean = z
            for below in reversed(range(t)):
                some = noise.normal(*x.shape[1:]).to(x) if below else None
                clean = step_back(self.generator, clean, schedule, below, some)
        steps = torch.full_like(goal.target, self.tau)
        calls = self.tau * (self.tau + 1) // 2
        return SearchResult(
            images=to_unit(z).clamp(0, 1), steps=steps, evaluations=steps, info={"denoiser_calls": [calls] * len(x)}
        )
