"""The page of a benchmark, in one file that keeps the promises of `report`: drawings, pictures and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, final

from rather.bench.figures import Figure
from rather.bench.measures import MEASURES
from rather.bench.plan import Absent, Unit
from rather.bench.spec import Spec
from rather.bench.tables import Table, absence, interval, number, tables
from rather.report.cards import SMALL, Picture, picture
from rather.report.html import inside, render
from rather.report.ranking import Front, Ranking, front, ranking

PICTURES: Final = 8  # images of a task that are shown
#: Measures against each other: one, and the first of some that are there.
_FRONTS: Final = (
    ("l1", ("confidence",)),
    ("seconds", ("split_frechet", "similarity", "transfer")),
    ("l1", ("transfer",)),
)


@final
@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a method made of an image."""

    picture: Picture | None
    says: str


@final
@dataclass(frozen=True, kw_only=True)
class Line:
    """An image, and what each method made of it."""

    query: Picture | None
    says: str
    answers: Sequence[Shown]


@final
@dataclass(frozen=True, kw_only=True)
class Section:
    """All of a task."""

    name: str
    rankings: Sequence[Ranking]
    fronts: Sequence[Front]
    methods: Sequence[str]
    lines: Sequence[Line]
    tables: Sequence[Table]


def page(spec: Spec, units: Sequence[Unit], figures: Sequence[Figure], absent: Sequence[Absent]) -> str:
    """The page, as a text.

    Args:
        spec: what was asked.
        units: the runs, whose first pictures are shown.
        figures: of them.
        absent: what there is not.
    """
    names = dict.fromkeys([f.task for f in figures] + [unit.task for unit in units])
    values = {
        "name": spec.name,
        "spec": spec,
        "sections": [_section(name, units, figures) for name in names],
        "absent": [*dict.fromkeys(map(absence, absent))],
        "measures": MEASURES,
        "number": number,
        "interval": interval,
    }
    return render("bench.html", values)


def _section(task: str, units: Sequence[Unit], figures: Sequence[Figure]) -> Section:
    mine = [f for f in figures if f.task == task and f.variant == "main"]
    by_measure = {name: [f for f in mine if f.measure == name] for name in MEASURES}
    by_measure = {name: some for name, some in by_measure.items() if some}
    answered = max((f.images for f in mine), default=0)
    # A method that hardly ever succeeds is on every front, with the few images that are easy.
    able = {name: [f for f in some if 2 * f.images >= answered] for name, some in by_measure.items()}
    drawn = [
        next((d for one in up if (d := front(able.get(across, []), able.get(one, [])))), None) for across, up in _FRONTS
    ]
    first = {unit.method: unit for unit in reversed(units) if unit.task == task}  # of each, the first seed
    runs = [first[name] for name in dict.fromkeys(unit.method for unit in units if unit.task == task)]
    return Section(
        name=task,
        rankings=[ranking(some) for some in by_measure.values() if len(some) > 1],
        fronts=[one for one in drawn if one],
        methods=[unit.method for unit in runs],
        lines=[*_lines(runs)],
        tables=[*tables([f for f in figures if f.task == task])],
    )


def _lines(units: Sequence[Unit]) -> Iterator[Line]:
    """The first images, a line at a time in memory."""
    put = partial(inside, "")
    rows = (islice(unit.run.rows(), PICTURES) for unit in units)
    for row in zip(*rows, strict=True):
        query = next((one.query for one in row if one.query), None)
        yield Line(
            query=picture("image", "The image", [query], SMALL, put) if query else None,
            says=f"{row[0].predicted or '?'} → {row[0].target or '?'}",
            answers=[
                Shown(
                    picture=picture(unit.method, f"What {unit.method} made of it", [one.image], SMALL, put)
                    if one.image
                    else None,
                    says=one.status.replace("_", " "),
                )
                for unit, one in zip(units, row, strict=True)
            ],
        )
