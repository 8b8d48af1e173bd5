"""From a stored run to its audit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from jaxtyping import Float
from torch import Tensor

from rather.audit.attributes import APPEARANCES, attributes
from rather.audit.findings import Audit, Estimate, Region
from rather.audit.groups import clusters, distances, pairs, typical
from rather.audit.load import LoadedRun, load
from rather.audit.rules import suspicious_attributes, suspicious_labels, suspicious_places, suspicious_regions
from rather.audit.swaps import places
from rather.config.errors import RatherError, did_you_mean
from rather.core import Classifier
from rather.generators.oracle import Oracle
from rather.generators.semantic import Semantic, changes_by_region
from rather.runs.agreement import agreement_of
from rather.runs.store import Run
from rather.stats import Z


def audit(
    run: Run,
    *,
    classifier: Classifier | None = None,
    oracle: Oracle | None = None,
    segmenter: Semantic | None = None,
    prototypes: Run | None = None,
    expect: Sequence[str] = (),
) -> Audit:
    """What a classifier relies on, over all images of a run, and what of it is suspicious.

    Args:
        run: of any method; finished or not.
        classifier: the one that the run explains; it predicts for images with exchanged content.
        oracle: reads attributes.
        segmenter: reads regions.
        prototypes: a run of the same images and classifier with the target `prototype`.
        expect: attributes and regions that may decide.

    Raises:
        RatherError: CFG-OPTIONS for a run with the target `prototype`, or `prototypes` with another target or of
            another classifier; DATA-EMPTY for a run without a usable row; CFG-UNKNOWN for a name in `expect` that is
            neither attribute nor region; RUN-DAMAGED.
    """
    known = {*(oracle.attributes if oracle else ()), *APPEARANCES}
    _check_expected(expect, [*known, *(segmenter.regions if segmenter else ())])
    _check_targets(run, prototypes)
    classes = [str(name) for name in run.config.get("classes") or []]
    loaded = load(run, classes)
    read = attributes(loaded, classes, oracle)
    regions = _regions(loaded, segmenter) if segmenter and len(loaded.found) else []
    swaps = places(loaded, classifier) if classifier else []
    agreement = agreement_of(run)
    warnings = [
        *suspicious_labels(agreement),
        *suspicious_attributes(read, {*expect} & known),
        *suspicious_regions(regions, {*expect} & {*(segmenter.regions if segmenter else ())}),
        *suspicious_places(swaps),
    ]
    return Audit(
        rows=len(loaded.ids),
        found=len(loaded.found),
        image=loaded.images.mean(0),
        agreement=agreement,
        warnings=sorted(warnings, key=lambda one: -one.strength),
        attributes=read,
        regions=regions,
        places=swaps,
        pairs=pairs(loaded, classes),
        clusters=clusters(loaded, classes),
        typical=typical(loaded, prototypes and distances(load(prototypes, classes)), classes),
        notes=[*_notes(run, loaded, classifier, oracle, expect)],
    )


def _check_expected(expect: Sequence[str], known: Collection[str]) -> None:
    for name in expect:
        if name not in known:
            why = "neither an attribute nor a region that is examined"
            raise RatherError("CFG-UNKNOWN", where=f"--expect {name}", why=why, do=did_you_mean(name, known))


def _check_targets(run: Run, prototypes: Run | None) -> None:
    """The run must ask for another class, `prototypes` for more confidence, and both explain one classifier."""
    for one, surer in ((run, False), (prototypes, True)):
        if one is not None and (_target(one) == "prototype") is not surer:
            why = "it asks for another class" if surer else "it asks for more confidence in the same class"
            do = "" if surer else "Give it with --prototypes, together with a run for another class"
            raise RatherError("CFG-OPTIONS", where=one.folder, why=why, do=do)
    if prototypes is not None and prototypes.config.get("classifier") != run.config.get("classifier"):
        raise RatherError("CFG-OPTIONS", where=prototypes.folder, why="it explains another classifier")


def _target(run: Run) -> object:
    target = run.config.get("target")
    return target.get("name") if isinstance(target, dict) else target


def _notes(
    run: Run, loaded: LoadedRun, classifier: Classifier | None, oracle: Oracle | None, expect: Sequence[str]
) -> Iterator[str]:
    """What could not be examined, and why."""
    finished, unlabelled = sum(run.counts().values()), len(loaded.ids) - len(loaded.labelled)
    if finished < len(run.ids):
        yield f"The run is not finished: {finished} of {len(run.ids)} images are explained."
    if loaded.labels is None:
        yield "The images have no labels, so the audit cannot tell where the prediction moves and the truth does not."
    if oracle is None:
        yield "There is no oracle of attributes for these images, so only their appearance is examined."
    if classifier is None:
        yield "The classifier is not available, so no place could be exchanged between images."
    if loaded.labels is None and not expect:
        yield "There are neither labels nor expectations; without one of the two nothing is called suspicious."
    if loaded.labels is not None and unlabelled:
        yield f"{unlabelled} of {len(loaded.ids)} images have no label; what depends on labels leaves them out."


def _regions(run: LoadedRun, segmenter: Semantic) -> list[Region]:
    """Where the change lies, by the regions of the queries."""
    layout = segmenter.segment(run.queries)
    shares = changes_by_region(run.counterfactuals, run.queries, layout)
    area = layout.flatten(2).mean(2).mean(0)
    found = [
        Region(
            name=name, share=_mean(shares[:, n]), area=float(area[n]), examples=run.examples(run.found, shares[:, n])
        )
        for n, name in enumerate(segmenter.regions)
    ]
    return sorted(found, key=lambda one: -one.share.value)


def _mean(values: Float[Tensor, " n"]) -> Estimate:
    mean = float(values.mean())
    half = Z * float(values.std()) / len(values) ** 0.5 if len(values) > 1 else float("inf")
    return Estimate(value=mean, low=mean - half, high=mean + half)
