"""From a spec to its runs: each is made once, found again, and named by what it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Final, final

from rather.bench.judges import Judges, build_judges
from rather.bench.spec import AskedData, AskedMethod, Spec, missing
from rather.config.errors import REFUSED, RatherError
from rather.core import Classifier, Images, Method, Resource, preflight
from rather.data.source import Dataset, read_all
from rather.hub.classifiers import check_same_images, classifier_of, load_classifier
from rather.hub.datasets import load_dataset
from rather.hub.methods import build_method
from rather.hub.resources import (
    Requirement,
    Resolve,
    ResourceSpec,
    evenly_spaced,
    fill_resources,
    references_of,
    requirements,
)
from rather.runs.runner import Job, preflight_resources, run_config, run_pending, with_same_goals
from rather.runs.store import Run, folder_name
from rather.search.goals import REFERENCED, check_target
from rather.search.references import References

Progress = Callable[[int, int], None]
_SEED: Final = 0  # of targets that are drawn: the same, whatever the seeds of the methods are


@final
@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A task, a method or a metric that a benchmark asks for and cannot compute, and why."""

    task: str
    method: str
    reason: str


@final
@dataclass(frozen=True, kw_only=True)
class Task:
    """One classifier's predictions for some images, and the judges that measure what methods make of them."""

    name: str
    asked: AskedData
    judges: Judges
    pictures: Dataset
    indices: Sequence[int]
    some: Images  # a few of them, to look at
    take: Resolve
    look: Callable[[Classifier, Resource], list[str]]  # at a net of a method: notes on it
    target: str
    trust: Sequence[str]


@final
@dataclass(frozen=True, kw_only=True)
class Built:
    """A method with all that it needs, and the classifier that it explains."""

    name: str
    classifier: Classifier
    method: Method


