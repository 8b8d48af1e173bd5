"""The command `rather audit`: a run, or what to make one of, to warnings and a page."""

from __future__ import annotations

import json as jsonlib
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt

from rather.commands.words import settings_of
from rather.config.errors import SOME_FAILED, WARNED, RatherError

if TYPE_CHECKING:
    from rather.audit import Audit
    from rather.runs.store import Run

#: Cheap, and needs nothing but a gradient. The rules of attributes and places do not read its pictures.
DEFAULT_METHOD: Final = "attack"
DEFAULT_SETTINGS: Final = {"steps": 25, "lr": 2 / 255, "distance_weight": 0.01, "patience": 25, "num_path_frames": 0}
DEFAULT_COUNT: Final = 100
DEFAULT_TARGET: Final = "runner-up"
SHOWN: Final = 6  # attributes in the terminal

Output = Literal["logits", "probabilities", "binary-logit", "binary-probability"]


def audit(
    *images: Path,
    data: str | None = None,
    classifier: str | None = None,
    method: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    target: str | None = None,
    count: PositiveInt | None = None,
    seed: NonNegativeInt | None = None,
    references: str | None = None,
    generator: str | None = None,
    layer: str | None = None,
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None,
    classes: list[str] | None = None,
    output: Output = "logits",
    trust: list[str] | None = None,
    attributes: str | None = None,
    regions: str | None = None,
    prototypes: Path | None = None,
    expect: list[str] | None = None,
    out: Path | None = None,
    json: bool = False,
    fail_on_warning: bool = False,
) -> int:
    """Audit a classifier over a whole set of images: what does it go by, and what of that is suspicious?

    Of a run that is there: `rather audit RUN`. Else the run is made first, as by `rather explain`.

    Args:
        images: The folder of a run; or image files, or a folder of them.
        data: A data set (`rather list data`) or a folder, instead of images.
        classifier: Whom to ask, as of `rather explain`; of a run, the one that it explains.
        method: How counterfactuals are searched; by default attack, for few steps. Regions, maps, clusters
            and prototypes are read of them; the warnings about attributes and places are not.
        set_: A setting of the method, KEY=VALUE; may be given again.
        target: A class, or a rule, as of `rather explain`; by default runner-up.
        count: How many of the images, evenly spread; by default 100 of a data set, all of your own.
        seed: Of all that is random; by default 0.
        references: Where reference images come from: a data set or a folder.
        generator: What the method makes pictures with.
        layer: Where to cut the classifier into features and decision.
        shape: Channels, height and width of its images, where it does not say so itself.
        classes: A name for an output, in their order; given again for each.
        output: What its output is: logits, probabilities, binary-logit or binary-probability.
        trust: sha256:HASH of code that may be run; may be given again.
        attributes: Who reads attributes: a net of `rather train oracle`; by default a bundled one, of the
            bundled data.
        regions: Who sees regions: a net of `rather train semantic`; by default a bundled one.
        prototypes: The folder of a run of the same images with the target prototype: who needs little to be
            surer is typical.
        expect: An attribute or a region that may decide; may be given again. All others are then suspicious.
        out: The run's folder; by default one under runs/, named by what is asked.
        json: Print one JSON object and nothing else.
        fail_on_warning: Exit with 7 if there is a warning.
    """
    from rather.audit import audit as look
    from rather.audit.nets import audited_classifier, take_oracle, take_segmenter
    from rather.commands.terminal import progress_bar
    from rather.report.audit import write_audit
    from rather.runs.comparison import is_comparison
    from rather.runs.explain import explain
    from rather.runs.store import Run

    there = images[0] if len(images) == 1 and (images[0] / "run.json").is_file() else None
    if there is None and len(images) == 1 and is_comparison(images[0]):
        raise RatherError("CFG-OPTIONS", where=images[0], why="a comparison", do="Give the folder of one of its runs")
    failed = 0
    if there is not None:
        making = {
            "--data": data,
            "--method": method,
            "--set": set_,
            "--target": target,
            "--count": count,
            "--seed": seed,
            "--references": references,
            "--generator": generator,
            "--out": out,
        }
        for option, value in making.items():
            if value is not None:
                raise RatherError("CFG-OPTIONS", where=option, why=f"{there} is a run that is there already")
        run = Run.open(there)
    else:
        if method is not None and "," in method:
            raise RatherError("CFG-OPTIONS", where=f"--method {method}", why="an audit is of one method")
        settings = settings_of(set_ or [])
        with progress_bar("explaining", shown=not json) as progress:
            explained = explain(
                images,
                data=data,
                classifier=classifier,
                method=method or DEFAULT_METHOD,
                settings=settings if method else {**DEFAULT_SETTINGS, **settings},
                target=target or DEFAULT_TARGET,
                count=count or (None if images else DEFAULT_COUNT),
                seed=seed or 0,
                references=references,
                generator=generator,
                layer=layer,
                shape=shape,
                classes=classes,
                output=output,
                trust=trust or (),
                out=out,
                progress=progress,
            )
        (run,) = explained.runs.values()
        failed = explained.counts["failed"]
        for note in explained.notes:
            print(f"rather: note: {note}", file=sys.stderr)
    net = audited_classifier(
        run, classifier, layer=layer, shape=shape, classes=classes, output=output, trust=trust or ()
    )
    found = look(
        run,
        classifier=net,
        oracle=take_oracle(attributes, net),
        segmenter=take_segmenter(regions, net),
        prototypes=None if prototypes is None else Run.open(prototypes),
        expect=expect or (),
    )
    page = write_audit(found, run)
    if json:
        print(jsonlib.dumps(_finite(told(found, run, page)), allow_nan=False))
    else:
        _summary(found, run, page)
    if fail_on_warning and found.warnings:
        return WARNED
    return SOME_FAILED if failed else 0


