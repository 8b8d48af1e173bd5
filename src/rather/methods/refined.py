"""Wraps a method: undoes small parts of its change by diffusion. Jeanneret et al., CVPR 2023.

    m = [ dilated |z - x| / max |z - x| >= threshold ],   z inpainted by a denoiser where m, x elsewhere

G. Jeanneret, L. Simon, F. Jurie, "Adversarial counterfactual visual explanations", CVPR 2023, section 3.2.
Ours: a row that the refinement has brought back from its goal is refined again, with other noise.
"""

from __future__ import annotations

from typing import final

import torch
from pydantic import PositiveInt, model_validator

from rather.core import Classifier, Goal, Images, Loadable, Method, Noise, SearchResult
from rather.diffusion.denoising import DiffusionModel, InferenceSteps, Tau, lowest_levels
from rather.diffusion.refinement import Refinement, Side, Threshold
from rather.search.best import DENOISER_CALLS, Best
from rather.search.descend import on_grid


@final
class Refined(Method):
    """Run a method, keep the largest part of its change, and restore the query around it by a diffusion model."""

    gradient = "none"

    method: Loadable[Method]
    """Method to run."""
    denoiser: DiffusionModel
    tau: Tau = 5
    num_inference_steps: InferenceSteps = 50
    threshold: Threshold = 0.15
    dilation: Side = 15
    tries: PositiveInt = 4
    """Maximum number of refinements of an image, each with other noise, until one is at its goal."""

    @model_validator(mode="after")
    def _levels_exist(self) -> Refined:
        self._refinement()
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `pre_explanation`, what the method found; `mask`. Info: `mask_share`, `refinements`."""
        self.denoiser.check_images(classifier)
        refinement = self._refinement()
        first, *others = noise.split(1 + self.tries)
        found = self.method.search(classifier, x, goal, first)
        pre = on_grid(found.images.detach().clamp(0, 1))
        best, rows = Best(classifier, x, goal), torch.arange(len(x), device=x.device)
        for tried, other in enumerate(others, 1):
            draws = other[rows].normal(2 * refinement.calls, *x.shape[1:]).to(x)
            images, mask = refinement(pre[rows], x[rows], draws)
            none = torch.zeros_like(rows)
            info = {
                "mask_share": mask.flatten(1).mean(1).tolist(),
                "refinements": [tried] * len(rows),
                DENOISER_CALLS: [refinement.calls] * len(rows),
            }
            again = SearchResult(images=images, steps=none, evaluations=none, artifacts={"mask": [*mask]}, info=info)
            rows = rows[~best.offer(rows, again)]
            if not len(rows):
                break
        kept = best.found()
        inner = found.info.get(DENOISER_CALLS, [0] * len(x))
        calls = [before + more for before, more in zip(inner, kept.info[DENOISER_CALLS], strict=True)]
        return SearchResult(
            images=kept.images,
            steps=found.steps,
            evaluations=found.evaluations + kept.evaluations,
            artifacts={**found.artifacts, **kept.artifacts, "pre_explanation": [*pre.nan_to_num(0)]},
            info={**found.info, **kept.info, DENOISER_CALLS: calls},
        )

    def _refinement(self) -> Refinement:
        schedule = lowest_levels(self.denoiser, self.num_inference_steps, self.tau)
        return Refinement(self.denoiser, schedule, self.threshold, self.dilation)
