"""Makes a series of images of which the classifier is ever more sure. Singla et al., ICLR 2020.

    x_c = G(x, c)  with  f(x_c) in bin c,   c from the query's own bin on towards the target

S. Singla, B. Pollack, J. Chen, K. Batmanghelich, "Explanation by progressive exaggeration", ICLR 2020. f is
the classifier's probability of the target, and the generator is trained for that classifier. The
counterfactual is the first image of the series that reaches the goal, or else its last. It needs no gradient.
"""

from __future__ import annotations

from typing import Annotated, final

import torch
from jaxtyping import Float
from torch import Tensor

from rather.core import Classifier, Goal, Images, Loadable, Method, Noise, SearchResult
from rather.generators.exaggerator import Exaggerator, bin_of
from rather.generators.frozen import Bundled
from rather.search.descend import on_grid


@final
class Exaggeration(Method):
    """Make the query's image for each bin of confidence, and take the first that reaches the goal."""

    gradient = "none"

    generator: Loadable[Annotated[Exaggerator, Bundled("exaggerator")]]
    """Generator that makes images of a given confidence; trained for the explained classifier."""

    @torch.no_grad()
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`, the whole series. Info: the confidence of each of its images, the first bin, the last."""
        del noise
        self.generator.check_classifier(classifier)
        count, features = self.generator.bins, self.generator.encode(x)
        bins = torch.arange(count, device=x.device)
        made = [self.generator.decode(features, goal.target, each.expand(len(x))) for each in bins]
        series = torch.stack(made, 1).clamp(0, 1)
        logits = torch.stack([classifier(on_grid(images)) for images in series.unbind(1)], 1)
        start = bin_of(_of_target(goal, classifier.probabilities(x)), count)
        reached = torch.stack([goal.reached(each) for each in logits.unbind(1)], 1)
        flips = reached & (bins > start[:, None])
        end = torch.where(flips.any(1), flips.int().argmax(1), count - 1)
        confidence = torch.stack([_of_target(goal, p) for p in logits.softmax(2).unbind(1)], 1)
        return SearchResult(
            images=series[torch.arange(len(x), device=x.device), end],
            steps=end - start,
            evaluations=torch.full_like(end, count + 1),
            artifacts={"path": [*on_grid(series).nan_to_num(0)]},
            info={
                "confidence": confidence.nan_to_num(0).tolist(),  # JSON has no NaN
                "bin": start.tolist(),
                "counterfactual_bin": end.tolist(),
            },
        )


def _of_target(goal: Goal, probabilities: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """The probability of each row's target."""
    return probabilities.gather(1, goal.target[:, None])[:, 0]
