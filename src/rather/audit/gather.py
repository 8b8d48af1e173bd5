"""From a stored run to its audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.audit.appearance import APPEARANCES, appearances
from rather.audit.dependence import FEWEST, dependence
from rather.audit.findings import Attribute, Audit, Estimate, Place, Region, Share, Suspicion
from rather.audit.groups import clusters, distances, kin, pairs
from rather.audit.load import Seen, read
from rather.audit.rules import suspicious_attributes, suspicious_places, suspicious_regions
from rather.audit.swaps import Spot, answers, nearest_allowed, spots
from rather.config.errors import RatherError, did_you_mean
from rather.core import Classifier, Images
from rather.generators._frozen_oracle import Oracle
from rather.generators._frozen_semantic import Semantic, changes_by_region
from rather.runs.store import Run
from rather.stats import Z

_HALF: Final = 0.5
_SWAPPED: Final = 64  # images with each place swapped


def audit(
    run: Run,
    *,
    classifier: Classifier | None = None,
    oracle: Oracle | None = None,
    segmenter: Semantic | None = None,
    prototypes: Run | None = None,
    expect: Sequence[str] = (),
) -> Audit:
    """What a classifier goes by, over all images of a run, and what of it is suspicious.

    Args:
        run: answered by any method; finished or not.
        classifier: that the run explains, to ask it about images with swapped content.
        oracle: reads attributes.
        segmenter: sees regions.
        prototypes: a run of the same images and classifier that was to make it surer of what it says.
        expect: attributes and regions that may decide.

    Raises:
        RatherError: CFG-OPTIONS for a run towards prototypes, or `prototypes` that are none, or of another
            classifier; DATA-EMPTY for a run without a row to look at; CFG-UNKNOWN for a name in `expect` that
            is neither attribute nor region; RUN-DAMAGED.
    """
    attributes_known = (*(oracle.attributes if oracle else ()), *APPEARANCES)
    regions_known = segmenter.regions if segmenter else ()
    for name in expect:
        if name not in (*attributes_known, *regions_known):
            raise RatherError(
                "CFG-UNKNOWN",
                where=f"--expect {name}",
                why="neither an attribute nor a region that is looked at",
                do=did_you_mean(name, [*attributes_known, *regions_known]),
            )
    _refuse_mixed(run, prototypes)
    classes = [str(name) for name in run.config.get("classes") or []]
    seen = read(run, classes)
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
            (oracle is None, "No oracle of attributes: of what the pictures show, only the appearance is read."),
            (classifier is None, "The classifier is not at hand: no place could be swapped."),
            (
                seen.labels is None and not expect,
                "Neither labels nor an expectation: without one of the two nothing is called suspicious.",
            ),
        )
        if missing
    ]
    answered, without = sum(run.counts().values()), len(seen.ids) - len(seen.labelled)
    if answered < len(run.ids):
        notes.insert(0, f"The run is not finished: {answered} of {len(run.ids)} rows are answered.")
    if seen.labels is not None and without:
        notes.append(f"{without} of {len(seen.ids)} images have no label: what goes by labels leaves them out.")
    return Audit(
        rows=len(seen.ids),
        found=len(seen.found),
        image=seen.images.mean(0),
        right=None
        if seen.labels is None
        else Share(count=int((seen.labels == seen.predicted).sum()), of=len(seen.labelled)),
        warnings=sorted(warnings, key=lambda one: -one.strength),
        attributes=attributes,
        regions=regions,
        places=places,
        pairs=pairs(seen, classes),
        clusters=clusters(seen, classes),
        kin=kin(seen, prototypes and distances(read(prototypes, classes)), classes),
        notes=notes,
    )


def _refuse_mixed(run: Run, prototypes: Run | None) -> None:
    """Each run for what it asked, and both of one classifier."""
    for one, wanted in ((run, False), (prototypes, True)):
        if one is not None and (_target(one) == "prototype") is not wanted:
            why = "it asks for another class" if wanted else "it asks for more confidence in the same class"
            do = "Give it with --prototypes, beside a run for another class" if not wanted else ""
            raise RatherError("CFG-OPTIONS", where=one.folder, why=why, do=do)
    if prototypes is not None and prototypes.config.get("classifier") != run.config.get("classifier"):
        raise RatherError("CFG-OPTIONS", where=prototypes.folder, why="it explains another classifier")


def _target(run: Run) -> object:
    """The name of what was asked for; a run whose goals another chose has them beside it."""
    target = run.config.get("target")
    return target.get("name") if isinstance(target, dict) else target


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


def _effects(seen: Seen, has: Bool[Tensor, "n a"]) -> dict[int, tuple[int, Estimate, Estimate | None, Estimate | None]]:
    """Of each attribute the class that it moves most; what it adds to answer, label, and the difference.

    Of images that have a label, so that the three are of the same ones; of all if too few have.
    """
    count = seen.probabilities.shape[1]
    enough = len(seen.labelled) >= 2 * FEWEST
    rows, labels = (seen.labelled, seen.labels) if enough else (torch.arange(len(has)), None)
    found: dict[int, tuple[int, Estimate, Estimate | None, Estimate | None]] = {}
    moved = range(1 if count == 2 else 0, count)  # noqa: PLR2004 - two classes are each other's opposite
    for k in moved:
        columns = [seen.probabilities[:, k]]
        if labels is not None:
            truth = (labels == k).float()
            columns += [truth, columns[0] - truth]
        values = torch.stack(columns, 1)[rows]
        effects = dependence(values, has[rows], minor=len(APPEARANCES), calls=len(moved))
        for n, effect in effects.items():
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
            name=name, share=_mean(shares[:, n]), area=float(area[n]), examples=seen.examples(seen.found, shares[:, n])
        )
        for n, name in enumerate(segmenter.regions)
    ]
    return sorted(found, key=lambda one: -one.share.value)


def _mean(values: Float[Tensor, " n"]) -> Estimate:
    mean = float(values.mean())
    half = Z * float(values.std()) / len(values) ** 0.5 if len(values) > 1 else float("inf")
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
            heals=None if seen.labels is None else Share(count=int(heals[n].sum()), of=len(seen.labelled)),
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
