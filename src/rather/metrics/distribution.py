"""Are the counterfactuals, as a set, spread as real pictures are?

With `weights` a function has a value for each of s samples of the rows: how often the sample has each row, in a
bootstrap any number of times, in a jackknife once or never. It equals the value of the rows so repeated, and is NaN
for a sample of fewer than two.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Images
from rather.metrics.features import FeatureNet, pooled
from rather.metrics.registry import metric

_FEWEST: Final = 2  # rows that have a covariance
_NUMBERS: Final = 8_000_000  # of a table in memory

FeaturesOfRows = Float[Tensor, "n d"]
Weights = Float[Tensor, "s n"]


def frechet_distance(images: Images, others: Float[Tensor, "m c h w"], net: FeatureNet) -> Float[Tensor, ""]:
    """Frechet distance of two sets of pictures in a net's pooled features, see `frechet_of_features`.

    Args:
        images: a set, of two pictures at least; more than the features have channels, for a full covariance.
        others: another.
        net: in whose features to measure; a `Classifier` is one. In those of `features.inception` it is FID.

    Raises:
        RatherError: DATA-EMPTY for a set of fewer than two pictures, which has no covariance.
    """
    return frechet_of_features(pooled(net, images), pooled(net, others))


@metric(title="Frechet", theme="realism", unit="squared units of the features", better="lower", biased=True, version=1)
def frechet(
    features_after: FeaturesOfRows, features_before: FeaturesOfRows, *, weights: Weights | None = None
) -> Float[Tensor, "*s"]:
    """Frechet distance of the counterfactuals to their own queries, in a net's pooled features.

    It falls as the sets grow: compare only distances of sets of the same sizes, in the features of the same net; for
    small sets look at `kid` as well.

    Source: M. Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium",
    NIPS 2017, as FID; D. Dowson, B. Landau, 1982.
    Avoids: pictures saved with losses, sets of different sizes, and a name that does not say which features.

    Args:
        features_after: of the counterfactuals.
        features_before: of their queries.
        weights: of samples of the rows.

    Raises:
        RatherError: DATA-EMPTY for fewer than two rows.
    """
    return frechet_of_features(features_after, features_before, weights, weights)


@metric(
    title="split Frechet", theme="realism", unit="squared units of the features", better="lower", biased=True, version=1
)
def split_frechet(
    features_after: FeaturesOfRows,
    features_before: FeaturesOfRows,
    halves: Shaped[Tensor, "n r"],
    *,
    weights: Weights | None = None,
) -> Float[Tensor, "*s"]:
    """Frechet distance of counterfactuals to the queries of other rows, the mean over random splits.

    A counterfactual is nearly its query, so the distance of both sets is small however strange the change looks. Here
    the rows are split into halves A and B: a value is the mean of the distances of the queries A to the counterfactuals
    of B, and of B to those of A. It is sFID in the features of `features.inception`.

    Source: sFID, G. Jeanneret et al., "Adversarial counterfactual visual explanations" (ACE), CVPR 2023.
    Avoids: a single split without a seed, an odd row dropped, and halves of different rows where some rows have no
    counterfactual.

    Args:
        features_after: of the counterfactuals, only of successes.
        features_before: of their queries, in the same order.
        halves: for each of r splits, 1 for the rows of one half and 0 for those of the other.
        weights: of samples of the rows; a row stays in its half.

    Raises:
        RatherError: DATA-EMPTY for a half of fewer than two rows, which has no covariance.
    """
    all_rows = torch.ones(1, len(halves), dtype=torch.float64) if weights is None else weights
    one = halves.T.double()[None] * all_rows[:, None]  # (s, r, n)
    other = all_rows[:, None] - one
    if weights is None and min(one.sum(2).min(), other.sum(2).min()) < _FEWEST:
        raise RatherError("DATA-EMPTY", where="a half of fewer than 2", do="Give two pictures at least")
    first, second = one.flatten(0, 1), other.flatten(0, 1)
    forth = frechet_of_features(features_before, features_after, first, second)
    back = frechet_of_features(features_before, features_after, second, first)
    means = ((forth + back) / 2).view(len(all_rows), -1).mean(1)
    return means[0] if weights is None else means


def frechet_of_features(
    features: FeaturesOfRows,
    others: Float[Tensor, "m d"],
    weights: Weights | None = None,
    other_weights: Float[Tensor, "s m"] | None = None,
) -> Float[Tensor, "*s"]:
    """Frechet distance of two sets of feature vectors, taken as Gaussian.

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)), of their means and covariances, in 64 bits. NaN for features that are not
    finite. D. Dowson, B. Landau, "The Frechet distance between multivariate normal distributions", 1982.

    Args:
        features: of any net, a vector for each picture.
        others: of another set.
        weights: of samples of the first set.
        other_weights: of the same samples, of the second.

    Raises:
        RatherError: DATA-EMPTY for a set of fewer than two vectors, which has no covariance.
    """
    x, y = features.double(), others.double()
    of_x, of_y = _checked(x, weights), _checked(y, other_weights)
    together = torch.cat([x, y])
    if not together.isfinite().all():  # a decomposition would fail
        return torch.full([len(of_x)] * (weights is not None), torch.nan, dtype=torch.float64)
    if x.shape[1] > len(together):  # distances do not change where all rows are written in a basis of their own
        x, y = torch.linalg.qr(together.T, mode="r").R.T.split([len(x), len(y)])
    size = max(1, _NUMBERS // max(x.numel(), y.numel()))
    parts = zip(of_x.split(size), of_y.split(size), strict=True)
    distances = torch.cat([_frechet(x, y, one, other) for one, other in parts])
    return distances[0] if weights is None else distances


def _checked(x: FeaturesOfRows, weights: Weights | None) -> Weights:
    """The weights, or one sample with each row once."""
    if weights is None and len(x) < _FEWEST:
        raise RatherError("DATA-EMPTY", where=f"a set of {len(x)}", do="Give two pictures at least")
    return x.new_ones(1, len(x)) if weights is None else weights


def _frechet(x: Tensor, y: Tensor, of_x: Weights, of_y: Weights) -> Float[Tensor, " s"]:
    """S is R'R. The trace of (S S')^(1/2) is the sum of the singular values of R R'^T.

    R has no more rows than there are pictures. Public code takes the root of S S', which has none in floats: its
    rounding errors of 1e-16 come out as 1e-8, as complex numbers, or, once something is added to the diagonal, as
    another distance.
    """
    (mean, root), (mean2, root2) = _gaussians(x, of_x), _gaussians(y, of_y)
    spread = root.square().sum((1, 2)) + root2.square().sum((1, 2))
    shared = torch.linalg.svdvals(_short(root) @ _short(root2).mT).sum(1)
    distance: Tensor = ((mean - mean2).square().sum(1) + spread - 2 * shared).clamp(min=0)
    return distance.masked_fill((of_x.sum(1) < _FEWEST) | (of_y.sum(1) < _FEWEST), torch.nan)


def _gaussians(x: Tensor, weights: Weights) -> tuple[Float[Tensor, "s d"], Float[Tensor, "s k d"]]:
    """The mean of each sample, and an R of which R'R is its covariance."""
    many = weights.sum(1, keepdim=True)
    mean = weights @ x / many.clamp(min=1)
    chosen = weights > 0
    rows = (~chosen).to(torch.uint8).argsort(dim=1, stable=True)[:, : max(1, int(chosen.sum(1).max()))]
    scale = (weights.gather(1, rows) / (many - 1).clamp(min=1)).sqrt()  # 0 for rows that only fill up
    return mean, (x[rows] - mean[:, None]) * scale[..., None]


