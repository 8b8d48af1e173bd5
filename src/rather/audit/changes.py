"""What changed over a whole set of rows: how much where, and clusters of the same change."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rather.core import Images

CELLS: Final = 8  # a side, of the maps that clusters are made of
_MOST: Final = 5  # clusters
_ROUNDS: Final = 50
_SMALLEST: Final = 3  # rows of a cluster; fewer are odd ones
_APART: Final = 0.15  # mean silhouette that clusters must have, or all is one


class Clustering(NamedTuple):
    """To which cluster each row belongs, and how near it is to that one's middle."""

    of: Int[Tensor, " n"]  # the largest cluster is 0
    distance: Float[Tensor, " n"]


def amounts(queries: Images, images: Images) -> Float[Tensor, "n h w"]:
    """Of each pixel the largest |difference| among the channels."""
    return (images - queries).abs().amax(1)


def coarse(amount: Float[Tensor, "n h w"], cells: int = CELLS) -> Float[Tensor, "n c"]:
    """The share of each row's change in each cell; sums to 1, or is 0 where nothing changed."""
    flat = F.adaptive_avg_pool2d(amount[:, None], cells).flatten(1)
    return flat / flat.sum(1, keepdim=True).clamp(min=1e-12)


def spread(shares: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
    """How many cells the change would fill evenly: exp of the entropy of its shares."""
    cells: Tensor = torch.special.entr(shares).sum(1).exp()
    return cells


def cluster(points: Float[Tensor, "n c"]) -> Clustering:
    """k-means, begun with points that are far apart, with the k of the largest mean silhouette.

    One cluster if no k from 2 to 5 has a mean silhouette (P. Rousseeuw, 1987) of 0.15
    and at least three rows in each.
    """
    best, silhouette = torch.zeros(len(points), dtype=torch.long), _APART
    distances = torch.cdist(points, points)
    for k in range(2, min(_MOST, len(points) - 1) + 1):
        of = _k_means(points, k)
        value = _silhouette(distances, of)
        if value > silhouette and of.bincount().min() >= _SMALLEST:
            best, silhouette = of, value
    order = best.bincount().argsort(descending=True, stable=True)
    of = order.argsort()[best]
    middles = torch.stack([points[of == k].mean(0) for k in range(int(of.max()) + 1)])
    return Clustering(of, (points - middles[of]).norm(dim=1))


def _k_means(points: Tensor, k: int) -> Tensor:
    chosen = [int((points - points.mean(0)).norm(dim=1).argmax())]
    while len(chosen) < k:
        chosen.append(int(torch.cdist(points, points[chosen]).amin(1).argmax()))
    middles = points[chosen]
    of = torch.cdist(points, middles).argmin(1)
    for _ in range(_ROUNDS):
        middles = torch.stack([points[of == n].mean(0) if (of == n).any() else middles[n] for n in range(k)])
        again = torch.cdist(points, middles).argmin(1)
        if (again == of).all():
            break
        of = again
    numbers: Tensor = of.unique(return_inverse=True)[1]  # without those of nobody
    return numbers


def _silhouette(distances: Float[Tensor, "n n"], of: Int[Tensor, " n"]) -> float:
    """The mean of (b - a) / max(a, b): a to the own cluster, b to the nearest other; 0 of a row alone."""
    groups = F.one_hot(of).to(distances)
    count = groups.sum(0)
    if len(count) < 2:  # noqa: PLR2004 - nothing to be apart from
        return 0.0
    sums = distances @ groups
    own = count[of]
    a = sums.gather(1, of[:, None])[:, 0] / (own - 1).clamp(min=1)
    b = (sums / count).scatter(1, of[:, None], torch.inf).amin(1)
    value = torch.where(own > 1, (b - a) / torch.maximum(a, b).clamp(min=1e-12), 0)
    return float(value.mean())
