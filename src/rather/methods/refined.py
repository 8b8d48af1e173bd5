"""Refinement of any method's answers, as the second half of ACE: Jeanneret, Simon and Jurie (2023).

    m = [ dilated |z - x| / max |z - x| >= threshold ],   z inpainted by a denoiser where m, x elsewhere

G. Jeanneret, L. Simon, F. Jurie, "Adversarial counterfactual visual explanations", CVPR 2023, section 3.2.
Ours: a row that the refinement has brought back from its goal is refined again, with other noise.
"""

from __future__ import annotations

from typing import Annotated, final

import torch
from pydantic import PositiveInt, model_validator

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.diffusion.denoising import lowest
from rather.diffusion.refinement import Refinement, Share, Side
from rather.generators._denoiser import Denoiser
from rather.generators.frozen import Bundled
from rather.search.best import DENOISER_CALLS, Best
from rather.search.descend import on_grid


@final
class Refined(Method):
    """Run a method, and put back what of its change is no part of the largest, with a diffusion model."""

    method: Method
    """The method to run."""
    denoiser: Annotated[Denoiser, Bundled("ddpm")]
    """Knows images of the queries' kind."""
    tau: PositiveInt = 5
    """How many levels of the respaced schedule the refinement goes up."""
    num_inference_steps: PositiveInt = 50
    """Levels of the respaced schedule."""
    threshold: Share = 0.15
    """The least change that is kept, as a share of the image's largest; with 0 all is filtered."""
    dilation: Side = 15
    """Side of the square of pixels that a change stands for."""
    tries: PositiveInt = 4
    """How often to refine a row, with other noise, until it is at its goal."""

    @model_validator(mode="after")
    def _levels_exist(self) -> Refined:
        self._refinement()
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Pictures: `pre_explanation`, what the method found; `mask`. Facts: share of the mask; the tries."""
        self.denoiser.refuse_other_images(classifier)
        refinement = self._refinement()
        own, *others = noise.split(1 + self.tries)
        found = self.method.search(classifier, x, goal, own)
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
        calls = [own + more for own, more in zip(inner, kept.info[DENOISER_CALLS], strict=True)]
        return SearchResult(
            images=kept.images,
            steps=found.steps,
            evaluations=found.evaluations + kept.evaluations,
            artifacts={**found.artifacts, **kept.artifacts, "pre_explanation": [*pre.nan_to_num(0)]},
            info={**found.info, **kept.info, DENOISER_CALLS: calls},
        )

    def _refinement(self) -> Refinement:
        schedule = lowest(self.denoiser, self.num_inference_steps, self.tau)
        return Refinement(generator=self.denoiser, schedule=schedule, threshold=self.threshold, dilation=self.dilation)
