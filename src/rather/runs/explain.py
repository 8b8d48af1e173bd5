"""From names to answered runs: what `rather explain` does, as one function."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, final

from rather.classifiers.answers import Output
from rather.config.errors import RatherError
from rather.core import Classifier
from rather.data.folder import Folder
from rather.data.source import read_all
from rather.hub.classifiers import classifier_of, load_classifier
from rather.hub.columns import Column, columns
from rather.hub.datasets import load_dataset, load_files
from rather.hub.methods import build_method
from rather.hub.resources import Sources, Want, spread, wanted
from rather.io.writing import refuse_unwritable
from rather.report import write_pages
from rather.runs.comparison import check_no_comparison, start_comparison
from rather.runs.runner import Work, question
from rather.runs.store import STATUSES, Run
from rather.runs.works import folder_name, given, look, of_same_goals, references_in, refuse_other_images, work_off
from rather.search.goals import check_target
from rather.search.references import References

#: The best there is without a generative model: edits of which a person sees the sense.
DEFAULT_METHOD: Final = "goyal"
DEFAULT_SETTINGS: Final = {"score_on": "picture", "distractor": "nearest"}
DEFAULT_COUNT: Final = 12  # of a data set that has a name; of a person's own pictures, all


@final
@dataclass(frozen=True, kw_only=True)
class Explained:
    """An answered run, or several side by side."""

    folder: Path
    runs: Mapping[str, Run]  # by what was asked for: METHOD or METHOD@CLASSIFIER
    report: Path
    counts: Mapping[str, int]  # of each status, in all runs
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
    generator: str | None = None,
    denoiser: str | None = None,
    latent: str | None = None,
    oracle: str | None = None,
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

    Several methods are several runs, each in a folder of its own, and a page that shows them side by side:
    for the same images and, of each image, the same target, as the first one's classifier chooses it.
    The same call again goes on where an interrupted one was; a finished run only gets its report anew.

    Args:
        images: files, or one folder.
        data: a data set's name or a folder, instead of `images`; the bundled digits if neither is given.
        classifier: see `classifiers.bring`; by default the bundled net for the data, or for digits.
        method: of `methods.list_methods` or `presets.list_presets`, by default goyal, judged by the picture;
            METHOD@CLASSIFIER explains another classifier; several with commas between them are compared.
        settings: of the method; of several, see `runs.columns`.
        target: a class, or a rule of `targets.RULES`.
        confidence: probability that the target must have at least, beside being the first choice.
        count: how many of the images, evenly spread; all of a folder by default, 12 of a data set.
        seed: of all that is random.
        references: a data set's name or a folder to take reference images from.
        generator: a name or a file, see `generators.bring_generator`; by default the one that the classifier
            sees through, or for digits a bundled one, which depends on the method.
        denoiser: a diffusion model for methods that refine another method's answers, as `generator`.
        latent: classifiers of latents, see `classifiers.bring`, with the same defaults.
        oracle: a classifier for methods that ask a second one, see `classifiers.bring`; none by default.
        batch_size: images in memory at a time, and rows committed together.
        layer: where to cut `classifier` into body and head.
        shape: (c, h, w) of the images that it takes, where it does not say so itself.
        classes: their names, in the order of its outputs.
        output: what its output is, if not logits.
        trust: sha256 sums of code that may be run.
        out: the folder; by default one under `runs/`, named by what is asked.
        progress: told (rows done, rows asked).
    """
    began = time.monotonic()
    if out is not None:
        refuse_unwritable(out)
    if images and data:
        raise RatherError("CFG-OPTIONS", where=f"--data {data}", why="images are given as well")
    if method is None:
        method, settings = DEFAULT_METHOD, {**DEFAULT_SETTINGS, **(settings or {})}
    asked = columns(method, settings)
    wants = _wants(asked, target, {"generator": generator, "denoiser": denoiser, "latent": latent, "oracle": oracle})
    specs = dict.fromkeys(column.classifier for column in asked)
    name = data or ("" if images else "digits")
    of_data = classifier_of(name)
    bundled = of_data or "digits"
    own = {"layer": layer, "shape": shape, "classes": classes, "output": output}
    if None not in specs and (classifier, *own.values()) != (None, None, None, None, "logits"):
        raise RatherError(
            "CFG-OPTIONS",
            where=f"--method {method}",
            why="--classifier, --layer, --shape, --classes and --output are of methods without an @",
        )
    nets: dict[str | None, Classifier] = {
        spec: load_classifier(spec, trust=trust) for spec in specs if spec is not None
    }
    notes = []
    if None in specs:
        nets |= {
            None: load_classifier(
                classifier or bundled, output=output, trust=trust, layer=layer, shape=shape, classes=classes
            )
        }
        if classifier is None and of_data is None:
            notes.append(f"no --classifier given: the images are taken for {bundled}")
    first = nets[asked[0].classifier]
    for net in nets.values():
        refuse_other_images(net, first)
    pictures = load_files(images, shape=first.shape) if images else load_dataset(name, shape=first.shape)
    source = pictures.test
    mine = isinstance(source, Folder)  # a person's pictures, whatever they are called
    indices = spread(len(source), count or (len(source) if mine else DEFAULT_COUNT))
    check_target(target, first)
    places = Sources(
        pictures=pictures,
        references=references,
        generator=generator,
        denoiser=denoiser,
        latent=latent,
        oracle=oracle,
        trust=trust,
    )
    take = cache(places.take)  # so that methods share what all of them want
    filled = [given(mine, nets[column.classifier], take) for column, mine in zip(asked, wants, strict=True)]
    some, _ = read_all(source, indices, limit=8)
    for spec, net in nets.items():
        beside = [mine for column, mine in zip(asked, filled, strict=True) if column.classifier == spec]
        notes += look(net, beside, some)
    works = [
        Work(
            source=source,
            indices=indices,
            classifier=nets[column.classifier],
            method=build_method(column.plan, mine),
            references=references_in(mine),
            target=target,
            confidence=confidence,
            seed=seed,
        )
        for column, mine in zip(asked, filled, strict=True)
    ]
    if len(works) > 1:
        works = of_same_goals(works)
    code = {"trust": list(trust)}  # code may change, and the weights stay
    asks = [question(work, pictures.name) | code for work in works]
    folder, runs = _start(asked, asks, [source.id(i) for i in indices], out, batch_size)
    work_off(runs, works, progress)
    return Explained(
        folder=folder,
        runs={column.label: run for column, run in zip(asked, runs, strict=True)},
        report=write_pages(folder),
        counts={status: sum(run.counts()[status] for run in runs) for status in STATUSES},
        seconds=time.monotonic() - began,
        notes=[*dict.fromkeys(notes)],
    )


