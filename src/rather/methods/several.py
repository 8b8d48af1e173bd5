"""Wraps a method: gives several answers for each image. After Rodriguez et al., ICCV 2021.

P. Rodriguez et al., "Beyond trivial counterfactual explanations with diverse valuable explanations", ICCV
2021, argue for several answers, and make theirs differ by a loss. Ours is a baseline: any method, run again
with other random numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

import torch
from pydantic import NonNegativeFloat, PositiveInt

from rather.core import Classifier, Goal, Images, Loadable, Method, Noise, SearchResult
from rather.search.best import Best
from rather.search.descend import on_grid


@final
class Several(Method):
    """Run a method `count` times with other random numbers; the nearest success is the image, all are kept.

    A deterministic method gives one answer `count` times; with `init_noise_std` it starts from other images.
    Such a method measures its distance from where it starts, so that what was added stays in the image.
    """

    gradient = "none"

    method: Loadable[Method]
    """Method to run."""
    count: PositiveInt = 4
    """Number of answers for each image; each runs the method once."""
    init_noise_std: NonNegativeFloat = 0.0
    """Standard deviation of the noise added to the image before each run, in pixel values from 0 to 1."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `answers` (count, c, h, w). Info: which are at the goal; how many of these differ."""
        best, every = Best(classifier, x, goal), torch.arange(len(x), device=x.device)
        answers, reached = [], []
        for branch in noise.split(self.count):
            start = (x + self.init_noise_std * branch.normal(*x.shape[1:]).to(x)).clamp(0, 1)
            found = self.method.search(classifier, start, goal, branch)
            reached.append(best.offer(every, found))
            answers.append(on_grid(found.images.detach().clamp(0, 1)))
        kept, saved, success = best.found(), torch.stack(answers, 1), torch.stack(reached, 1)
        info = {
            "answers_found": success.tolist(),
            "answers_distinct": [len(s[v].unique(dim=0)) for s, v in zip(saved, success, strict=True)],
        }
        return replace(kept, artifacts={**kept.artifacts, "answers": [*saved]}, info={**kept.info, **info})
