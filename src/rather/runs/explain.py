"""From a request to finished runs: what `rather explain` does, as one function."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, final

from rather.config.errors import RatherError, did_you_mean
from rather.core import Classifier, Resource
from rather.data.agreement import Agreement
from rather.data.folder import Folder, load_files
from rather.data.regions import region_names, region_of
from rather.data.source import Dataset, Source, read_all
from rather.hub.classifiers import check_same_images, classifier_of, load_classifier
from rather.hub.columns import Column, columns
from rather.hub.datasets import load_dataset
from rather.hub.methods import build_method
from rather.hub.preprocessing import NOTHING_SAID
from rather.hub.resources import Requirement, ResourceSpec, evenly_spaced, fill_resources, references_of, requirements
from rather.hub.trusted import allow
from rather.io.writing import check_writable
from rather.runs.agreement import agreement_of
from rather.runs.comparison import check_no_comparison, start_comparison
from rather.runs.defaults import DEFAULT_TARGET, USUAL, default_plan
from rather.runs.request import Request
from rather.runs.runner import Job, preflight_all, run_config, run_pending, with_same_goals
from rather.runs.store import STATUSES, Run, folder_name
from rather.search.goals import REFERENCED, check_target
from rather.search.references import References

DEFAULT_COUNT: Final = 12  # of a dataset that has a name; of your own pictures, all
_RESOURCES: Final = ("generator", "denoiser", "latent", "second_classifier")


@final
@dataclass(frozen=True, kw_only=True)
class Explained:
    """A finished run, or several on the same images."""

    folder: Path
    runs: Mapping[str, Run]  # by METHOD or METHOD@CLASSIFIER
    counts: Mapping[str, int]  # of each status, in all runs
    seconds: float  # of this call; a resumed run counts only what was left
    notes: Sequence[str] = ()  # what you should know, and no error
    agreements: Mapping[str, Agreement] = field(default_factory=dict)  # of each classifier with the labels


def explain(
    request: Request,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    default: tuple[str, Mapping[str, Any]] = USUAL,
) -> Explained:
    """Explain a classifier's decisions on images, as a run in a folder.

    Several methods are several runs, each in a folder of its own, for the same images and, of each image, the
    same target, which the first method's classifier chooses. The same request resumes an interrupted run.

    Args:
        request: what is asked.
        progress: called with (rows done, rows asked).
        default: the method where the request names none, with its settings; of a classifier without a gradient it
            is `BLACK_BOX_METHOD`.

    Raises:
        RatherError: for what cannot be loaded, does not fit together or cannot be written.
    """
    began = time.monotonic()
    with allow(request.trust):
        labels, jobs, data, notes = _jobs(request, default)
        folder, runs = _start(labels, jobs, data, request, notes)
        run_pending(runs, jobs, progress)
    agreements = {run.config["classifier"]["name"]: agreement_of(run) for run in runs}
    return Explained(
        folder=folder,
        runs=dict(zip(labels, runs, strict=True)),
        counts={status: sum(run.counts()[status] for run in runs) for status in STATUSES},
        seconds=time.monotonic() - began,
        notes=[*notes, *(note for one in agreements.values() if one for note in one.warnings())],
        agreements={name: one for name, one in agreements.items() if one},
    )


def _jobs(request: Request, default: tuple[str, Mapping[str, Any]]) -> tuple[list[str], list[Job], str, list[str]]:
    """The jobs and what to call each, the dataset's name, and what you should know."""
    if request.out is not None:
        check_writable(request.out)
    if request.images and request.data:
        raise RatherError("CFG-OPTIONS", where=f"--data {request.data}", why="images are given as well")
    asked = columns(request.method or default[0], request.settings)
    nets, notes = _classifiers(asked, request)
    nets, target = _asked_for(nets, request)
    if request.method is None:  # which one is known only now
        plan, why = default_plan(nets[None], request.settings, default)
        asked, notes = [Column(plan["name"], None, plan)], notes + why
    needs = _requirements(asked, request)
    first = nets[asked[0].classifier]
    pictures, indices = _pictures(request, target, first)
    notes += pictures.notes
    resources = _resources(asked, needs, nets, pictures, request)
    some, _ = read_all(pictures.test, indices, limit=8)
    for spec, net in nets.items():
        own = [filled for column, filled in zip(asked, resources, strict=True) if column.classifier == spec]
        notes += preflight_all(net, own, some, batch_size=request.batch_size, timeout=request.timeout)
    jobs = [
        Job(
            source=pictures.test,
            indices=indices,
            classifier=nets[column.classifier],
            method=build_method(column.plan, filled),
            references=references_of(filled),
            target=target,
            confidence=request.confidence,
            seed=request.seed,
            region=None if request.region is None else region_of(request.region, pictures.test, first.shape),
            timeout=request.timeout,
        )
        for column, filled in zip(asked, resources, strict=True)
    ]
    labels = [column.label for column in asked]
    for job in jobs:
        job.method.check_gradient(job.classifier)
    if request.regions is not None:
        labels, jobs = _for_regions(jobs, request.regions)
    return labels, with_same_goals(jobs) if len(jobs) > 1 else jobs, pictures.name, [*dict.fromkeys(notes)]


