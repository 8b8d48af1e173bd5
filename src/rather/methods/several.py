"""Several answers for each image, as Rodriguez et al. (2021), DiVE, argue that there should be.

P. Rodriguez et al., "Beyond trivial counterfactual explanations with diverse valuable explanations", ICCV
2021, makes its answers differ by a loss. Ours is a baseline: any method, again with other random numbers.
"""

from __future__ import annotations

from typing import final

import torch
from pydantic import NonNegativeFloat, PositiveInt

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.search.best import Best
from rather.search.descend import on_grid


@final
class Several(Method):
    """Run a method `count` times with other random numbers; the nearest success is the picture, all are kept.

    A method without chance gives one answer `count` times; `init_noise_std` then makes it start from other places.
    Such a method measures its distance from where it starts, so that what was added stays in the picture.
    """

    method: Method
    """The method to run."""
    count: PositiveInt = 4
    """How many answers."""
    init_noise_std: NonNegativeFloat = 0.0
    """Standard deviation of the noise added to the image before each run, in pixel values."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Pictures: `answers` (count, c, h, w). Facts: which are at the goal; how many of these differ."""
        best = Best(classifier, x, goal)
        everyone = torch.arange(len(x), device=x.device)
        answers, reached = [], []
        for branch in noise.split(self.count):
            start = (x + self.init_noise_std * branch.normal(*x.shape[1:]).to(x)).clamp(0, 1)
            found = self.method.search(classifier, start, goal, branch)
            reached.append(best.offer(everyone, found))
            answers.append(on_grid(found.images.detach().clamp(0, 1)))
        sets, valid = torch.stack(answers, 1), torch.stack(reached, 1)
        kept = best.found()
        return SearchResult(
            images=kept.images,
            steps=kept.steps,
            evaluations=kept.evaluations,
            artifacts={**kept.artifacts, "answers": [*sets]},
            info={
                **kept.info,
                "answers_found": valid.tolist(),
                "answers_distinct": [len(s[v].unique(dim=0)) for s, v in zip(sets, valid, strict=True)],
            },
        )
