"""Does the flip survive what happens to pictures?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool
from torch import Tensor

from rather.core import Classifier, Goal, Images

_TOGETHER = 64  # images in memory


@torch.no_grad()
def survives(
    images: Images, goal: Goal, classifier: Classifier, change: Callable[[Images], Images]
) -> Bool[Tensor, " b"]:
    """Whether a counterfactual is still at its goal after a harmless change (higher is better).

    What a person would take for the same picture should have the same class: a flip that a compression or a
    denoising undoes is an adversarial one. Its mean over those that were at their goal is a share. The
    change alone can lead some there: ask of the queries, too.

    Unit: yes or no; its mean is a share.
    Source: after C. Guo et al., "Countering adversarial images using input transformations", ICLR 2018; the
    filter of ACE, G. Jeanneret et al., CVPR 2023, for the same end.
    Avoids: judging the picture in memory instead of the one that was saved.

    Args:
        images: the counterfactuals.
        goal: of each.
        classifier: that was explained.
        change: images in [0, 1] to images: `handling.as_png`, `handling.as_jpeg` of a quality, a diffusion
            filter, or any function.
    """
    logits = [classifier(change(part)) for part in images.split(_TOGETHER)]
    return goal.reached(torch.cat(logits))
