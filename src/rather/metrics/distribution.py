"""Are the counterfactuals, as a set, spread as real pictures are?"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.core import Classifier, Images
from rather.errors import RatherError
from rather.features import pooled

_FEWEST: Final = 2  # that have a covariance


def frechet_distance(
    images: Images, others: Float[Tensor, "m c h w"], classifier: Classifier
) -> Float[Tensor, ""]:
    """Frechet distance of two sets of pictures in a classifier's pooled features (lower is better).

    Of the features, each averaged over the cells of its map. FID is this in the features of one certain
    Inception net; this is no FID. It falls as the sets grow: compare only distances of sets of the same
    sizes, in the features of the same net.

    Args:
        images: a set, of two pictures at least; more than the features have channels, for a full covariance.
        others: another.
        classifier: in whose features (`Classifier.features`) to measure.

    Raises:
        RatherError: DATA-EMPTY for a set of fewer than two pictures, which has no covariance.
    """
    return frechet_of_features(pooled(classifier, images), pooled(classifier, others))


def split_frechet_distance(
    images: Images, queries: Images, classifier: Classifier, *, repeats: int = 10, seed: int = 0
) -> Float[Tensor, " repeats"]:
    """Frechet distance of counterfactuals to the queries of other rows, for each split (lower is better).

    A counterfactual is nearly its query, so the distance of both sets is small however strange the change
    looks. Here the rows are split at random into halves A and B: a value is the mean of the distances of the
    queries A to the counterfactuals of B, and of B to those of A. So is the sFID of ACE (G. Jeanneret et al.,
    "Adversarial counterfactual visual explanations", CVPR 2023) measured, in the features of an Inception
    net; this is no FID. Their mean is what to report; their spread says how much the split matters, and not
    how much other queries would.

    Args:
        images: counterfactuals, only of the successes; of an odd number, one half has one more.
        queries: their queries, in the same order.
        classifier: in whose features, as for `frechet_distance`; they are computed once.
        repeats: how many splits.
        seed: of the splits.

    Raises:
        RatherError: DATA-EMPTY for fewer than four rows, whose halves have no covariance.
    """
    draw = torch.Generator().manual_seed(seed)
    halves = [torch.randperm(len(images), generator=draw) < len(images) // 2 for _ in range(repeats)]
    after, before = pooled(classifier, images), pooled(classifier, queries)
    return split_frechet_of_features(after, before, torch.stack(halves))


def split_frechet_of_features(
    after: Float[Tensor, "n d"], before: Float[Tensor, "n d"], halves: Bool[Tensor, "r n"]
) -> Float[Tensor, " r"]:
    """Split Frechet distance of feature vectors, for each split (lower is better).

    As `split_frechet_distance`, of the features of any net, and of splits that are given: who asks how much
    the rows matter keeps each row in its half.

    Args:
        after: of the counterfactuals.
        before: of their queries, in the same order.
        halves: of each split, which rows are in one half.

    Raises:
        RatherError: DATA-EMPTY for a half of fewer than two rows, which has no covariance.
    """
    return torch.stack(
        [
            (frechet_of_features(before[a], after[~a]) + frechet_of_features(before[~a], after[a])) / 2
            for a in halves
        ]
    )


def frechet_of_features(features: Float[Tensor, "n d"], others: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Frechet distance of two sets of feature vectors, taken as Gaussian (lower is better).

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)), of their means and covariances, in 64 bits: D. Dowson,
    B. Landau, "The Frechet distance between multivariate normal distributions", 1982. NaN of features that
    are not finite.

    Args:
        features: of any net, a vector for each picture.
        others: of another set.

    Raises:
        RatherError: DATA-EMPTY for a set of fewer than two vectors, which has no covariance.
    """
    (mean, root), (mean2, root2) = (_gaussian(some.double()) for some in (features, others))
    if not (root.isfinite().all() and root2.isfinite().all()):
        return mean.new_tensor(torch.nan)
    # S is R'R. The trace of (S S')^(1/2) is the sum of the singular values of R R'^T, and R has no more rows
    # than there are pictures. Of S S' itself, rounding errors of 1e-16 would come out as 1e-8, or complex.
    shared = torch.linalg.svdvals(root @ root2.T).sum()
    spread = root.square().sum() + root2.square().sum()
    distance: Tensor = (mean - mean2).square().sum() + spread - 2 * shared
    return distance.clamp(min=0)


def _gaussian(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "r d"]]:
    """Their mean, and an R of which R'R is their covariance."""
    if len(features) < _FEWEST:
        raise RatherError("DATA-EMPTY", where=f"a set of {len(features)}", do="Give two pictures at least")
    mean = features.mean(0)
    if not features.isfinite().all():  # a decomposition would fail
        return mean, torch.full_like(features, torch.nan)
    return mean, torch.linalg.qr((features - mean) / (len(features) - 1) ** 0.5, mode="r").R
