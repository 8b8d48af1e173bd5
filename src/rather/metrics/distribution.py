"""Are the counterfactuals, as a set, spread as real pictures are?"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from rather.core import Classifier, Images
from rather.errors import RatherError

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
    return frechet_of_features(_pooled(images, classifier), _pooled(others, classifier))


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
        images: counterfactuals, only of the successes; of an odd number, each split leaves one out.
        queries: their queries, in the same order.
        classifier: in whose features, as for `frechet_distance`; they are computed once.
        repeats: how many splits.
        seed: of the splits.

    Raises:
        RatherError: DATA-EMPTY for fewer than four rows, whose halves have no covariance.
    """
    return split_frechet_of_features(
        _pooled(images, classifier), _pooled(queries, classifier), repeats=repeats, seed=seed
    )


def split_frechet_of_features(
    after: Float[Tensor, "n d"], before: Float[Tensor, "n d"], *, repeats: int = 10, seed: int = 0
) -> Float[Tensor, " repeats"]:
    """Split Frechet distance of feature vectors, for each split (lower is better).

    As `split_frechet_distance`, of the features of any net.

    Args:
        after: of the counterfactuals.
        before: of their queries, in the same order.
        repeats: how many splits.
        seed: of the splits.

    Raises:
        RatherError: DATA-EMPTY for fewer than four rows, whose halves have no covariance.
    """
    half = len(after) // 2
    if half < _FEWEST:
        raise RatherError(
            "DATA-EMPTY", where=f"a set of {len(after)} to split", do="Give four pictures at least"
        )
    draw = torch.Generator().manual_seed(seed)

    def split() -> Float[Tensor, ""]:
        a, b = torch.randperm(len(after), generator=draw)[: 2 * half].view(2, half)
        return (frechet_of_features(before[a], after[b]) + frechet_of_features(before[b], after[a])) / 2

    return torch.stack([split() for _ in range(repeats)])


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
    # The trace of (S S')^(1/2) is the sum of the singular values of S^(1/2) S'^(1/2). Taken from
    # S S' itself, rounding errors of 1e-16 would come out as 1e-8, or complex.
    shared = torch.linalg.svdvals(root @ root2).sum()
    spread = root.square().sum() + root2.square().sum()
    distance: Tensor = (mean - mean2).square().sum() + spread - 2 * shared
    return distance.clamp(min=0)


@torch.no_grad()
def _pooled(images: Images, classifier: Classifier) -> Float[Tensor, "b d"]:
    """Features, each averaged over the cells of its map."""
    return torch.cat([classifier.features(part).double().flatten(2).mean(2) for part in images.split(256)])


def _gaussian(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Their mean, and the symmetric root of their covariance."""
    if len(features) < _FEWEST:
        raise RatherError("DATA-EMPTY", where=f"a set of {len(features)}", do="Give two pictures at least")
    mean = features.mean(0)
    if not features.isfinite().all():  # an eigen-decomposition would fail
        return mean, features.new_full((features.shape[1],) * 2, torch.nan)
    centred = features - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / (len(features) - 1))
    return mean, (vectors * values.clamp(min=0).sqrt()) @ vectors.T