def _short(root: Float[Tensor, "s k d"]) -> Float[Tensor, "s _ d"]:
    return torch.linalg.qr(root, mode="r").R if root.shape[1] > root.shape[2] else root


@metric(
    title="KID",
    theme="realism",
    unit="of a kernel without a unit; around 0 for sets of one kind, and then also below",
    better="lower",
    biased=True,
    version=1,
)
def kid(
    features_after: FeaturesOfRows, features_before: FeaturesOfRows, *, weights: Weights | None = None
) -> Float[Tensor, "*s"]:
    """Kernel distance (KID) of the counterfactuals to the queries of other rows, in a net's pooled features.

    It is KID in the features of `features.inception`, and in no others. Its expectation does not depend on the sizes of
    the sets: with a Frechet distance of fewer than some 5,000 pictures, give this as well.

    Source: M. Binkowski, D. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", ICLR 2018.
    Avoids: the biased estimate, in which each row is like itself and which falls as the sets grow; subsets drawn
    without a seed; a negative estimate cut off at 0, which is no longer unbiased; and counterfactuals compared with
    their own queries, to which they are like whatever they look like.

    Args:
        features_after: of the counterfactuals.
        features_before: of their queries, in the same order.
        weights: of samples of the rows.

    Raises:
        RatherError: DATA-EMPTY for fewer than two rows.
    """
    return kid_of_features(features_after, features_before, paired=True, weights=weights)


def kid_of_features(
    features: FeaturesOfRows, others: Float[Tensor, "m d"], *, paired: bool = False, weights: Weights | None = None
) -> Float[Tensor, "*s"]:
    """Unbiased squared maximum mean discrepancy of feature vectors, by a cubic kernel.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y), k(x, y) = (x.y / d + 1)^3, over pairs of different rows, in 64 bits.
    Of all rows: public code takes the mean over random subsets, which has the same expectation and varies more. The
    kernel has no scale: multiply the features, and the distance is another.

    Args:
        features: of any net, a vector for each picture.
        others: of another set.
        paired: whether row n of both is a picture and its own counterfactual. Such a pair is then left out of the mean
            of k(x, y), as rows with themselves are of the others (Gretton et al., JMLR 2012, eq. 4).
        weights: of samples of pairs.

    Raises:
        RatherError: DATA-EMPTY for a set of fewer than two vectors.
    """
    x, y = features.double(), others.double()
    of_x, of_y = _checked(x, weights), _checked(y, weights)
    within = _mean_kernel(x, x, of_x, of_x, paired=True) + _mean_kernel(y, y, of_y, of_y, paired=True)
    distances = within - 2 * _mean_kernel(x, y, of_x, of_y, paired=paired)
    return distances[0] if weights is None else distances


def _mean_kernel(x: Tensor, y: Tensor, of_x: Weights, of_y: Weights, *, paired: bool) -> Float[Tensor, " s"]:
    """Over all pairs of two rows; if paired, of two different rows."""
    size = max(1, _NUMBERS // len(y))
    parts = zip(x.split(size), of_x.split(size, 1), strict=True)
    total = torch.stack([((one @ _kernel(part @ y.T, x.shape[1])) * of_y).sum(1) for part, one in parts]).sum(0)
    many = of_x.sum(1)
    if not paired:
        return total / (many * of_y.sum(1))
    different: Tensor = (total - of_x @ _kernel((x * y).sum(1), x.shape[1])) / (many * (many - 1))
    return different.masked_fill(many < _FEWEST, torch.nan)


def _kernel(product: Tensor, size: int) -> Tensor:
    return (product / size + 1) ** 3