@final
@dataclass(frozen=True, kw_only=True)
class Unit:
    """A run of a benchmark."""

    task: str
    method: str
    seed: int
    run: Run
    judges: Judges  # for the classifier that this run explains
    job: Job


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """All runs of a benchmark, none of them begun, and what is skipped."""

    units: tuple[Unit, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


def plan(spec: Spec, runs: Path, trust: Sequence[str] = ()) -> Plan:
    """Prepare all that a benchmark asks for: nets are read, targets chosen, the folders of the runs made.

    A method whose net is missing is no mistake: it is skipped, with the reason.

    Args:
        spec: of the benchmark.
        runs: the folder that has the runs, of this benchmark and of others.
        trust: sha256 sums of code that may be run.

    Raises:
        RatherError: for what the spec gets wrong, and for data and classifiers that cannot be used.
    """
    units: list[Unit] = []
    skipped: list[Skipped] = []
    notes: list[str] = []
    tasks = [(name, asked, classifier) for asked in spec.data for name, classifier in asked.tasks.items()]
    for name, asked, classifier in tasks:
        methods = [method for method in spec.methods if not method.only or asked.name in method.only]
        gaps = missing(asked.data) + missing(classifier or "")
        if gaps:
            why = f"needs --with {' --with '.join(f'{gap}=...' for gap in dict.fromkeys(gaps))}"
            skipped.append(Skipped(task=name, method="", reason=why))
            continue
        task = _task(spec, name, asked.as_far_as_given(), classifier, kept=runs, trust=trust)
        notes += [f"{name}: {note}" for note in preflight(task.judges.classifier, task.some)]
        built = []
        for method in methods:
            try:
                one, more = _built(task, method)
            except RatherError as error:
                if error.exit_code != REFUSED:
                    raise
                skipped.append(Skipped(task=name, method=method.name, reason=str(error)))
                continue
            built.append(one)
            notes += [f"{name}, {method.name}: {note}" for note in more]
        if built:
            units += _units(spec, task, built, runs)
    return Plan(units=tuple(units), skipped=tuple(skipped), notes=tuple(dict.fromkeys(notes)))


def _task(spec: Spec, name: str, asked: AskedData, classifier: str | None, *, kept: Path, trust: Sequence[str]) -> Task:
    name_of_net = classifier or classifier_of(asked.data)
    if name_of_net is None:
        raise RatherError(
            "CFG-SETTING", where=f"data {asked.data}", why="no classifier comes with it", do="Name one: classifier"
        )
    net = load_classifier(
        name_of_net,
        layer=asked.layer,
        shape=asked.shape,
        preprocessing=asked.preprocessing,
        classes=asked.classes,
        output=asked.output,
        trust=trust,
    )
    pictures = load_dataset(asked.data, like=net, trust=trust)
    indices = evenly_spaced(len(pictures.test), asked.count or spec.count)
    some, _ = read_all(pictures.test, indices, limit=8)
    target = asked.target or spec.target
    net, searched = net.asked_for(target)
    target = str(searched)
    check_target(target, net)
    sources = [
        ResourceSpec(
            pictures=pictures,
            references=asked.references,
            generator=generator,
            denoiser=asked.denoiser,
            latent=asked.latent,
            trust=trust,
        )
        for generator in asked.generator or (None,)
    ]
    return Task(
        name=name,
        asked=asked,
        judges=build_judges(net, pictures, asked, kept=kept, trust=trust),
        pictures=pictures,
        indices=indices,
        some=some,
        take=_of_a_fitting_kind([cache(one.resolve) for one in sources]),  # methods share what several want
        look=cache(lambda net, one: preflight_resources(net, [{"": one}], some)),
        target=target,
        trust=trust,
    )


def _of_a_fitting_kind(takes: Sequence[Resolve]) -> Resolve:
    """Of several generators, the first that is of the kind that is wanted."""

    def take(want: Requirement, classifier: Classifier) -> Resource | None:
        for one in takes[:-1]:
            try:
                return one(want, classifier)
            except RatherError as error:
                if error.code != "MODEL-KIND":
                    raise
        return takes[-1](want, classifier)

    return take


def _built(task: Task, asked: AskedMethod) -> tuple[Built, list[str]]:
    """A method, and what a look at its nets says."""
    column, net = asked.column, task.judges.classifier
    if column.classifier:
        net = load_classifier(column.classifier, trust=task.trust)
        check_same_images(net, task.judges.classifier)
    resources = fill_resources(requirements(column.plan), net, task.take)
    notes = [note for one in resources.values() for note in task.look(net, one)]
    return Built(name=asked.name, classifier=net, method=build_method(column.plan, resources)), notes


def _units(spec: Spec, task: Task, built: Sequence[Built], runs: Path) -> Iterator[Unit]:
    """The runs of all methods and seeds, for the same targets."""
    source, confidence = task.pictures.test, task.asked.confidence
    chooses = Job(
        source=source,
        indices=task.indices,
        classifier=task.judges.classifier,
        method=built[0].method,
        references=_references(task) if task.target in REFERENCED else None,
        target=task.target,
        confidence=spec.confidence if confidence is None else confidence,
        seed=_SEED,
    )
    asked = [replace(chooses, classifier=one.classifier, method=one.method) for one in built]
    code = {"trust": list(task.trust)} if task.trust else {}  # code may change, and the weights stay
    ids = [source.id(i) for i in task.indices]
    for one, same in zip(built, with_same_goals([chooses, *asked])[1:], strict=True):
        judges = task.judges.for_classifier(one.classifier)
        for seed in spec.seeds:
            job = replace(same, seed=seed)
            asks = run_config(job, task.pictures.name) | code
            folder = runs / folder_name(f"{one.classifier.name}-{one.method.name()}", asks, ids)
            run = Run.start(folder, asks, ids, spec.batch_size)
            yield Unit(task=task.name, method=one.name, seed=seed, run=run, judges=judges, job=job)


def _references(task: Task) -> References | None:
    return references_of(fill_resources([Requirement("references", References)], task.judges.classifier, task.take))


def run_units(units: Sequence[Unit], progress: Progress) -> tuple[list[Unit], list[Skipped]]:
    """Compute all that is not stored yet.

    Returns:
        The runs that are whole; and those of which no row can have an answer, with the reason.

    Raises:
        RatherError: for what is wrong with the machine or with a run's folder, not with a method.
    """
    whole: list[Unit] = []
    skipped: list[Skipped] = []
    total = sum(len(unit.run.ids) for unit in units)
    done = 0

    def advance(start: int, rows: int, _: int) -> None:
        progress(start + rows, total)

    for unit in units:
        try:
            run_pending([unit.run], [unit.job], partial(advance, done))
            whole.append(unit)
        except RatherError as error:
            if error.exit_code != REFUSED:
                raise
            skipped.append(Skipped(task=unit.task, method=unit.method, reason=str(error)))
        done += len(unit.run.ids)
    return whole, skipped
