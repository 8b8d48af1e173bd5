"""Rows that belong together: of a pair of classes, of the same change, typical and odd ones of a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import torch

from rather.audit import changes
from rather.audit.findings import Cluster, Kin, Member, Pair, Share
from rather.audit.load import Seen
from rather.search.losses import l1
from rather.stats import mid_ranks

_KIN: Final = 5  # prototypes and outliers of a class
_FEWEST: Final = 10  # rows of a cluster or a class that are worth a mean


def pairs(seen: Seen, classes: Sequence[str]) -> list[Pair]:
    """The means of each pair of classes, those with most rows first."""
    amount = changes.amounts(seen.queries, seen.counterfactuals)
    questions = list(zip(seen.predicted[seen.found].tolist(), seen.target.tolist(), strict=True))
    found = []
    for (k, wanted), count in Counter(questions).most_common():
        rows = torch.tensor([one == (k, wanted) for one in questions])
        found.append(
            Pair(
                predicted=classes[k],
                target=classes[wanted],
                rows=count,
                query=seen.queries[rows].mean(0),
                counterfactual=seen.counterfactuals[rows].mean(0),
                amount=amount[rows].mean(0),
            )
        )
    return found


def clusters(seen: Seen, classes: Sequence[str]) -> list[Cluster]:
    """Rows whose change lies in the same place; nothing of too few."""
    if len(seen.found) < _FEWEST:
        return []
    amount = changes.amounts(seen.queries, seen.counterfactuals)
    shares = changes.coarse(amount)
    of, distance = changes.cluster(shares)
    relative = amount / amount.sum((1, 2), keepdim=True).clamp(min=1e-12)
    found = []
    for k in range(int(of.max()) + 1):
        mine = of == k
        pairs = Counter(zip(seen.predicted[seen.found][mine].tolist(), seen.target[mine].tolist(), strict=True))
        found.append(
            Cluster(
                share=Share(count=int(mine.sum()), of=len(mine)),
                amount=relative[mine].mean(0),
                spread=float(changes.spread(shares[mine].mean(0, keepdim=True))),
                pairs=[(classes[a], classes[b], count) for (a, b), count in pairs.most_common(3)],
                examples=seen.examples(seen.found[mine], 1 / (1 + distance[mine])),
            )
        )
    return found


def kin(seen: Seen, surer: Mapping[str, float] | None, classes: Sequence[str]) -> list[Kin]:
    """The most and the least typical images of each class that is said often enough."""
    leave = distances(seen)
    found = []
    for k, name in enumerate(classes):
        mine = [n for n, row in enumerate(seen.found.tolist()) if seen.predicted[row] == k]
        members = [
            Member(id=one, leave=leave[one], surer=None if surer is None else surer[one])
            for one in (seen.ids[int(seen.found[n])] for n in mine)
            if surer is None or one in surer
        ]
        if len(members) < _FEWEST:
            continue
        rank = mid_ranks(torch.tensor([one.leave for one in members]))
        if surer is not None:
            rank = rank - mid_ranks(torch.tensor([surer[one.id] for one in members]))
        order = [members[n] for n in rank.argsort(descending=True, stable=True).tolist()]
        found.append(Kin(predicted=name, rows=len(order), prototypes=order[:_KIN], outliers=order[::-1][:_KIN]))
    return found


def distances(seen: Seen) -> dict[str, float]:
    """How far each counterfactual is from its image."""
    distance = l1(seen.counterfactuals, seen.queries)
    return dict(zip((seen.ids[n] for n in seen.found.tolist()), distance.tolist(), strict=True))
