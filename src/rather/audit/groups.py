"""Rows that belong together: of a pair of classes, of the same change, typical and atypical ones of a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rather.audit.findings import Cluster, Member, Pair, Share, Typicality
from rather.audit.load import LoadedRun
from rather.core import Images
from rather.search.losses import l1
from rather.stats import mid_ranks

CELLS: Final = 8  # a side, of the maps that clusters are made of
_SHOWN: Final = 5  # prototypes and outliers of a class
_FEWEST: Final = 10  # rows of a cluster or a class that are worth a mean
_MOST: Final = 5  # clusters
_ROUNDS: Final = 50
_SMALLEST: Final = 3  # rows of a cluster; fewer are odd ones
_APART: Final = 0.15  # mean silhouette that clusters must have, or all is one


def pairs(run: LoadedRun, classes: Sequence[str]) -> list[Pair]:
    """The means of each pair of classes, those with most rows first."""
    amount = _amounts(run.queries, run.counterfactuals)
    each = list(zip(run.predicted[run.found].tolist(), run.target.tolist(), strict=True))
    found = []
    for (predicted, target), count in Counter(each).most_common():
        rows = torch.tensor([one == (predicted, target) for one in each])
        found.append(
            Pair(
                predicted=classes[predicted],
                target=classes[target],
                rows=count,
                query=run.queries[rows].mean(0),
                counterfactual=run.counterfactuals[rows].mean(0),
                amount=amount[rows].mean(0),
            )
        )
    return found


def clusters(run: LoadedRun, classes: Sequence[str]) -> list[Cluster]:
    """Rows whose change lies in the same place; none of a run with too few rows."""
    if len(run.found) < _FEWEST:
        return []
    amount = _amounts(run.queries, run.counterfactuals)
    shares = coarse(amount)
    of, distance = cluster(shares)
    relative = amount / amount.sum((1, 2), keepdim=True).clamp(min=1e-12)
    found = []
    for k in range(int(of.max()) + 1):
        rows = of == k
        pairs = Counter(zip(run.predicted[run.found][rows].tolist(), run.target[rows].tolist(), strict=True))
        found.append(
            Cluster(
                share=Share(count=int(rows.sum()), of=len(rows)),
                amount=relative[rows].mean(0),
                spread=float(spread(shares[rows].mean(0, keepdim=True))),
                pairs=[(classes[a], classes[b], count) for (a, b), count in pairs.most_common(3)],
                examples=run.examples(run.found[rows], 1 / (1 + distance[rows])),
            )
        )
    return found


def typical(run: LoadedRun, surer: Mapping[str, float] | None, classes: Sequence[str]) -> list[Typicality]:
    """The most and the least typical images of each class that is predicted often enough.

    Args:
        run: the run.
        surer: of each image the change that more confidence needed; None if that was not asked.
        classes: their names.
    """
    found = []
    for k, name in enumerate(classes):
        members = [
            Member(id=row, change=change, surer=None if surer is None else surer[row])
            for (row, change), predicted in zip(distances(run).items(), run.predicted[run.found], strict=True)
            if predicted == k and (surer is None or row in surer)
        ]
        if len(members) < _FEWEST:
            continue
        rank = mid_ranks(torch.tensor([one.change for one in members]))
        if surer is not None:
            rank = rank - mid_ranks(torch.tensor([surer[one.id] for one in members]))
        order = [members[n] for n in rank.argsort(descending=True, stable=True).tolist()]
        found.append(
            Typicality(predicted=name, rows=len(order), prototypes=order[:_SHOWN], outliers=order[::-1][:_SHOWN])
        )
    return found


def distances(run: LoadedRun) -> dict[str, float]:
    """How far each counterfactual is from its image."""
    distance = l1(run.counterfactuals, run.queries)
    return dict(zip((run.ids[n] for n in run.found.tolist()), distance.tolist(), strict=True))


class Clustering(NamedTuple):
    """The cluster of each row, and its distance to the centre."""

    of: Int[Tensor, " n"]  # the largest cluster is 0
    distance: Float[Tensor, " n"]


def _amounts(queries: Images, images: Images) -> Float[Tensor, "n h w"]:
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

    One cluster if no k from 2 to 5 has a mean silhouette (P. Rousseeuw, 1987) of 0.15 and at least three rows in each.
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
    numbers: Tensor = of.unique(return_inverse=True)[1]  # without empty clusters
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
