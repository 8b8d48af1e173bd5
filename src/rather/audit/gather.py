"""From a stored run to its audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rather.audit import changes
from rather.audit.appearance import APPEARANCES, appearances
from rather.audit.dependence import dependence
from rather.audit.findings import (
    Attribute,
    Audit,
    Cluster,
    Estimate,
    Kin,
    Pair,
    Place,
    Region,
    Share,
    Suspicion,
)
from rather.audit.rules import suspicious_attributes, suspicious_places, suspicious_regions
from rather.audit.swaps import Spot, answers, nearest_allowed, spots
from rather.core import Classifier, Images
from rather.errors import RatherError
from rather.oracle import Oracle
from rather.png import unpng
from rather.resources import spread
from rather.semantic import Semantic, changes_by_region
from rather.store import Run
from rather.suggest import near

_HALF: Final = 0.5
_EXAMPLES: Final = 6
_Z: Final = 1.959964
_KIN: Final = 5  # prototypes and outliers of a class
_SWAPPED: Final = 64  # images with each place swapped
_FEWEST: Final = 10  # rows of a class pair, a cluster or a class that are worth a mean


@final
@dataclass(frozen=True, eq=False)
class Seen:
    """The images of a run that could be read, and what was said of them."""

    ids: Sequence[str]
    images: Images
    probabilities: Float[Tensor, "n k"]
    predicted: Int[Tensor, " n"]
    labels: Int[Tensor, " n"] | None  # None if not all are known
    found: Int[Tensor, " f"]  # the rows that have a counterfactual
    target: Int[Tensor, " f"]
    counterfactuals: Images

    @property
    def queries(self) -> Images:
        """Those that have a counterfactual."""
        return self.images[self.found]

    def some(self, count: int) -> Seen:
        """As many of the images, evenly spread, without their counterfactuals."""
        rows = torch.tensor(spread(len(self.ids), count))
        none = self.found[:0]
        return Seen(
            ids=[self.ids[n] for n in rows.tolist()],
            images=self.images[rows],
            probabilities=self.probabilities[rows],
            predicted=self.predicted[rows],
            labels=None if self.labels is None else self.labels[rows],
            found=none,
            target=none,
            counterfactuals=self.images[:0],
        )

    def examples(self, rows: Tensor, score: Tensor, count: int = _EXAMPLES) -> list[str]:
        """The ids of the rows of the largest scores above 0."""
        best = score.argsort(descending=True, stable=True)[:count]
        return [self.ids[int(rows[n])] for n in best.tolist() if score[n] > 0]


def audit(
    run: Run,
    *,
    classifier: Classifier | None = None,
    oracle: Oracle | None = None,
    segmenter: Semantic | None = None,
    expect: Sequence[str] = (),
) -> Audit:
    """What a classifier goes by, over all images of a run, and what of it is suspicious.

    Args:
        run: answered by any method; finished or not.
        classifier: that the run explains, to ask it about images with swapped content.
        oracle: reads attributes.
        segmenter: sees regions.
        expect: attributes and regions that may decide.

    Raises:
        RatherError: DATA-EMPTY for a run without a row to look at, CFG-UNKNOWN for a name in `expect` that is
            neither attribute nor region, RUN-DAMAGED.
    """
    attributes_known = (*(oracle.attributes if oracle else ()), *APPEARANCES)
    regions_known = segmenter.regions if segmenter else ()
    for name in expect:
        if name not in (*attributes_known, *regions_known):
            raise RatherError(
                "CFG-UNKNOWN",
                where=f"--expect {name}",
                why="neither an attribute nor a region that is looked at",
                do=near(name, [*attributes_known, *regions_known]),
            )
    classes = [str(name) for name in run.question.get("classes") or []]
    seen = _read(run, classes)
    attributes = _attributes(seen, classes, oracle)
    regions = _regions(seen, segmenter) if segmenter and len(seen.found) else []
    places = _places(seen, classifier) if classifier else []
    warnings: list[Suspicion] = [
        *suspicious_attributes(attributes, {*expect} & {*attributes_known}),
        *suspicious_regions(regions, {*expect} & {*regions_known}),
        *suspicious_places(places),
    ]
    notes = [
        note
        for missing, note in (
            (seen.labels is None, "No labels: nothing says where the answer moves and the truth does not."),
            (
                oracle is None,
                "No oracle of attributes: of what the pictures show, only the appearance is read.",
            ),
            (classifier is None, "The classifier is not at hand: no place could be swapped."),
            (
                seen.labels is None and not expect,
                "Neither labels nor an expectation: without one of the two nothing is called suspicious.",
            ),
        )
        if missing
    ]
    return Audit(
        rows=len(seen.ids),
        found=len(seen.found),
        right=None
        if seen.labels is None
        else Share(count=int((seen.labels == seen.predicted).sum()), of=len(seen.ids)),
        warnings=sorted(warnings, key=lambda one: -one.strength),
        attributes=attributes,
        regions=regions,
        places=places,
        pairs=_pairs(seen, classes),
        clusters=_clusters(seen, classes),
        kin=_kin(seen, classes),
        notes=notes,
    )


def _read(run: Run, classes: Sequence[str]) -> Seen:
    ids: list[str] = []
    images: list[Tensor] = []
    said, labels, found, target, counterfactuals = [], [], [], [], []
    number = {name: n for n, name in enumerate(classes)}
    for row in run.rows():
        if not row.query or len(row.before) != len(classes):
            continue
        try:
            query = unpng(row.query)
            image = unpng(row.image) if row.image and row.status == "found" else None
        except RatherError as error:
            raise run.damaged(row.id, str(error)) from None
        if images and query.shape != images[0].shape:
            raise run.damaged(row.id, f"an image of shape {tuple(query.shape)}")
        if image is not None and image.shape == query.shape and row.target in number:
            found.append(len(ids))
            target.append(number[row.target])
            counterfactuals.append(image)
        ids.append(row.id)
        images.append(query)
        said.append(row.before)
        labels.append(number.get(row.label or "", -1))
    if not ids:
        raise RatherError(
            "DATA-EMPTY", where=run.folder, why="no row of it has an image that was asked about"
        )
    x, probabilities = torch.stack(images), torch.tensor(said)
    return Seen(
        ids=ids,
        images=x,
        probabilities=probabilities,
        predicted=probabilities.argmax(1),
        labels=None if -1 in labels else torch.tensor(labels),
        found=torch.tensor(found, dtype=torch.long),
        target=torch.tensor(target, dtype=torch.long),
        counterfactuals=torch.stack(counterfactuals) if counterfactuals else x[:0],
    )


def _attributes(seen: Seen, classes: Sequence[str], oracle: Oracle | None) -> list[Attribute]:
    """What goes with the answers, of what the oracle reads and of appearances, and what came or went.

    Of an appearance a picture has much if it has more than the middle one of all.
    """
    names = [*(oracle.attributes if oracle else ()), *APPEARANCES]
    before, after = (_values(x, oracle) for x in (seen.images, seen.counterfactuals))
    enough = torch.full((len(names),), _HALF)
    enough[-len(APPEARANCES) :] = before[:, -len(APPEARANCES) :].median(0).values
    has = before > enough
    flipped = (after > enough) != has[seen.found]
    change = after - before[seen.found]
    effects = _effects(seen, has)
    found = []
    for n, name in enumerate(names):
        k, answer, label, excess = effects.get(n, (len(classes) - 1, None, None, None))
        found.append(
            Attribute(
                name=name,
                has=Share(count=int(has[:, n].sum()), of=len(has)),
                towards=classes[k],
                answer=answer,
                label=label,
                excess=excess,
                changed=Share(count=int(flipped[:, n].sum()), of=len(flipped)),
                amount=float(change[:, n].abs().mean()) if len(change) else 0.0,
                examples=seen.examples(seen.found, change[:, n].abs()),
            )
        )
    return sorted(found, key=lambda one: -abs(one.answer.value) if one.answer else 1.0)


def _values(x: Images, oracle: Oracle | None) -> Float[Tensor, "n a"]:
    if not len(x):
        return torch.zeros(0, len(oracle.attributes if oracle else ()) + len(APPEARANCES))
    return torch.cat([*([oracle.values(x)] if oracle else []), appearances(x)], 1)


def _effects(
    seen: Seen, has: Bool[Tensor, "n a"]
) -> dict[int, tuple[int, Estimate, Estimate | None, Estimate | None]]:
    """Of each attribute the class that it moves most; what it adds to answer, label, and the difference."""
    count = seen.probabilities.shape[1]
    found: dict[int, tuple[int, Estimate, Estimate | None, Estimate | None]] = {}
    for k in range(1 if count == 2 else 0, count):  # noqa: PLR2004 - two classes are each other's opposite
        answer = seen.probabilities[:, k]
        columns = [answer]
        if seen.labels is not None:
            truth = (seen.labels == k).float()
            columns += [truth, answer - truth]
        for n, effect in dependence(torch.stack(columns, 1), has, minor=len(APPEARANCES)).items():
            if n not in found or abs(effect[0].value) > abs(found[n][1].value):
                found[n] = (k, effect[0], *(effect[1:] if len(effect) > 1 else (None, None)))
    return found


def _regions(seen: Seen, segmenter: Semantic) -> list[Region]:
    """Where the change lies, by the regions of the queries."""
    layout = segmenter.segment(seen.queries)
    shares = changes_by_region(seen.counterfactuals, seen.queries, layout)
    area = layout.flatten(2).mean(2).mean(0)
    found = [
        Region(
            name=name,
            share=_mean(shares[:, n]),
            area=float(area[n]),
            examples=seen.examples(seen.found, shares[:, n]),
        )
        for n, name in enumerate(segmenter.regions)
    ]
    return sorted(found, key=lambda one: -one.share.value)


def _mean(values: Float[Tensor, " n"]) -> Estimate:
    mean = float(values.mean())
    half = _Z * float(values.std()) / len(values) ** 0.5 if len(values) > 1 else float("inf")
    return Estimate(value=mean, low=mean - half, high=mean + half)


def _places(seen: Seen, classifier: Classifier) -> list[Place]:
    """What each place of the frame does, the smallest first."""
    tried = spots()
    seen = seen.some(_SWAPPED)
    other = seen.predicted[:, None] != seen.predicted
    donor = nearest_allowed(seen.images, other)
    (rows,) = (donor >= 0).nonzero(as_tuple=True)
    takes = _becomes(seen, classifier, rows, donor[rows], tried)
    heals = torch.zeros(len(tried), 0, dtype=torch.bool)
    if seen.labels is not None:
        right = seen.predicted == seen.labels
        same = (seen.labels[:, None] == seen.labels) & right & ~right[:, None]
        donor = nearest_allowed(seen.images, same)
        (wrong,) = (donor >= 0).nonzero(as_tuple=True)
        heals = _becomes(seen, classifier, wrong, donor[wrong], tried)
    return [
        Place(
            name=spot.name,
            cells=[(row, column) for row, column in spot.cells.nonzero().tolist()],
            decides=Share(count=int(takes[n].sum()), of=len(rows)),
            heals=None if seen.labels is None else Share(count=int(heals[n].sum()), of=len(seen.ids)),
            examples=seen.examples(wrong, heals[n].float())
            if heals[n].any()
            else seen.examples(rows, takes[n].float()),
        )
        for n, spot in enumerate(tried)
    ]


def _becomes(
    seen: Seen, classifier: Classifier, rows: Tensor, donors: Tensor, tried: Sequence[Spot]
) -> Bool[Tensor, "t b"]:
    """Which of some rows take on the answer of their donors, with each of the swaps."""
    said = answers(classifier, seen.images[rows], seen.images[donors], tried)
    return said == seen.predicted[donors]


def _pairs(seen: Seen, classes: Sequence[str]) -> list[Pair]:
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


def _clusters(seen: Seen, classes: Sequence[str]) -> list[Cluster]:
    if len(seen.found) < _FEWEST:
        return []
    amount = changes.amounts(seen.queries, seen.counterfactuals)
    shares = changes.coarse(amount)
    of, distance = changes.cluster(shares)
    relative = amount / amount.sum((1, 2), keepdim=True).clamp(min=1e-12)
    found = []
    for k in range(int(of.max()) + 1):
        mine = of == k
        pairs = Counter(
            zip(seen.predicted[seen.found][mine].tolist(), seen.target[mine].tolist(), strict=True)
        )
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


def _kin(seen: Seen, classes: Sequence[str]) -> list[Kin]:
    """Of each class that is said often enough, the images furthest from another answer, and nearest."""
    distance = (seen.counterfactuals - seen.queries).abs().flatten(1).mean(1)
    found = []
    for k, name in enumerate(classes):
        (mine,) = (seen.predicted[seen.found] == k).nonzero(as_tuple=True)
        if len(mine) < _FEWEST:
            continue
        order = mine[distance[mine].argsort(stable=True)].tolist()
        told = [(seen.ids[int(seen.found[n])], float(distance[n])) for n in order]
        found.append(Kin(predicted=name, rows=len(told), prototypes=told[::-1][:_KIN], outliers=told[:_KIN]))
    return found
