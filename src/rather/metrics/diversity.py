"""How much do several answers for the same image differ?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from rather.core import Features, Images
from rather.metrics.features import FeatureNet, LayeredNet

Answers = Float[Tensor, "b n c h w"]
_TOGETHER = 256  # images in memory


@torch.no_grad()
def feature_diversity(answers: Answers, net: FeatureNet) -> Float[Tensor, " b"]:
    """Mean pairwise distance of a row's answers in a net's features, 0 to 4 (higher is better).

    Of two answers the mean over the cells of |a / |a| - b / |b||^2, where a and b are a cell's features. So
    is LPIPS built, of other nets and with learnt weights: the numbers are no LPIPS, and those of two nets
    cannot be compared, so name the net beside them.

    Unit: squared distance of unit vectors.
    Source: after R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric"
    (LPIPS), CVPR 2018, and the diversity sigma_L of ACE, CVPR 2023.
    Avoids: comparing runs with rows that only some of them have solved: it is of one row's own answers.

    Args:
        answers: n pictures for each row; of fewer than two the distance is NaN.
        net: in whose features to measure, such as a `Classifier`; best one that no method saw.
    """
    return _apart(answers, lambda x: [net.features(x)])


@torch.no_grad()
def layered_diversity(answers: Answers, net: LayeredNet) -> Float[Tensor, " b"]:
    """Mean pairwise distance of a row's answers, summed over a net's layers (higher is better).

    As `feature_diversity`, in each of the net's layers, of `SqueezeNet` in seven: from 0 to 4 a layer. It is
    LPIPS without the weights that it has learned from what people called similar, and so no LPIPS.

    Unit: squared distances of unit vectors, summed over layers.
    Source: after R. Zhang et al. (LPIPS), CVPR 2018, as `feature_diversity`.
    Avoids: pictures in [0, 1] given to a net that takes [-1, 1]: the net's range is asserted.

    Args:
        answers: n pictures for each row; of fewer than two the distance is NaN.
        net: in whose layers to measure.
    """
    return _apart(answers, net.layers)


def cardinality(
    changes: Float[Tensor, "b n d"], successful: Bool[Tensor, "b n"], threshold: float = 0.15
) -> Float[Tensor, " b"]:
    """How many of a row's successful answers change things of their own (higher is better).

    The largest set of successes of which any two changes are near to orthogonal, |cos| < threshold; one that
    is the opposite of another tells nothing new. A change of nothing has no direction, and does not count.
    NaN for a row of which a success has a change that is not known.
    The set is exact: of n answers it takes 1.47^n steps at most, far fewer where most changes are alike. In
    many numbers whatever is random is near to orthogonal: give few that mean something, such as attributes.

    Unit: answers, 0 to n.
    Source: D. Velazquez et al., "Explaining visual counterfactual explainers" (Bex), TMLR 2023.
    Avoids: counting answers that differ and explain nothing: only successes count.

    Args:
        changes: of n answers for each row, answer minus query.
        successful: which of them explain, such as those that are `telling`.
        threshold: of the cosine.
    """
    directions = F.normalize(changes, dim=2)
    apart = (directions @ directions.mT).abs() < threshold
    counts = successful & (changes != 0).any(2)
    unknown = (successful & ~changes.isfinite().all(2)).any(1)
    sizes = torch.tensor(
        [_largest(near.tolist(), {*there.nonzero()[:, 0].tolist()}) for near, there in zip(apart, counts, strict=True)],
        dtype=torch.float64,
    )
    return sizes.masked_fill(unknown, torch.nan)


def _largest(apart: Sequence[Sequence[bool]], among: set[int]) -> int:
    """The size of the largest set of which any two are apart: with who is apart from fewest, or without."""
    if not among:
        return 0
    beside = {i: {j for j in among if j != i and apart[i][j]} for i in among}
    first = min(among, key=lambda i: len(beside[i]))
    found = 1 + _largest(apart, beside[first])
    if len(beside[first]) >= len(among) - 2:  # of all but one other at most: no set is larger without it
        return found
    return max(found, _largest(apart, among - {first}))


def _apart(answers: Answers, layers: Callable[[Images], Sequence[Features]]) -> Float[Tensor, " b"]:
    count = answers.shape[1]
    pairs = list(combinations(range(count), 2))
    if not pairs:
        return answers.new_full(answers.shape[:1], torch.nan)
    apart = [answers.new_zeros(0)]
    for rows in answers.split(max(1, _TOGETHER // count)):
        total = rows.new_zeros(len(rows))
        for layer in layers(rows.flatten(0, 1)):
            maps = F.normalize(layer, dim=1).unflatten(0, (-1, count))
            for i, j in pairs:
                total += (maps[:, i] - maps[:, j]).square().sum(1).flatten(1).mean(1)
        apart.append(total / len(pairs))
    return torch.cat(apart)
