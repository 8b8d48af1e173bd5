"""How much do several answers for the same image differ?"""

from __future__ import annotations

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from rather.core import Classifier


@torch.no_grad()
def feature_diversity(answers: Float[Tensor, "b n c h w"], classifier: Classifier) -> Float[Tensor, " b"]:
    """Mean pairwise distance of a row's answers in a classifier's features, 0 to 4 (higher is better).

    Of two answers the mean over the cells of |a / |a| - b / |b||^2, where a and b are a cell's features. So
    is LPIPS (Zhang et al., 2018) built, of other nets and with learnt weights: the numbers are no LPIPS, and
    those of two classifiers cannot be compared, so name the classifier beside them.

    Args:
        answers: n pictures for each row; of fewer than two the distance is NaN.
        classifier: in whose features (`Classifier.features`) to measure; best one that no method saw.
    """
    b, n = answers.shape[:2]
    parts = answers.flatten(0, 1).split(256)
    maps = torch.cat([F.normalize(classifier.features(part), dim=1) for part in parts]).unflatten(0, (b, n))
    total = answers.new_zeros(b)
    pairs = list(combinations(range(n), 2))
    for i, j in pairs:
        total += (maps[:, i] - maps[:, j]).square().sum(1).flatten(1).mean(1)
    return total / len(pairs) if pairs else total * torch.nan
