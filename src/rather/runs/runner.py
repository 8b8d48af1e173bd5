"""Running a method over images chunk by chunk: each image gets an outcome, and none can harm another's."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from rather import __version__
from rather.config.errors import REASONS, RatherError
from rather.core import (
    Classifier,
    Counterfactuals,
    Goal,
    Images,
    Method,
    Noise,
    Resource,
    outputs_of,
    preflight,
    rows_of,
)
from rather.core.faults import Part, apart, fault_of, time_limit
from rather.core.region import Regions
from rather.data.regions import Region
from rather.data.source import Source
from rather.generators.frozen import FrozenNet
from rather.io.memory import peak
from rather.io.png import png, unpng
from rather.latents.classifiers import LatentClassifiers
from rather.latents.curves import diagnose
from rather.runs.identity import identity, of_classifier, resources_of
from rather.runs.store import Row, Run
from rather.runs.whole import with_whole
from rather.search.goals import choose_goal
from rather.search.references import References

_log: Final = logging.getLogger(__name__)
_TOGETHER: Final = 32  # images whose goals are chosen in one go: no option, so that it never differs


@final
@dataclass(frozen=True, kw_only=True)
class Job:
    """What a run computes: all of it is in memory or can be read."""

    source: Source
    indices: Sequence[int]  # of the pictures in the source, in the order of the run's `ids`
    classifier: Classifier
    method: Method
    references: References | None
    target: str  # a class, or one of `goals.RULES`
    confidence: float
    seed: int
    region: Region | None = None  # that may change; None for all of the image
    goals: Mapping[str, tuple[str, float]] | None = None  # of each image, chosen already: class, confidence
    timeout: float | None = None  # seconds for an image, at most

    def __post_init__(self) -> None:
        self.method.check(self.classifier)  # what no image could have is refused once, before the first


def preflight_all(
    net: Classifier,
    resources: Sequence[Mapping[str, Resource]],
    images: Images,
    *,
    batch_size: int,
    timeout: float | None,
) -> list[str]:
    """Notes on a classifier and on the generators of its methods; refuses what cannot work."""
    notes = preflight(net, images, batch_size, timeout)
    return [*notes, *preflight_resources(net, resources, images[:batch_size])]


def preflight_resources(net: Classifier, resources: Iterable[Mapping[str, Resource]], images: Images) -> list[str]:
    """Notes on the generators alone; each is looked at once."""
    every = [
        one.autoencoder if isinstance(one, LatentClassifiers) else one for each in resources for one in each.values()
    ]
    generators = [one for one in {id(one): one for one in every}.values() if isinstance(one, FrozenNet)]
    return [note for generator in generators for note in generator.preflight(net, images)]


def with_same_goals(jobs: Sequence[Job]) -> list[Job]:
    """Each with the goals that the first one's classifier chooses: only then can they be compared.

    Raises:
        RatherError: CFG-CLASS for a classifier that does not know a class that was chosen.
    """
    goals = choose_goals(jobs[0])
    for name in dict.fromkeys(name for name, _ in goals.values()):
        for job in jobs:
            job.classifier.class_named(name)
    return [replace(job, goals=goals, references=None) for job in jobs]


def run_pending(runs: Sequence[Run], jobs: Sequence[Job], progress: Callable[[int, int], None]) -> None:
    """Compute what is not stored yet, one run after the other."""
    total = sum(len(run.ids) for run in runs)
    done = total - sum(len(chunk) for run in runs for chunk in run.pending())
    progress(done, total)
    for run, job in zip(runs, jobs, strict=True):
        for rows in execute(run, job):
            done += rows
            progress(done, total)


def execute(run: Run, job: Job) -> Iterator[int]:
    """Compute and commit all that is not stored yet; after each commit, how many rows it made safe."""
    with run.lock():
        for chunk in run.pending():
            run.commit(answer(job, chunk))
            yield len(chunk)


def answer(job: Job, chunk: Sequence[int]) -> list[Row]:
    """The rows of some of the asked images, found by one call of the method where nothing goes wrong."""
    rows: dict[int, Row] = {}
    images: dict[int, Tensor] = {}
    for place in chunk:
        index = job.indices[place]
        label = job.source.label(index)
        rows[place] = Row(
            id=job.source.id(index),
            where=job.source.where(index),
            status="failed",
            label=None if label is None else job.source.classes[label],
        )
        try:
            images[place] = job.source.read(index)
        except RatherError as error:
            rows[place] = replace(rows[place], code=error.code, message=str(error))
    if images:
        rows |= _explained(job, {place: rows[place] for place in images}, torch.stack([*images.values()]))
    return [with_whole(row, job.source, job.indices[place]) for place, row in rows.items()]


def _explained(job: Job, rows: dict[int, Row], x: Tensor) -> dict[int, Row]:
    """All of them together, or in parts where that fails, so that an image at fault fails alone."""
    places = [*rows]

    def work(part: Part) -> dict[int, Row]:
        with time_limit(job.timeout and job.timeout * len(part)):
            return _explain_asked(job, {places[n]: rows[places[n]] for n in part}, x[[*part]])

    result: dict[int, Row] = {}
    for part, outcome in apart(range(len(rows)), work, _fault):
        if isinstance(outcome, RatherError):
            (place,) = (places[n] for n in part)
            result[place] = _failed(rows[place], x[part[0]], outcome)
        else:
            result |= outcome
    return result


def _fault(error: BaseException, rows: Part) -> RatherError | None:
    wrong = fault_of(error, rows)
    if wrong is not None and len(rows) > 1:
        if wrong.code == "RUN-MEMORY":
            _log.warning("%d images at once do not fit in memory: %d at once, then", len(rows), len(rows) // 2)
        _log.debug("%d images fail together", len(rows), exc_info=error)
    return wrong


def _failed(row: Row, image: Tensor, wrong: RatherError) -> Row:
    """The row of an image at fault: what is wrong, and where the image is."""
    told = RatherError(wrong.code, where=wrong.where or row.where, why=wrong.why, do=wrong.do)
    return replace(row, query=png(image), status="failed", code=told.code, message=str(told))


def _explain_asked(job: Job, rows: dict[int, Row], x: Tensor) -> dict[int, Row]:
    """Together; or one by one, where each image has a question of its own, such as 5 more than its own value."""
    question = job.classifier.question
    if question is None or not question.relative:
        return _explain(job, rows, x)
    result: dict[int, Row] = {}
    for (place, row), image in zip(rows.items(), x.split(1), strict=True):
        result |= _explain(replace(job, classifier=job.classifier.at(image)), {place: row}, image)
    return result


def _explain(job: Job, rows: dict[int, Row], x: Tensor) -> dict[int, Row]:
    classifier, ids = job.classifier, [row.id for row in rows.values()]
    before = _probabilities(classifier, x)
    goal = _goal(job, ids, x, before)
    there = goal.reached(before.log())
    said = [classifier.classes[k] for k in before.argmax(1).tolist()]
    wanted = [classifier.classes[k] for k in goal.target.tolist()]
    info = outputs_of(classifier, x)
    result = {
        place: replace(
            row,
            status="already",
            code="ALREADY-TARGET",
            message=REASONS["ALREADY-TARGET"],
            predicted=said[n],
            target=wanted[n],
            confidence=float(goal.confidence[n]),
            before=before[n].tolist(),
            query=png(x[n]),
            info=info[n],
        )
        for n, (place, row) in enumerate(rows.items())
    }
    (open_rows,) = (~there).nonzero(as_tuple=True)
    if len(open_rows):
        places = [list(rows)[n] for n in open_rows.tolist()]
        with peak(next(classifier.parameters(), x).device) as memory:
            began = time.monotonic()
            answers = job.method(
                classifier,
                x[open_rows],
                goal[open_rows],
                seed=job.seed,
                ids=[ids[n] for n in open_rows.tolist()],
                region=_region(job, places),
            )
            costs: dict[str, Any] = {"seconds": (time.monotonic() - began) / len(places), "memory": memory()}
        for place, row in zip(places, _judged(job, answers, [result[p] for p in places]), strict=True):
            result[place] = replace(row, **costs)
    return result


def _region(job: Job, places: Sequence[int]) -> Regions | None:
    """The pixels of some of the asked images that may change."""
    return None if job.region is None else torch.stack([job.region.mask(job.indices[place]) for place in places])


def _probabilities(classifier: Classifier, x: Images) -> Float[Tensor, "b k"]:
    found = classifier.probabilities(x)
    if not found.isfinite().all():
        raise RatherError("MODEL-NONFINITE")
    return found


def _goal(job: Job, ids: Sequence[str], x: Images, before: Float[Tensor, "b k"]) -> Goal:
    if job.goals is None:
        drawn = Noise(job.seed, [f"target of {row}" for row in ids])
        return choose_goal(
            job.target, job.classifier, x, before, drawn, references=job.references, confidence=job.confidence
        )
    try:
        goals = [job.goals[row] for row in ids]
    except KeyError as row:
        raise RatherError("IMG-CHANGED", where=row.args[0], why="it could not be read before") from None
    target = torch.tensor([job.classifier.class_named(name) for name, _ in goals])
    return Goal(target, torch.tensor([confidence for _, confidence in goals]))


def choose_goals(job: Job) -> dict[str, tuple[str, float]]:
    """The goal of each image that can be read, so that other job can be given the very same."""
    goals: dict[str, tuple[str, float]] = {}
    for start in range(0, len(job.indices), _TOGETHER):
        images: dict[str, Tensor] = {}
        for index in job.indices[start : start + _TOGETHER]:
            with suppress(RatherError):  # its row will say what is wrong
                images[job.source.id(index)] = job.source.read(index)
        if images:
            goals |= _chosen(job, images)
    return goals


def _chosen(job: Job, images: Mapping[str, Tensor]) -> dict[str, tuple[str, float]]:
    """The goals of some images; of one that the classifier fails on its row will say so."""
    ids = [*images]

    def choose(part: Part) -> dict[str, tuple[str, float]]:
        some = [ids[n] for n in part]
        x = torch.stack([images[one] for one in some])
        with time_limit(job.timeout and job.timeout * len(part)):
            goal = _goal(job, some, x, _probabilities(job.classifier, x))
        names = [job.classifier.classes[k] for k in goal.target.tolist()]
        return dict(zip(some, zip(names, goal.confidence.tolist(), strict=True), strict=True))

    parts = [chosen for _, chosen in apart(range(len(ids)), choose, fault_of)]
    return {name: goal for chosen in parts if isinstance(chosen, dict) for name, goal in chosen.items()}


def _judged(job: Job, answers: Counterfactuals, rows: Sequence[Row]) -> list[Row]:
    """Success is what the classifier says of the PNG, read back."""
    files = [png(image) for image in answers.images]
    after = job.classifier.probabilities(torch.stack([unpng(file) for file in files]))
    reached = answers.goal.reached(after.log()) & answers.success
    result = []
    for n, (row, told) in enumerate(zip(rows, diagnose(job.method, job.classifier, answers), strict=True)):
        why = answers.failure[n] or ("" if reached[n] else "LOST-IN-SAVING")
        result.append(
            replace(
                row,
                status="found" if reached[n] else "failed" if why == "NONFINITE" else "not_found",
                code=why,
                message=REASONS.get(why, ""),
                after=after[n].tolist(),
                steps=int(answers.steps[n]),
                evaluations=int(answers.evaluations[n]),
                image=files[n],
                artifacts={
                    name: [png(p) for p in (picture if picture.ndim == 4 else picture[None])]  # noqa: PLR2004 - a series
                    for name, picture in rows_of(answers.artifacts, n)
                }
                | ({} if told.trajectory is None else {"trajectory": [png(told.trajectory)]}),
                info=dict(rows_of(answers.info, n)) | ({"curves": told.curves} if told.curves else {}),
            )
        )
    return result


def run_config(job: Job, data: str) -> dict[str, Any]:
    """All that can change a result, as plain data: what makes two runs the same run."""
    config: dict[str, Any] = {
        "rather": __version__,
        "torch": torch.__version__,
        "data": data,
        "classifier": of_classifier(job.classifier),
        "classes": list(job.classifier.classes),
        "method": job.method.settings(),
        "references": job.references and identity(job.references),
        "target": job.target,
        "confidence": job.confidence,
        "seed": job.seed,
    }
    if (question := job.classifier.question) is not None:
        source = job.classifier.source
        told = {"kind": source.kind, "names": [*source.classes], "asked": source.classes[question.column]}
        config |= {"target": question.text, "outputs": told}
        config |= {"tolerance": question.tolerance} if question.sign else {}
    config |= {"region": job.region.name} if job.region else {}
    config |= {name: identity(resource) for name, resource in resources_of(job.method).items()}
    if job.goals is not None:
        goals = json.dumps(sorted((row, name, round(c, 3)) for row, (name, c) in job.goals.items()))
        config["target"] = {"name": config["target"], "goals": hashlib.sha256(goals.encode()).hexdigest()}
    return config
