"""The command `rather audit`: a run, or what to make one of, to warnings and a page."""

from __future__ import annotations

import json as jsonlib
import math
import sys
from contextlib import redirect_stdout
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Group, Parameter

from rather.commands.words import settings_of
from rather.config.errors import SOME_FAILED, WARNED, RatherError
from rather.runs.request import HOW, RUN, WHAT, Request

if TYPE_CHECKING:
    from rather.audit import Audit
    from rather.runs.store import Run

#: Cheap, and needs nothing but a gradient. The rules of attributes and places do not read its pictures.
DEFAULT_METHOD: Final = "attack"
DEFAULT_SETTINGS: Final = {"steps": 25, "lr": 2 / 255, "distance_weight": 0.01, "patience": 25, "num_path_frames": 0}
DEFAULT_COUNT: Final = 100
DEFAULT_TARGET: Final = "runner-up"
SHOWN: Final = 6  # attributes in the terminal

AUDIT: Final = Group("The audit", sort_key=0)
_NOTHING_ASKED: Final = Request()
#: What may be said of a run that exists; all else says how to make one.
_OF_A_RUN: Final = {"images", "classifier", "layer", "shape", "preprocessing", "classes", "output", "trust"}


def audit(
    *images: Annotated[Path, Parameter(group=WHAT)],
    request: Annotated[Request, Parameter(name="*")] = _NOTHING_ASKED,
    set_: Annotated[list[str] | None, Parameter(name="--set", group=HOW)] = None,
    oracle: Annotated[str | None, Parameter(group=AUDIT)] = None,
    segmenter: Annotated[str | None, Parameter(group=AUDIT)] = None,
    prototypes: Annotated[Path | None, Parameter(group=AUDIT)] = None,
    expect: Annotated[list[str] | None, Parameter(group=AUDIT)] = None,
    fail_on_warning: Annotated[bool, Parameter(group=AUDIT)] = False,
    json: Annotated[bool, Parameter(group=RUN)] = False,
) -> int:
    """Audit a classifier over a whole set of images: what does it rely on, and what of that is suspicious?

    Of a run that exists: `rather audit RUN`. Else the run is made first, as by `rather explain`. The method
    is for regions, maps, clusters and prototypes; warnings about attributes and places do not use it.

    Args:
        images: The folder of a run; or image files, or a folder of them.
        request: What is asked.
        set_: A setting of the method, KEY=VALUE; may be repeated.
        oracle: A net that reads attributes, of `rather train oracle`; by default a bundled one, for the bundled data.
        segmenter: A net that finds regions, of `rather train semantic`; by default a bundled one.
        prototypes: The folder of a run of the same images with --target prototype: an image that needs little
            change to be surer is typical.
        expect: An attribute or a region that may decide; may be repeated. All others are then suspicious.
        json: Print one JSON object and nothing else.
        fail_on_warning: Exit with 7 if there is a warning.
    """
    from rather.audit import audit as look
    from rather.audit.nets import audited_classifier, resolve_oracle, resolve_segmenter
    from rather.report.audit import write_audit
    from rather.runs.store import Run

    asked = replace(request, images=images, settings=settings_of(set_ or []))
    run, failed = _existing(asked), 0
    with redirect_stdout(sys.stderr):  # of whatever a net prints
        if run is None:
            run, failed = _made(asked, shown=not json)
        net = audited_classifier(run, asked)
        found = look(
            run,
            classifier=net,
            oracle=resolve_oracle(oracle, net),
            segmenter=resolve_segmenter(segmenter, net),
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


def _existing(asked: Request) -> Run | None:
    """The run that the one folder given holds; None if it holds images."""
    from rather.runs.comparison import is_comparison
    from rather.runs.store import Run

    if len(asked.images) != 1:
        return None
    (folder,) = asked.images
    if not (folder / "run.json").is_file():
        if is_comparison(folder):
            raise RatherError("CFG-OPTIONS", where=folder, why="a comparison", do="Give the folder of one of its runs")
        return None
    for field in fields(Request):
        if field.name not in _OF_A_RUN and getattr(asked, field.name) != getattr(_NOTHING_ASKED, field.name):
            option = "set" if field.name == "settings" else field.name.replace("_", "-")
            raise RatherError("CFG-OPTIONS", where=f"--{option}", why=f"{folder} is a run that exists already")
    return Run.open(folder)


def _made(asked: Request, *, shown: bool) -> tuple[Run, int]:
    """The run that is asked for, and how many of its images failed."""
    from rather.commands.terminal import progress_bar
    from rather.report import write_pages
    from rather.runs.explain import explain

    if asked.method is not None and "," in asked.method:
        raise RatherError("CFG-OPTIONS", where=f"--method {asked.method}", why="an audit is of one method")
    asked = replace(
        asked, target=asked.target or DEFAULT_TARGET, count=asked.count or (None if asked.images else DEFAULT_COUNT)
    )
    with progress_bar("explaining", shown=shown) as progress:
        explained = explain(asked, progress=progress, default=(DEFAULT_METHOD, DEFAULT_SETTINGS))
    (run,) = explained.runs.values()
    write_pages(explained.folder)
    for note in explained.notes:
        print(f"rather: note: {note}", file=sys.stderr)
    return run, explained.counts["failed"]


def told(found: Audit, run: Run, page: Path) -> dict[str, Any]:
    """An audit as plain data; pictures and maps stay in the page."""
    return {
        "run": str(run.folder),
        "report": str(page),
        "rows": found.rows,
        "found": found.found,
        "right": found.agreement and found.agreement.right,
        "agreement": found.agreement and found.agreement.told(),
        "warnings": [asdict(one) for one in found.warnings],
        "attributes": [asdict(one) for one in found.attributes],
        "regions": [asdict(one) for one in found.regions],
        "places": [asdict(one) for one in found.places],
        "clusters": [
            {"rows": one.share.count, "spread": one.spread, "examples": one.examples} for one in found.clusters
        ],
        "prototypes": {one.predicted: [each.id for each in one.prototypes] for one in found.typical},
        "outliers": {one.predicted: [each.id for each in one.outliers] for one in found.typical},
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

    from rather.audit.rules import narrowest
    from rather.report.audit import interval

    console = Console()
    known = [one for one in found.attributes if one.answer]
    if known:
        table = Table(
            "attribute", "class", "effect on prediction", "effect on label", "changed in", box=None, pad_edge=False
        )
        for one in known[:SHOWN]:
            cells = (
                one.name,
                one.towards,
                interval(one.answer),
                interval(one.label),
                f"{one.changed.count} of {one.changed.of}",
            )
            table.add_row(*map(Text, cells))
        console.print(table)
    if found.places:
        most, _ = narrowest([(one, one.decides) for one in found.places])
        of = f"{most.decides.count} of {most.decides.of}"
        console.print(Text(f"\nplace that decides most: {most.name} (moves the prediction of {of} images)"))
    for warning in found.warnings:
        console.print(Text(f"\nwarning: {warning.kind} {warning.name}: {warning.rule}"), style="bold")
        console.print(Text(f"  {warning.evidence}"))
    for note in found.notes:
        console.print(Text(f"\nnote: {note}"))
    if not found.warnings:
        console.print(Text("\nno warning: no finding met a rule; this does not mean that nothing is wrong"))
    name = run.config["classifier"]["name"]
    if found.agreement:
        console.print(Text(f"\n{name} {found.agreement}"))
    console.print(Text(f"{name}: {len(found.warnings)} warnings over {found.rows} images"))
    console.print(Text(f"report: {page}"), soft_wrap=True)
