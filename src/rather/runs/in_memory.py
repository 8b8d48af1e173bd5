"""Explaining images in memory: what `rather explain` does, without a folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Classifier, Counterfactuals, Goal, Images, Method, Noise, Target, check_reading, class_numbers
from rather.core.faults import Part, apart, fault_of
from rather.data.source import Dataset, read_all
from rather.hub.given import GivenClassifier, GivenImages, as_classifier, as_dataset, as_method, references_by_default
from rather.hub.presets import Plan
from rather.hub.resources import Requirement, ResourceSpec, evenly_spaced, fill_resources, references_of
from rather.io.png import unpng
from rather.runs.defaults import DEFAULT_TARGET, default_plan
from rather.runs.store import Run
from rather.search.goals import REFERENCED, check_target, choose_goal
from rather.search.references import References

_log: Final = logging.getLogger(__name__)
LOOK: Final = 4  # images by which it is checked what the classifier's numbers are


def explain(
    classifier: GivenClassifier,
    images: GivenImages,
    method: Method | str | Plan | None = None,
    *,
    target: Target | Goal = DEFAULT_TARGET,
    confidence: float = 0.0,
    tolerance: float | None = None,
    count: int | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> Counterfactuals:
    """Explain a classifier's decisions: for each image the change after which it predicts another class.

    Args:
        classifier: to explain: a `Classifier`, its name, or a net, which has to take images of this shape.
        images: (b, c, h, w) in [0, 1], a dataset or a part of one, or the name or the path of one.
        method: a method, or the name of a method or preset, which takes what it needs from bundled nets and from
            the dataset; by default goyal, which scores each edit on the picture, or sedc if the net has no gradient.
        target: a rule (next, random, nearest, runner-up, confused, prototype), a class for all images, a class for
            each, or a `Goal`; of labels or values what `Classifier.ask` takes: "Smiling=no", "60", "+5", "<30".
        confidence: the least probability of the target, besides being the first choice; not for a `Goal`.
        tolerance: how far from the number asked for a value may be; by default 5 % of it.
        count: how many of the images, evenly spaced; by default all.
        seed: of all random numbers.
        batch_size: how many images are searched together; results do not depend on it, beyond rounding.

    Raises:
        RatherError: for what cannot be loaded or does not fit together.
    """
    net = as_classifier(classifier, images)
    if not isinstance(target, Goal):
        net, target = net.asked_for(target, tolerance)
    pictures = as_dataset(images, net)
    source = pictures.test
    x, indices = read_all(source, evenly_spaced(len(source), count or len(source)))
    ids = [source.id(index) for index in indices]
    _look(net, x[:LOOK])
    search = as_method(default_plan(net, {})[0] if method is None else method, net, pictures)
    choose = _goals(net, x, target, pictures, confidence=confidence, seed=seed)

    def work(part: Part) -> Counterfactuals:
        rows, names = torch.tensor([*part]), [ids[n] for n in part]
        return search(net, x[rows], choose(rows, names), seed=seed, ids=names)

    batches = [some.tolist() for some in torch.arange(len(x)).split(batch_size)]
    parts = [one for batch in batches for one in apart(batch, work, _fault)]
    wrong = [found for _, found in parts if isinstance(found, RatherError)]
    if len(wrong) == len(x):
        raise wrong[0]
    return Counterfactuals.cat(
        [
            _failed(net, x[part[0], None], ids[part[0]], found) if isinstance(found, RatherError) else found
            for part, found in parts
        ]
    )


def _look(net: Classifier, x: Images) -> None:
    """Warn of what the net's numbers seem to be; an image that the net fails on has its row to say so."""
    try:
        notes = check_reading(net, x)
    except RatherError as error:
        if error.code != "MODEL-INPUT":
            raise
        notes = []
    for note in notes:
        _log.warning("%s", note)


def _fault(error: BaseException, rows: Part) -> RatherError | None:
    """As in a run; but what is no fault of the net is raised as it is, for whoever writes a method."""
    wrong = fault_of(error, rows)
    return None if wrong is None or wrong.code == "RUN-FAULT" else wrong


def _failed(net: Classifier, x: Images, name: str, wrong: RatherError) -> Counterfactuals:
    """The row of an image at fault, which has no answer; `info["error"]` says what is wrong."""
    unknown, zero = torch.full((1, len(net.classes)), torch.nan), torch.zeros(1, dtype=torch.long)
    return Counterfactuals(
        queries=x,
        images=x,
        goal=Goal.change(zero),
        classes=net.classes,
        before=unknown,
        after=unknown,
        success=zero.bool(),
        failure=(wrong.code,),
        steps=zero,
        evaluations=zero,
        artifacts={},
        info={"error": [str(wrong)]},
        ids=(name,),
    )


def _goals(
    net: Classifier, x: Images, target: Target | Goal, pictures: Dataset, *, confidence: float, seed: int
) -> Callable[[Tensor, Sequence[str]], Goal]:
    """How the goals of some rows are found, by their ids: by a rule, or of the classes that are given."""
    if not isinstance(target, str):
        goal = target if isinstance(target, Goal) else Goal.change(class_numbers(net, target, x), confidence)
        return lambda rows, _: goal[rows]
    check_target(target, net)
    references = None
    if target in REFERENCED and target not in net.classes:
        spec = ResourceSpec(pictures=pictures, references=references_by_default(net, pictures))
        references = references_of(fill_resources([Requirement("references", References)], net, spec.resolve))

    def choose(rows: Tensor, ids: Sequence[str]) -> Goal:
        noise = Noise(seed, [f"target of {one}" for one in ids])
        some = x[rows]
        probabilities = net.probabilities(some)
        return choose_goal(target, net, some, probabilities, noise, references=references, confidence=confidence)

    return choose


def counterfactuals_of(run: Run) -> Counterfactuals:
    """The counterfactuals of a stored run, of all images that could be read."""
    rows = [row for row in run.rows() if row.query and row.target is not None]
    if not rows:
        raise RatherError("DATA-EMPTY", where=run.folder, why="no image of it could be read")
    classes = tuple(str(name) for name in run.config["classes"])
    queries = torch.stack([unpng(row.query or b"") for row in rows])
    images = [unpng(row.image) if row.image else query for row, query in zip(rows, queries, strict=True)]
    target = torch.tensor([classes.index(str(row.target)) for row in rows])
    series = [{name: torch.stack([*map(unpng, pngs)]) for name, pngs in row.artifacts.items()} for row in rows]
    artifacts = {name: [each.get(name, queries[:0]) for each in series] for name in {n: 0 for s in series for n in s}}
    info = {name: [row.info.get(name) for row in rows] for name in {n: 0 for row in rows for n in row.info}}
    return Counterfactuals(
        queries=queries,
        images=torch.stack(images),
        goal=Goal(target, torch.tensor([row.confidence for row in rows])),
        classes=classes,
        before=torch.tensor([row.before for row in rows]),
        after=torch.tensor([row.after or row.before for row in rows]),
        success=torch.tensor([row.status == "found" for row in rows]),
        failure=tuple(row.code for row in rows),
        steps=torch.tensor([row.steps for row in rows]),
        evaluations=torch.tensor([row.evaluations for row in rows]),
        artifacts=artifacts,
        info=info,
        ids=tuple(row.id for row in rows),
    )