def _wants(asked: Sequence[Column], target: str, given: Mapping[str, str | None]) -> list[frozenset[Want]]:
    """What each method wants, and of the first one what choosing the targets does."""
    wants = [wanted(column.plan) for column in asked]
    if target in {"nearest", "confused"}:
        wants[0] |= {Want("references", References)}
    names = {want.name for mine in wants for want in mine}
    for name, spec in given.items():
        if spec is not None and name not in names:
            methods = ", ".join(column.label for column in asked)
            raise RatherError("CFG-OPTIONS", where=f"--{name} {spec}", why=f"nothing that {methods} needs")
    return wants


def _start(
    asked: Sequence[Column], asks: Sequence[Mapping[str, Any]], ids: Sequence[str], out: Path | None, chunk: int
) -> tuple[Path, list[Run]]:
    """The folder, and the run of each column: all of them before the first is worked off."""
    if len(asked) == 1:
        name = f"{asks[0]['classifier']['name']}-{asks[0]['method']['name']}"
        folder = out or Path("runs") / folder_name(name, asks[0], ids)
        check_no_comparison(folder)
        return folder, [Run.start(folder, asks[0], ids, chunk)]
    same = [
        (one, other) for n, one in enumerate(asked) for m, other in enumerate(asked) if n < m and asks[n] == asks[m]
    ]
    for one, other in same:
        raise RatherError("CFG-OPTIONS", where=f"--method {other.label}", why=f"the same as {one.label}")
    folder = out or Path("runs") / folder_name("comparison", asks, ids)
    places = start_comparison(folder, [column.label for column in asked])
    return folder, [Run.start(place, ask, ids, chunk) for place, ask in zip(places, asks, strict=True)]
