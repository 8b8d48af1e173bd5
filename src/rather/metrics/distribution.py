"""Are the counterfactuals, as a set, spread as real pictures are?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rather.core import Classifier, Images
from rather.errors import RatherError


@torch.no_grad()
def frechet_distance(images: Images, others: Images, classifier: Classifier) -> Float[Tensor, ""]:
    """Frechet distance of two sets of pictures in a classifier's pooled features (lower is better).

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)), of the means and covariances of the features, each averaged over
    the cells of its map: D. Dowson, B. Landau, "The Frechet distance between multivariate normal
    distributions", 1982. FID is this in the features of one certain Inception net; this is no FID. It falls
    as the sets grow: compare only distances of sets of the same sizes, in the features of the same net.

    Args:
        images: a set, of two pictures at least; more than the features have channels, for a full covariance.
        others: another.
        classifier: in whose features (`Classifier.features`) to measure.

    Raises:
        RatherError: DATA-EMPTY for a set of fewer than two pictures, which has no covariance.
    """
    (mean, root), (mean2, root2) = (_gaussian(some, classifier) for some in (images, others))
    if not (root.isfinite().all() and root2.isfinite().all()):
        return mean.new_tensor(torch.nan)
    # The trace of (S S')^(1/2) is the sum of the singular values of S^(1/2) S'^(1/2). Taken from
    # S S' itself, rounding errors of 1e-16 would come out as 1e-8, or complex.
    shared = torch.linalg.svdvals(root @ root2).sum()
    spread = root.square().sum() + root2.square().sum()
    distance: Tensor = (mean - mean2).square().sum() + spread - 2 * shared
    return distance.clamp(min=0)


def _gaussian(images: Images, classifier: Classifier) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """The mean of pooled features, and the symmetric root of their covariance, in 64 bits."""
    if len(images) < 2:  # noqa: PLR2004 - see above
        raise RatherError("DATA-EMPTY", where=f"a set of {len(images)}", do="Give two pictures at least")
    pooled = torch.cat([classifier.features(part).double().flatten(2).mean(2) for part in images.split(256)])
    mean = pooled.mean(0)
    if not pooled.isfinite().all():  # an eigen-decomposition would fail
        return mean, pooled.new_full((pooled.shape[1],) * 2, torch.nan)
    centred = pooled - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / (len(pooled) - 1))
    return mean, (vectors * values.clamp(min=0).sqrt()) @ vectors.T