def _requirements(asked: Sequence[Column], request: Request) -> list[frozenset[Requirement]]:
    """What each method requires, and of the first one what choosing the targets does."""
    needs = [requirements(column.plan) for column in asked]
    if (request.target or DEFAULT_TARGET) in REFERENCED:
        needs[0] |= {Requirement("references", References)}
    names = {need.name for each in needs for need in each}
    for name in _RESOURCES:
        spec = getattr(request, name)
        if spec is not None and name not in names:
            methods = ", ".join(column.label for column in asked)
            option = name.replace("_", "-")
            raise RatherError("CFG-OPTIONS", where=f"--{option} {spec}", why=f"nothing that {methods} needs")
    return needs


def _classifiers(asked: Sequence[Column], request: Request) -> tuple[dict[str | None, Classifier], list[str]]:
    """The classifier of each column's spec, None for the one that all share; and notes on the choice."""
    specs = dict.fromkeys(column.classifier for column in asked)
    own = (request.classifier, request.layer, request.shape, request.classes, request.output, request.preprocessing)
    if None not in specs and own != (None, None, None, None, "logits", NOTHING_SAID):
        raise RatherError(
            "CFG-OPTIONS",
            where=f"--method {request.method}",
            why="--classifier, and what is said of it, is of methods without an @",
        )
    nets: dict[str | None, Classifier] = {
        spec: load_classifier(spec, trust=request.trust) for spec in specs if spec is not None
    }
    notes = []
    if None in specs:
        of_data = classifier_of(_data_name(request))
        nets[None] = load_classifier(
            request.classifier or of_data or "digits",
            output=request.output,
            trust=request.trust,
            layer=request.layer,
            shape=request.shape,
            preprocessing=request.preprocessing,
            classes=request.classes,
        )
        if request.classifier is None and of_data is None:
            notes.append("no --classifier given: the images are taken for digits")
    first = nets[asked[0].classifier]
    for net in nets.values():
        check_same_images(net, first)
        if net.preprocess is not None and net.preprocess.name != (first.preprocess and first.preprocess.name):
            notes.append(f"{net.name} gets the images as {first.name} takes them, not through its own preprocessing")
    return nets, notes


def _asked_for(nets: Mapping[str | None, Classifier], request: Request) -> tuple[dict[str | None, Classifier], str]:
    """The classifiers that are searched, and their target: of labels or values, what is asked of them."""
    target = request.target or DEFAULT_TARGET
    answering = {spec: net.asked_for(target, request.tolerance) for spec, net in nets.items()}
    *_, (_, searched) = answering.values()
    return {spec: net for spec, (net, _) in answering.items()}, str(searched)


def _data_name(request: Request) -> str:
    return request.data or ("" if request.images else "digits")


