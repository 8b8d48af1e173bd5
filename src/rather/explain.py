"""From names to an answered run: what `rather explain` does, as one function."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import torch

from rather.classifiers import bring, list_classifiers
from rather.classifiers.answers import Output
from rather.classifiers.preflight import preflight
from rather.core import Classifier
from rather.data import Source, list_data, load, load_files, read_all
from rather.data.folder import Folder
from rather.errors import RatherError
from rather.execute import Work, execute, question
from rather.methods import build, method_class
from rather.references import References
from rather.report import write_report
from rather.store import Run
from rather.targets import check_target
from rather.writing import refuse_unwritable

#: The best there is without a generative model: edits of which a person sees the sense.
DEFAULT_METHOD: Final = {"name": "goyal", "judge": "picture", "distractor": "nearest"}
DEFAULT_COUNT: Final = 12  # of a data set that has a name; of a person's own pictures, all
REFERENCES: Final = 2_000  # of them at most, evenly spread over the reference part of the data


@final
@dataclass(frozen=True, kw_only=True)
class Explained:
    """An answered run."""

    run: Run
    report: Path
    counts: Mapping[str, int]  # of each status
    seconds: float  # of this call; a run that goes on counts only what was left
    notes: Sequence[str] = ()  # what a person should know, and no fault


def explain(
    images: Sequence[Path] = (),
    *,
    data: str | None = None,
    classifier: str | None = None,
    method: str | None = None,
    settings: Mapping[str, Any] | None = None,
    target: str = "nearest",
    confidence: float = 0.0,
    count: int | None = None,
    seed: int = 0,
    references: str | None = None,
    batch_size: int = 32,
    layer: str | None = None,
    shape: tuple[int, int, int] | None = None,
    classes: Sequence[str] | None = None,
    output: Output = "logits",
    trust: Sequence[str] = (),
    out: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _asked: None,
) -> Explained:
    """Explain a classifier's decisions on images, as a run in a folder with a report.

    The same call again goes on where an interrupted one was; a finished run only gets its report anew.

    Args:
        images: files, or one folder.
        data: a data set's name or a folder, instead of `images`; the bundled digits if neither is given.
        classifier: see `classifiers.bring`; by default the bundled net for the data, or for digits.
        method: see `methods.list_methods`; by default goyal, judged by the picture.
        settings: of the method.
        target: a class, or a rule of `targets.RULES`.
        confidence: probability that the target must have at least, beside being the first choice.
        count: how many of the images, evenly spread; all of a folder by default, 12 of a data set.
        seed: of all that is random.
        references: a data set's name or a folder to take reference images from.
        batch_size: images in memory at a time, and rows committed together.
        layer: where to cut the classifier into body and head.
        shape: (c, h, w) of the images that it takes, where it does not say so itself.
        classes: their names, in the order of its outputs.
        output: what the classifier's output is, if not logits.
        trust: sha256 sums of code that may be run.
        out: the run's folder; by default one under `runs/`, named by what is asked.
        progress: told (rows done, rows asked).
    """
    began = time.monotonic()
    if out is not None:
        refuse_unwritable(out)
    if images and data:
        raise RatherError("CFG-OPTIONS", where=f"--data {data}", why="images are given as well")
    if settings and "name" in settings:
        raise RatherError("CFG-SETTING", where="name", why="the method is not a setting", do="Say --method")
    plan = (DEFAULT_METHOD if method is None else {"name": method}) | dict(settings or {})
    name = data or ("" if images else "digits")
    bundled = name if name in list_classifiers() else "digits"
    net = bring(classifier or bundled, layer=layer, shape=shape, classes=classes, output=output, trust=trust)
    notes = []
    if classifier is None and name != bundled:
        notes.append(f"no --classifier given: the images are taken for {bundled}")
    pictures = load_files(images, shape=net.shape) if images else load(name, shape=net.shape)
    source = pictures.test
    own = isinstance(source, Folder)  # a person's pictures, whatever they are called
    indices = spread(len(source), count or (len(source) if own else DEFAULT_COUNT))
    check_target(target, net)
    refs = None
    if takes_references(plan) or target in {"nearest", "confused"}:
        # A bundled net knows pictures like its own; a person's few pictures rarely show every class.
        near = references or (net.name if own and net.name in list_data() else None)
        others = load(near, shape=net.shape) if near else pictures
        refs = take_references(others.references, net)
    first, _ = read_all(source, indices, limit=4)
    notes += preflight(net, first).notes
    work = Work(
        source=source,
        indices=indices,
        classifier=net,
        method=build(plan, {"references": refs} if refs else None),
        references=refs,
        target=target,
        confidence=confidence,
        seed=seed,
    )
    asks = question(work, pictures.name) | {"trust": list(trust)}  # code may change, and the weights stay
    asked = [source.id(i) for i in indices]
    run = Run.start(out or _default_folder(asks, asked), asks, asked, batch_size)
    done = len(asked) - sum(len(chunk) for chunk in run.pending())
    progress(done, len(asked))
    for rows in execute(run, work):
        done += rows
        progress(done, len(asked))
    report = write_report(run)
    return Explained(
        run=run, report=report, counts=run.counts(), seconds=time.monotonic() - began, notes=notes
    )


def spread(length: int, count: int) -> list[int]:
    """`count` indices, evenly spread over `length`, or all of them.

    >>> spread(10, 4)
    [0, 2, 5, 7]
    """
    return [n * length // count for n in range(count)] if count < length else list(range(length))


def takes_references(plan: Mapping[str, Any]) -> bool:
    """Whether a method, or one that it wraps, has a field for reference images."""
    inner = plan.get("method")
    fields = method_class(str(plan.get("name", ""))).model_fields
    if "method" in fields and inner is not None:
        return takes_references(inner if isinstance(inner, Mapping) else {"name": inner})
    return "references" in fields


def take_references(source: Source, classifier: Classifier) -> References:
    """At most 2,000 images of a source, evenly spread, with their labels in the classifier's order."""
    images, indices = read_all(source, spread(len(source), REFERENCES))
    labels = [source.label(i) for i in indices]
    names = [None if label is None else source.classes[label] for label in labels]
    known = all(name in classifier.classes for name in names)
    return References(
        images=images,
        ids=tuple(source.id(i) for i in indices),
        labels=torch.tensor([classifier.class_index(str(name)) for name in names]) if known else None,
        name=source.name,
    )


def _default_folder(asks: Mapping[str, Any], asked: Sequence[str]) -> Path:
    digest = hashlib.sha256(json.dumps([asks, asked], sort_keys=True).encode()).hexdigest()[:8]
    return Path("runs") / f"{asks['classifier']['name']}-{asks['method']['name']}-{digest}"
