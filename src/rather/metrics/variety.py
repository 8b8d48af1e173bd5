"""How much do several answers for the same image differ?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from rather.metrics.features import FeatureNet
from rather.metrics.registry import metric

_BATCH: Final = 256  # images in memory


@metric(
    title="diversity",
    theme="realism",
    unit="squared distance of unit vectors",
    better="higher",
    several_seeds=True,
    version=1,
)
@torch.no_grad()
def diversity(counterfactuals: Float[Tensor, "b n c h w"], feature_net: FeatureNet) -> Float[Tensor, " b"]:
    """Mean pairwise distance of a row's answers in a net's features, 0 to 4.

    Of two answers the mean over the cells of |a / |a| - b / |b||^2, where a and b are a cell's features. LPIPS is built
    like this, of other nets and with learnt weights: the numbers are no LPIPS, and those of two nets cannot be
    compared, so name the net.

    Source: after R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric" (LPIPS),
    CVPR 2018, and the diversity sigma_L of ACE, CVPR 2023.
    Avoids: comparing runs with rows that only some of them have solved: it is of one row's own answers.

    Args:
        counterfactuals: n pictures for each row; of fewer than two the distance is NaN.
        feature_net: such as a `Classifier`; best one that no method saw.
    """
    count = counterfactuals.shape[1]
    pairs = [*combinations(range(count), 2)]
    if not pairs:
        return counterfactuals.new_full(counterfactuals.shape[:1], torch.nan)
    apart = [counterfactuals.new_zeros(0)]
    for rows in counterfactuals.split(max(1, _BATCH // count)):
        total = rows.new_zeros(len(rows))
        maps = F.normalize(feature_net.features(rows.flatten(0, 1)), dim=1).unflatten(0, (-1, count))
        for i, j in pairs:
            total += (maps[:, i] - maps[:, j]).square().sum(1).flatten(1).mean(1)
        apart.append(total / len(pairs))
    return torch.cat(apart)


@metric(
    title="cardinality",
    theme="meaning",
    unit="answers, 0 to n",
    better="higher",
    over="answered",
    several_seeds=True,
    version=1,
)
def cardinality(
    changes: Float[Tensor, "b n d"], successful: Bool[Tensor, "b n"], threshold: float = 0.15
) -> Float[Tensor, " b"]:
    """How many of a row's successful answers change things of their own.

    The largest set of successes of which any two changes are nearly orthogonal, |cos| < threshold; one that is the
    opposite of another tells nothing new. A change of nothing has no direction, and does not count. NaN for a row of
    which a success has a change that is not known.
    The set is exact: with n answers it takes 1.47^n steps at most, far fewer where most changes are alike. Vectors of
    many random numbers are nearly orthogonal: give few numbers that mean something, such as attributes.

    Source: D. Velazquez et al., "Explaining visual counterfactual explainers" (Bex), TMLR 2023.
    Avoids: counting answers that differ and explain nothing: only successes count.

    Args:
        changes: of n answers for each row, answer minus query.
        successful: which of them explain, such as those that count for `sce`.
        threshold: of the cosine.
    """
    directions = F.normalize(changes, dim=2)
    apart = (directions @ directions.mT).abs() < threshold
    counts = successful & (changes != 0).any(2)
    unknown = (successful & ~changes.isfinite().all(2)).any(1)
    sizes = torch.tensor(
        [_largest(near.tolist(), {*some.nonzero()[:, 0].tolist()}) for near, some in zip(apart, counts, strict=True)],
        dtype=torch.float64,
    )
    return sizes.masked_fill(unknown, torch.nan)


def _largest(apart: Sequence[Sequence[bool]], among: set[int]) -> int:
    """The size of the largest set of which any two are apart: with the one that is apart from fewest, or without."""
    if not among:
        return 0
    partners = {i: {j for j in among if j != i and apart[i][j]} for i in among}
    first = min(among, key=lambda i: len(partners[i]))
    size = 1 + _largest(apart, partners[first])
    if len(partners[first]) >= len(among) - 2:  # apart from all but one other at most: no set is larger without it
        return size
    return max(size, _largest(apart, among - {first}))
