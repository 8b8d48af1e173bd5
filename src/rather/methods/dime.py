"""Noises the image and denoises it, guided towards the target class. DiME, Jeanneret et al., ACCV 2022.

    mu <- mu - variance * ( scale * grad L(C(x_t), target) / sqrt(a) + distance_weight * sign(z_t - x) )

G. Jeanneret, L. Simon, F. Jurie, "Diffusion models for counterfactual explanations", ACCV 2022. Each x_t, which
the classifier judges, is z_t denoised all the way, unguided: tau (tau + 1) / 2 network calls.
Ours: no perceptual term; the query is brought to the very level that the way back starts from (the authors'
is one higher); and by default 15 of 50 levels in the place of their 60 of 200, which reach as far up.
"""

from __future__ import annotations

from functools import partial
from typing import final

import torch
from pydantic import model_validator

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.diffusion.denoising import DiffusionModel, InferenceSteps, Tau, denoise_step, lowest_levels
from rather.diffusion.guidance import Scales, SignWeight, guidance_gradient, scale_grad, try_scales
from rather.generators.noise_schedule import to_pm1, to_unit


@final
class DiME(Method):
    """Guide the way back from noise by the classifier's gradient at the image that an unguided way would give."""

    generator: DiffusionModel
    scales: Scales = (8.0, 10.0, 15.0)
    distance_weight: SignWeight = 0.05
    tau: Tau = 15
    num_inference_steps: InferenceSteps = 50

    @model_validator(mode="after")
    def _levels_exist(self) -> DiME:
        lowest_levels(self.generator, self.num_inference_steps, self.tau)
        return self

    @torch.no_grad()
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Info: `scale`, `denoiser_calls`."""
        self.generator.check_images(classifier)
        calls = self.tau * (self.tau + 1) // 2
        guided = partial(self._guided, classifier)
        return try_scales(self.scales, guided, classifier, x, goal, noise=noise, steps=self.tau, calls=calls)

    def _guided(self, classifier: Classifier, scale: float, x: Images, goal: Goal, noise: Noise) -> tuple[Images, None]:
        (noise,), query = noise.split(1), to_pm1(x)
        schedule = lowest_levels(self.generator, self.num_inference_steps, self.tau)
        z, clean = schedule.add_noise(query, self.tau - 1, noise.normal(*x.shape[1:]).to(x)), query
        for t in reversed(range(self.tau)):
            mean, variance = self.generator.step(z, schedule, t)
            gradient = scale_grad(guidance_gradient(classifier, clean, goal), schedule, t, scale=scale)
            z = mean - variance * (gradient + self.distance_weight * (z - query).sign())
            if t:
                z = z + variance.sqrt() * noise.normal(*x.shape[1:]).to(x)
            clean = z
            for below in reversed(range(t)):
                fresh = noise.normal(*x.shape[1:]).to(x) if below else None
                clean = denoise_step(self.generator, clean, schedule, below, fresh)
        return to_unit(z).clamp(0, 1), None
