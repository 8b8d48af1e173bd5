"""Are the counterfactuals, as a set, spread as real pictures are?"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Images
from rather.metrics.features import FeatureNet, pooled

_FEWEST: Final = 2  # that have a covariance
_TOGETHER: Final = 1024  # rows of a table of kernels in memory


def frechet_distance(images: Images, others: Float[Tensor, "m c h w"], net: FeatureNet) -> Float[Tensor, ""]:
    """Frechet distance of two sets of pictures in a net's pooled features (lower is better).

    Of the features, each averaged over the cells of its map. It is FID in those of `features.inception`, and
    in no others. It falls as the sets grow: compare only distances of sets of the same sizes, in the features
    of the same net; beside small sets give `kid`.

    Unit: squared units of the features.
    Source: M. Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium", NIPS 2017, as FID.
    Avoids: pictures saved with losses, sets of different sizes, and a name that does not say which features.

    Args:
        images: a set, of two pictures at least; more than the features have channels, for a full covariance.
        others: another.
        net: in whose features to measure; a `Classifier` is one.

    Raises:
        RatherError: DATA-EMPTY for a set of fewer than two pictures, which has no covariance.
    """
    return frechet_of_features(pooled(net, images), pooled(net, others))


def split_frechet_distance(
    images: Images, queries: Images, net: FeatureNet, *, repeats: int = 10, seed: int = 0
) -> Float[Tensor, " repeats"]:
    """Frechet distance of counterfactuals to the queries of other rows, for each split (lower is better).

    A counterfactual is nearly its query, so the distance of both sets is small however strange the change
    looks. Here the rows are split at random into halves A and B: a value is the mean of the distances of the
    queries A to the counterfactuals of B, and of B to those of A. It is sFID in the features of
    `features.inception`. Their mean is what to report; their spread says how much the split matters, and not
    how much other queries would.

    Unit: squared units of the features.
    Source: sFID, G. Jeanneret et al., "Adversarial counterfactual visual explanations" (ACE), CVPR 2023.
    Avoids: a single split without a seed, an odd row dropped, and halves of different rows where some rows
    have no counterfactual.

    Args:
        images: counterfactuals, only of the successes; of an odd number, one half has one more.
        queries: their queries, in the same order.
        net: in whose features, as for `frechet_distance`; they are computed once.
        repeats: how many splits.
        seed: of the splits.

    Raises:
        RatherError: DATA-EMPTY for fewer than four rows, whose halves have no covariance.
    """
    draw = torch.Generator().manual_seed(seed)
    halves = [torch.randperm(len(images), generator=draw) < len(images) // 2 for _ in range(repeats)]
    after, before = pooled(net, images), pooled(net, queries)
    return split_frechet_of_features(after, before, torch.stack(halves))


def split_frechet_of_features(
    after: Float[Tensor, "n d"], before: Float[Tensor, "n d"], halves: Bool[Tensor, "r n"]
) -> Float[Tensor, " r"]:
    """Split Frechet distance of feature vectors, for each split (lower is better).

    As `split_frechet_distance`, of the features of any net, and of splits that are given: who asks how much
    the rows matter keeps each row in its half.

    Unit: squared units of the features.
    Source: as `split_frechet_distance`.
    Avoids: as there.

    Args:
        after: of the counterfactuals.
        before: of their queries, in the same order.
        halves: of each split, which rows are in one half.

    Raises:
        RatherError: DATA-EMPTY for a half of fewer than two rows, which has no covariance.
    """
    return torch.stack(
        [(frechet_of_features(before[a], after[~a]) + frechet_of_features(before[~a], after[a])) / 2 for a in halves]
    )


def frechet_of_features(features: Float[Tensor, "n d"], others: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Frechet distance of two sets of feature vectors, taken as Gaussian (lower is better).

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)), of their means and covariances, in 64 bits. NaN of features that
    are not finite.

    Unit: squared units of the features.
    Source: D. Dowson, B. Landau, "The Frechet distance between multivariate normal distributions", 1982.
    Avoids: the root of a matrix that has none in floats, whose rounding errors come out as 1e-8, as complex
    numbers, or, once something is added to the diagonal, as another distance.

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


def kid(images: Images, others: Float[Tensor, "m c h w"], net: FeatureNet) -> Float[Tensor, ""]:
    """Kernel distance of two sets of pictures in a net's pooled features (lower is better).

    It is KID in the features of `features.inception`, and in no others. Its expectation does not depend on
    the sizes of the sets: beside a Frechet distance of fewer than some 5,000 pictures, give this.

    Unit: of a kernel without a unit; around 0 for sets of one kind, and then also below.
    Source: M. Binkowski, D. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", ICLR 2018.
    Avoids: as `kid_of_features`.

    Args:
        images: a set, of two pictures at least.
        others: another, of any other size.
        net: in whose features to measure; a `Classifier` is one.

    Raises:
        RatherError: DATA-EMPTY for a set of fewer than two pictures.
    """
    return kid_of_features(pooled(net, images), pooled(net, others))


def kid_of_features(
    features: Float[Tensor, "n d"], others: Float[Tensor, "m d"], *, paired: bool = False
) -> Float[Tensor, ""]:
    """Unbiased squared maximum mean discrepancy of feature vectors, by a cubic kernel (lower is better).

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y), k(x, y) = (x.y / d + 1)^3, over pairs of different rows,
    in 64 bits. Of all rows: public code takes the mean over random subsets, which expects the same and varies
    more. The kernel knows no scale: multiply the features, and the distance is another.

    Unit: of a kernel without a unit; around 0 for sets of one kind, and then also below.
    Source: M. Binkowski, D. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", ICLR 2018.
    Avoids: the biased estimate, in which each row is like itself and which falls as the sets grow; subsets
    drawn without a seed; a negative estimate cut off at 0, which is no longer unbiased; and, if `paired`,
    counterfactuals compared with their own queries, to which they are like whatever they look like.

    Args:
        features: of any net, a vector for each picture.
        others: of another set.
        paired: whether row n of both is a picture and its own counterfactual. Such a pair is then left out of
            the mean of k(x, y), as rows with themselves are of the others (Gretton et al., JMLR 2012, eq. 4).

    Raises:
        RatherError: DATA-EMPTY for a set of fewer than two vectors.
    """
    x, y = features.double(), others.double()
    return _similar(x, x, paired=True) + _similar(y, y, paired=True) - 2 * _similar(x, y, paired=paired)


def _similar(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], *, paired: bool) -> Float[Tensor, ""]:
    """Mean kernel of two rows; of pairs, of two rows that are none."""
    for some in (x, y):
        if len(some) < _FEWEST:
            raise RatherError("DATA-EMPTY", where=f"a set of {len(some)}", do="Give two pictures at least")
    total = torch.stack([_kernel(part @ y.T, x.shape[1]).sum() for part in x.split(_TOGETHER)]).sum()
    if not paired:
        return total / (len(x) * len(y))
    return (total - _kernel((x * y).sum(1), x.shape[1]).sum()) / (len(x) * (len(x) - 1))


def _kernel(product: Tensor, size: int) -> Tensor:
    return (product / size + 1) ** 3


def _gaussian(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "r d"]]:
    """Their mean, and an R of which R'R is their covariance."""
    if len(features) < _FEWEST:
        raise RatherError("DATA-EMPTY", where=f"a set of {len(features)}", do="Give two pictures at least")
    mean = features.mean(0)
    if not features.isfinite().all():  # a decomposition would fail
        return mean, torch.full_like(features, torch.nan)
    return mean, torch.linalg.qr((features - mean) / (len(features) - 1) ** 0.5, mode="r").R
