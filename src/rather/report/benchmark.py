"""The page of a benchmark, in one file that keeps the promises of `report`: drawings, pictures and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from rather.bench.plan import Unit
from rather.bench.results import Estimate
from rather.bench.run import BenchResult
from rather.bench.tables import figure, interval, skip_line, tables
from rather.io.writing import write_whole, writing
from rather.metrics import METRICS
from rather.report.cards import SMALL, picture
from rather.report.html import inside, render
from rather.report.ranking import EDGE, HIGH, WIDE, front, ranking

PICTURES: Final = 8  # images of a task that are shown
#: Metrics against each other: one, and the first of some that were computed.
_FRONTS: Final = (
    ("l1", ("confidence",)),
    ("seconds", ("split_frechet", "similarity", "transfer")),
    ("l1", ("transfer",)),
)


def write_page(result: BenchResult) -> None:
    """Write `index.html` into the folder of the benchmark."""
    names = dict.fromkeys([one.task for one in result.estimates] + [unit.task for unit in result.units])
    values = {
        "name": result.spec.name,
        "spec": result.spec,
        "sections": [_section(name, result.units, result.estimates) for name in names],
        "skipped": [*dict.fromkeys(map(skip_line, result.skipped))],
        "figure": figure,
        "interval": interval,
        "wide": WIDE,
        "high": HIGH,
        "edge": EDGE,
    }
    with writing(result.folder):
        write_whole(result.page, render("bench.html", values).encode())


def _section(task: str, units: Sequence[Unit], estimates: Sequence[Estimate]) -> dict[str, Any]:
    """All of a task."""
    own = [one for one in estimates if one.task == task]
    main = [one for one in own if one.variant == "main"]
    by_metric = {name: some for name in METRICS if (some := [one for one in main if one.metric == name])}
    answered = max((one.images for one in main), default=0)
    # A method that hardly ever succeeds is on every front, with the few images that are easy.
    able = {name: [one for one in some if 2 * one.images >= answered] for name, some in by_metric.items()}
    drawn = [
        next((d for one in up if (d := front(able.get(across, []), able.get(one, [])))), None) for across, up in _FRONTS
    ]
    first = {unit.method: unit for unit in reversed(units) if unit.task == task}  # of each, the first seed
    runs = [first[name] for name in dict.fromkeys(unit.method for unit in units if unit.task == task)]
    return {
        "name": task,
        "rankings": [ranking(some) for some in by_metric.values() if len(some) > 1],
        "fronts": [one for one in drawn if one],
        "methods": [unit.method for unit in runs],
        "lines": [*_lines(runs)],
        "tables": [*tables(own)],
    }


def _lines(units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
    """The first images, a line at a time in memory."""
    rows = (islice(unit.run.rows(), PICTURES) for unit in units)
    for row in zip(*rows, strict=True):
        query = next((one.query for one in row if one.query), None)
        yield {
            "query": picture("image", "The image", [query], SMALL, inside) if query else None,
            "says": f"{row[0].predicted or '?'} → {row[0].target or '?'}",
            "answers": [
                {
                    "picture": picture(unit.method, f"The result of {unit.method}", [one.image], SMALL, inside)
                    if one.image
                    else None,
                    "says": one.status.replace("_", " "),
                }
                for unit, one in zip(units, row, strict=True)
            ],
        }