def told(found: Audit, run: Run, page: Path) -> dict[str, Any]:
    """An audit as plain data; pictures and maps stay in the page."""
    return {
        "run": str(run.folder),
        "report": str(page),
        "rows": found.rows,
        "found": found.found,
        "right": found.right and found.right.count,
        "warnings": [asdict(one) for one in found.warnings],
        "attributes": [asdict(one) for one in found.attributes],
        "regions": [asdict(one) for one in found.regions],
        "places": [asdict(one) for one in found.places],
        "clusters": [
            {"rows": one.share.count, "spread": one.spread, "examples": one.examples} for one in found.clusters
        ],
        "prototypes": {one.predicted: [each.id for each in one.prototypes] for one in found.kin},
        "outliers": {one.predicted: [each.id for each in one.outliers] for one in found.kin},
        "notes": list(found.notes),
    }


def _finite(value: Any) -> Any:
    """What JSON can say: null for ends of an interval that do not exist, as of one row.

    >>> _finite({"low": float("-inf"), "rows": [1, 0.5]})
    {'low': None, 'rows': [1, 0.5]}
    """
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _summary(found: Audit, run: Run, page: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rather.report.audit import interval

    console = Console()
    known = [one for one in found.attributes if one.answer]
    if known:
        table = Table("attribute", "adds to the answer", "to the label", "came or went", box=None, pad_edge=False)
        for one in known[:SHOWN]:
            cells = (one.name, interval(one.answer), interval(one.label), f"{one.changed.count} of {one.changed.of}")
            table.add_row(*map(Text, cells))
        console.print(table)
    if found.places:
        most = max(found.places, key=lambda one: one.decides.count)
        of = f"{most.decides.count} of {most.decides.of}"
        console.print(Text(f"\nplace that decides most: {most.name} ({of} take on another image's answer)"))
    for warning in found.warnings:
        console.print(Text(f"\nwarning: {warning.kind} {warning.name}: {warning.rule}"), style="bold")
        console.print(Text(f"  {warning.evidence}"))
    for note in found.notes:
        console.print(Text(f"\nnote: {note}"))
    if not found.warnings:
        console.print(Text("\nno warning: nothing met a rule, which does not mean that nothing is wrong"))
    name = run.config["classifier"]["name"]
    console.print(Text(f"\n{name}: {len(found.warnings)} warnings over {found.rows} images"))
    console.print(Text(f"report: {page}"), soft_wrap=True)