def _pictures(request: Request, target: str, first: Classifier) -> tuple[Dataset, list[int]]:
    """The images, at the first classifier's shape, and the indices of those to explain."""
    if request.images:
        pictures = load_files(request.images, shape=first.shape, options=request.pictures).through(first.preprocess)
    else:
        pictures = load_dataset(_data_name(request), like=first, trust=request.trust, options=request.pictures)
    total = len(pictures.test)
    own = isinstance(pictures.test, Folder)  # your own pictures, under whatever name
    indices = evenly_spaced(total, request.count or (total if own else DEFAULT_COUNT))
    if request.labels:
        pictures = replace(pictures, test=_with_labels(pictures.test, request.labels, first))
    check_target(target, first)
    return pictures, indices


def _with_labels(source: Source, given: Sequence[str], net: Classifier) -> Source:
    """A folder whose labels have the names of the classifier's classes, by words FOLDER=CLASS."""
    if not isinstance(source, Folder):
        raise RatherError("CFG-OPTIONS", where=f"--labels {given[0]}", why=f"{source.name} is no folder of yours")
    names = {name: name for name in source.classes}
    for word in given:
        folder, _, name = word.partition("=")
        if folder not in names:
            do = did_you_mean(folder, names)
            raise RatherError("CFG-OPTIONS", where=f"--labels {word}", why=f"no folder {folder}", do=do)
        names[folder] = net.classes[net.class_index(name)]
    return replace(source, classes=tuple(names.values()))


def _resources(
    asked: Sequence[Column],
    needs: Sequence[frozenset[Requirement]],
    nets: Mapping[str | None, Classifier],
    pictures: Dataset,
    request: Request,
) -> list[dict[str, Resource]]:
    """What fills the fields of each column's method."""
    specs = {name: getattr(request, name) for name in _RESOURCES}
    spec = ResourceSpec(
        pictures=pictures, references=request.references, trust=request.trust, options=request.pictures, **specs
    )
    resolve = cache(spec.resolve)  # so that methods share what all of them need
    return [fill_resources(need, nets[column.classifier], resolve) for column, need in zip(asked, needs, strict=True)]


def _for_regions(jobs: Sequence[Job], regions: str) -> tuple[list[str], list[Job]]:
    """For each region two jobs: only it may change, and all but it may change."""
    if len(jobs) > 1 or jobs[0].region is not None:
        raise RatherError("CFG-OPTIONS", where=f"--regions {regions}", why="it needs one method, and no --region")
    (job,) = jobs
    names = region_names(regions, job.source)
    labels = [label for name in names for label in (name, f"outside:{name}")]
    return labels, [replace(job, region=region_of(label, job.source, job.classifier.shape)) for label in labels]


def _start(
    labels: Sequence[str], jobs: Sequence[Job], data: str, request: Request, notes: Sequence[str]
) -> tuple[Path, list[Run]]:
    """The folder, and the run of each column: all of them exist before the first is computed."""
    told: dict[str, Any] = {"trust": list(request.trust)}  # code may change while the weights stay
    if request.pictures.given():
        told["pictures"] = request.pictures.given()
    configs: list[dict[str, Any]] = [run_config(job, data) | told for job in jobs]
    ids = [jobs[0].source.id(index) for index in jobs[0].indices]
    if len(labels) == 1:
        name = f"{configs[0]['classifier']['name']}-{configs[0]['method']['name']}"
        folder = request.out or Path("runs") / folder_name(name, configs[0], ids)
        check_no_comparison(folder)
        return folder, [Run.start(folder, configs[0], ids, request.batch_size, notes=notes)]
    for n, label in enumerate(labels):
        if configs[n] in configs[:n]:
            first = labels[configs.index(configs[n])]
            raise RatherError("CFG-OPTIONS", where=f"--method {label}", why=f"the same as {first}")
    folder = request.out or Path("runs") / folder_name("comparison", configs, ids)
    places = start_comparison(folder, labels)
    return folder, [
        Run.start(place, config, ids, request.batch_size, notes=notes)
        for place, config in zip(places, configs, strict=True)
    ]
