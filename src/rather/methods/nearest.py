"""Shows the most similar real image of the target class: a baseline.

The simplest contrastive answer, and the "nearest unlike neighbour" of case-based reasoning: always
believable, seldom close. Ours: of the reference images that reach the goal (class and confidence, by the
classifier, not by their label), the one at the smallest Euclidean distance.
"""

from __future__ import annotations

from typing import Literal, final

import torch

from rather.core import Classifier, Goal, Images, LoadableImages, Method, Noise, SearchResult
from rather.search.references import Choice, References


@final
class Nearest(Method):
    """The nearest reference image that is at the goal, in pixels or in the classifier's features."""

    gradient = "none"

    references: LoadableImages[References]
    """Real images to choose from."""
    space: Literal["pixels", "features"] = "pixels"
    """Space of the Euclidean distance: the pixels, or the features of the explained classifier."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Info: `reference`, the id of the image."""
        how: Choice = "nearest" if self.space == "features" else "nearest-pixels"
        chosen = self.references.choose(classifier, x, goal.target, noise, how, confidence=goal.confidence)
        return SearchResult(
            images=self.references.images[chosen],
            steps=torch.zeros_like(goal.target),
            evaluations=torch.full_like(goal.target, self.space == "features"),
            info={"reference": [self.references.ids[i] for i in chosen.tolist()]},
        )
