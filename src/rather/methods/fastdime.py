"""FastDiME, Weng, Pegios, Petersen, Feragen and Bigdeli (2024): DiME with one call a step, and a mask.

    x_t = E[x | z_t] (Tweedie),   z_t-1 <- m z_t-1 + (1 - m) x_t-1,   m where x_t differs from the query x

N. Weng, P. Pegios, E. Petersen, A. Feragen, S. Bigdeli, "Fast diffusion-based counterfactuals for shortcut
removal and generation", ECCV 2024. The mask is ACE's, made anew at each step once half of them are taken.
FastDiME-2 and FastDiME-2+ go a second time, with the mask of a first answer, which was made without one or
with. Ours: no perceptual term, and 15 of 50 levels in the place of 60 of 200, which reach as far up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, final

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.diffusion.denoising import lowest
from rather.diffusion.guidance import Scales, away_from_target, climb, pull
from rather.diffusion.refinement import Mask, Share, Side, change_mask
from rather.generators._denoiser import Denoiser
from rather.generators.frozen import Bundled
from rather.generators.noise_schedule import to_pm1, to_unit
from rather.search.descend import Rows

#: Of the image that is expected, the query and the level: where the one may differ from the other.
Masked = Callable[[Images, Images, int], Mask]


@final
class FastDiME(Method):
    """Guide the way back from noise by the classifier's gradient at the image that is expected at its end."""

    generator: Annotated[Denoiser, Bundled("ddpm")]
    """Knows images of the queries' kind."""
    variant: Literal["once", "twice", "twice-masked"] = "once"
    """FastDiME; FastDiME-2, then with the first answer's mask; FastDiME-2+, with one at first, too."""
    scales: Scales = (8.0, 10.0, 15.0)
    """Weights of the classifier, tried in this order until the goal is reached."""
    distance_weight: NonNegativeFloat = 0.05
    """Weight of the sum of the absolute differences."""
    tau: PositiveInt = 15
    """How many levels of the respaced schedule to go up."""
    num_inference_steps: PositiveInt = 50
    """Levels of the respaced schedule."""
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.5
    """After which share of the steps the mask that is made on the way counts."""
    threshold: Share = 0.15
    """Of the mask: the least change that counts, as a share of the image's largest."""
    dilation: Side = 5
    """Of the mask: side of the square of pixels that a change stands for."""

    @model_validator(mode="after")
    def _levels_exist(self) -> FastDiME:
        lowest(self.generator, self.num_inference_steps, self.tau)
        return self

    @torch.no_grad()
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Pictures: `mask`. Facts: its share; the scale; how often the generator was asked."""
        self.generator.refuse_other_images(classifier)
        calls = self.tau if self.variant == "once" else 2 * self.tau

        def guided(scale: float, rows: Rows) -> SearchResult:
            query, first, second = x[rows], *noise[rows].split(2)  # the same at each scale
            ask = partial(self._guided, classifier, query, goal[rows], scale)
            images, mask = ask(first, masked=self._everywhere if self.variant == "twice" else self._where_changed)
            if self.variant != "once":
                fixed = change_mask(images, query, self.threshold, self.dilation)
                images, mask = ask(second, masked=lambda *_: fixed)
            share = mask.flatten(1).mean(1).tolist()
            return SearchResult(
                images=images,
                steps=torch.full_like(rows, calls),
                evaluations=torch.full_like(rows, calls),
                artifacts={"mask": [*mask]},
                info={"mask_share": share, "denoiser_calls": [calls] * len(rows)},
            )

        return climb(self.scales, guided, classifier, x, goal)

    def _guided(
        self, classifier: Classifier, x: Images, goal: Goal, scale: float, noise: Noise, *, masked: Masked
    ) -> tuple[Images, Mask]:
        schedule, query = lowest(self.generator, self.num_inference_steps, self.tau), to_pm1(x)
        z = schedule.add_noise(query, self.tau - 1, noise.normal(*x.shape[1:]).to(x))
        for t in reversed(range(self.tau)):
            image, mean, variance = self.generator.predict(z, schedule, t)
            gradient = pull(away_from_target(classifier, image, goal), schedule, t, scale=scale)
            z = mean - variance * (gradient + self.distance_weight * (z - query).sign())
            mask = masked(to_unit(image), x, t)
            if t:
                step, around = noise.normal(2, *x.shape[1:]).to(x).unbind(1)
                z = z + variance.sqrt() * step
                z = z * mask + schedule.add_noise(query, t - 1, around) * (1 - mask)
        return to_unit(z).clamp(0, 1) * mask + x * (1 - mask), mask

    def _everywhere(self, image: Images, x: Images, t: int) -> Mask:
        del x, t
        return torch.ones_like(image[:, :1])

    def _where_changed(self, image: Images, x: Images, t: int) -> Mask:
        if t >= (1 - self.warmup) * self.tau:
            return self._everywhere(image, x, t)
        return change_mask(image, x, self.threshold, self.dilation)
