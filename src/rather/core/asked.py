"""What a method is called with, and what its search returns, checked before anything rests on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from rather.config.errors import RatherError
from rather.core.classifier import Classifier
from rather.core.goal import Goal
from rather.core.region import Regions, check_region
from rather.core.result import Counterfactuals, SearchResult
from rather.types import Images, Labels, Target


def goal_of(classifier: Classifier, target: Goal | Target, x: Images) -> Goal:
    """The goal of each row, on the images' device."""
    kept = classifier.outputs(x) if classifier.source.kind == "labels" else None
    if isinstance(target, Goal):
        return Goal(target.target.to(x.device, copy=True), target.confidence.to(x.device, copy=True), kept)
    if classifier.question is not None and target == "next":
        return replace(Goal.change(1 - classifier.probabilities(x).argmax(1)), kept=kept)
    return replace(Goal.change(class_numbers(classifier, target, x)), kept=kept)


def outputs_of(classifier: Classifier, *images: Images) -> list[dict[str, dict[str, list[float]]]]:
    """The info of each row on labels or values: by name, what each of the batches has; of classes none."""
    source = classifier.source
    if source.kind == "classes":
        return [{} for _ in images[0]]
    columns = torch.stack([classifier.outputs(each) for each in images], 2).tolist()
    return [{source.kind: dict(zip(source.classes, row, strict=True))} for row in columns]


def with_outputs(classifier: Classifier, found: Counterfactuals) -> Counterfactuals:
    """The same, whose info says what became of labels or values."""
    outputs = outputs_of(classifier, found.queries, found.images)
    per_row = {name: [each[name] for each in outputs] for name in (outputs[0] if outputs else ())}
    return replace(found, info={**found.info, **per_row})


def class_numbers(classifier: Classifier, target: Target, x: Images) -> Labels:
    """The classes that are asked for, by number or name, for all rows or for each, as a number for each row."""
    if isinstance(target, str):
        target = classifier.class_index(target)
    elif isinstance(target, Sequence):
        target = [classifier.class_index(one) if isinstance(one, str) else one for one in target]
    try:
        classes = torch.as_tensor(target, device=x.device)
    except (TypeError, ValueError, RuntimeError):  # what torch says of None, of ragged lists, of objects
        classes = torch.empty(0)
    if classes.is_floating_point() or classes.dtype == torch.bool:
        raise RatherError("CFG-CLASS", where=f"target {target!r:.60}", why="no class, and not one for each row")
    return classes.expand(len(x)).clone() if classes.ndim == 0 else classes.clone()


def check_kinds(classifier: object, x: object) -> None:
    """Refuse what is no classifier, and what are no images of its shape."""
    if not isinstance(classifier, Classifier):
        raise RatherError(
            "MODEL-INPUT",
            where=type(classifier).__name__,
            why="not a Classifier",
            do="Wrap it: rather.Classifier(net, shape=(c, h, w))",
        )
    if not isinstance(x, Tensor):
        raise RatherError(
            "DATA-SHAPE", where=f"x is of type {type(x).__name__}", do="Give a tensor (b, c, h, w) in [0, 1]"
        )
    if x.ndim != 4 or tuple(x.shape[1:]) != classifier.shape:  # noqa: PLR2004 - b, c, h, w
        raise RatherError(
            "DATA-SHAPE",
            where=f"x of shape {tuple(x.shape)}",
            why=f"{classifier.name} takes (b, {', '.join(map(str, classifier.shape))})",
        )


def check_found(name: str, found: SearchResult, x: Images) -> None:
    """A search that brings back something else for each row is its author's fault, not the user's."""
    if found.images.shape != x.shape:
        raise TypeError(f"{name}: images {tuple(found.images.shape)} for x {tuple(x.shape)}")
    for key, count in (("steps", found.steps), ("evaluations", found.evaluations)):
        if count.shape != x.shape[:1]:
            raise TypeError(f"{name}: {key} {tuple(count.shape)} for {len(x)} rows")
    for key, per_row in [*found.artifacts.items(), *found.info.items()]:
        if len(per_row) != len(x):
            raise TypeError(f"{name}: {len(per_row)} of {key!r} for {len(x)} rows")


def check_input(classifier: Classifier, x: Images, goal: Goal, ids: Sequence[str], region: Regions | None) -> None:
    """Refuse values outside [0, 1], classes that do not exist, and another number of ids, targets or regions."""
    if len(ids) != len(x):
        raise RatherError("CFG-OPTIONS", where=f"{len(ids)} ids", why=f"there are {len(x)} images")
    if goal.target.shape != x.shape[:1]:
        raise RatherError("CFG-CLASS", where=f"targets {tuple(goal.target.shape)}", why=f"there are {len(x)} images")
    bad = ~(x.isfinite() & (x >= 0) & (x <= 1)).flatten(1).all(1)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise RatherError(
            "DATA-NONFINITE",
            where=f"image {row}",
            why=f"values from {float(x[row].min()):.3g} to {float(x[row].max()):.3g}",
            do="Scale to [0, 1]; normalisation belongs inside the classifier",
        )
    wrong = (goal.target < 0) | (goal.target >= len(classifier.classes))
    if wrong.any():
        raise RatherError(
            "CFG-CLASS",
            where=f"target {int(goal.target[wrong][0])}",
            why=f"the classes are 0 to {len(classifier.classes) - 1}",
        )
    if region is not None:
        check_region(region, x)
