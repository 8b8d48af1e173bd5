"""The page of a comparison: several methods side by side, on the same images for the same targets.

It is a function of the stores alone, and keeps the promises of `report`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal, final
from urllib.parse import quote

from torch import Tensor

from rather import __version__
from rather.config.errors import RatherError
from rather.io.png import png, unpng
from rather.io.writing import write_whole, writing
from rather.plots import difference_scale, signed_difference
from rather.report.cards import MEDIUM, NARROW, Picture, picture, plain, reason
from rather.report.html import environment, inside, policy
from rather.runs.comparison import open_comparison
from rather.runs.store import Row, Run

PICTURES_A_PAGE: Final = 480  # about; each counterfactual has its change beside it


@final
@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one method made of one image."""

    row: Row | None  # without its pictures; None as long as it is not done
    before: float  # probability of the target; NaN where it is not known
    after: float
    counterfactual: Picture | None
    difference: Picture | None
    change: float | None  # mean absolute difference of the pixels
    why: str


@final
@dataclass(frozen=True, kw_only=True)
class Line:
    """One image, and what each method made of it."""

    number: int
    row: Row | None  # of the first column that is done
    query: Picture | None
    scale: float | None  # the change that is drawn in full colour, the same for all methods
    coloured: bool
    cells: Sequence[Cell]


@final
class Tally:
    """The figures of a column, gathered line by line."""

    def __init__(self, label: str, run: Run, folder: Path) -> None:
        self.label, self.run, self.method = label, run, label.partition("@")[0]
        self.classifier = plain((run.config.get("classifier") or {}).get("name"))
        self.report = next(
            (
                quote(page.relative_to(folder).as_posix())
                for page in (run.folder / "report.html", run.folder / "report" / "index.html")
                if page.exists()
            ),
            None,
        )
        self.cells: list[tuple[Row, float | None]] = []

    def add(self, cell: Cell) -> None:
        """Count a cell that is done."""
        if cell.row is not None:
            self.cells.append((cell.row, cell.change))

    def count(self, status: str) -> int:
        """How many rows have a status."""
        return sum(row.status == status for row, _ in self.cells)

    @property
    def figures(self) -> tuple[str, str, str]:
        """Medians: the change, where found; evaluations and seconds, where searched."""
        changes = [change for row, change in self.cells if row.status == "found" and change is not None]
        searched = [row for row, _ in self.cells if row.status in {"found", "not_found"}]
        none = "\N{EN DASH}"
        return (
            f"{100 * median(changes):.2g}{NARROW}%" if changes else none,
            f"{median(row.evaluations for row in searched):,g}" if searched else none,
            f"{median(row.seconds for row in searched):.2g} s" if searched else none,
        )


def write_comparison(folder: Path) -> Path:
    """Write the page of a comparison, whose runs may be unfinished, and return it.

    Raises:
        RatherError: the folder cannot be written, or a run cannot be read.
    """
    runs = open_comparison(folder)
    tallies = [Tally(label, run, folder) for label, run in runs.items()]
    asked = tallies[0].run.ids
    size = max(8, PICTURES_A_PAGE // (2 * len(runs) + 1))
    names = ["comparison.html", *(f"comparison-{n}.html" for n in range(2, -(-len(asked) // size) + 1))]
    templates = environment()
    template = templates.get_template("comparison.html")
    common = {
        "version": __version__,
        "name": folder.name,
        "told": dict(_told(tallies[0].run.config)),
        "asked": len(asked),
        "tallies": tallies,
        "names": names,
        "several": len({tally.classifier for tally in tallies}) > 1,
        "policy": policy(templates, "report.css", "comparison.css"),
    }
    lines = _lines(tallies)
    with writing(folder):
        first = [*islice(lines, size)]
        for number, name in enumerate(names[1:], 1):
            page = [*islice(lines, size)]
            write_whole(folder / name, template.render(common, number=number, lines=page).encode())
        # The first page last: it has the figures of all, and when it is there, all of them are.
        write_whole(folder / names[0], template.render(common, number=0, lines=first).encode())
    return folder / names[0]


def _told(question: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was asked of all."""
    for key in ("data", "target", "confidence", "seed"):
        value = question.get(key)
        name = value.get("name") if isinstance(value, Mapping) else value
        if name is not None and (key != "confidence" or name):
            yield key, plain(name)


def _lines(tallies: Sequence[Tally]) -> Iterator[Line]:
    """The images in the order in which they were asked, a line at a time in memory."""
    asked = tallies[0].run.ids
    for number, rows in enumerate(zip(*(_in_place(tally.run, asked) for tally in tallies), strict=True), 1):
        line = _line(number, rows, [tally.run for tally in tallies])
        for tally, cell in zip(tallies, line.cells, strict=True):
            tally.add(cell)
        yield line


def _in_place(run: Run, asked: Sequence[str]) -> Iterator[Row | None]:
    """The run's row for each image, or None where there is none yet."""
    rows = run.rows()
    ahead = next(rows, None)
    for image in asked:
        if ahead is None or ahead.id != image:
            yield None
        else:
            yield ahead
            ahead = next(rows, None)


def _line(number: int, rows: Sequence[Row | None], runs: Sequence[Run]) -> Line:
    there = next((row for row in rows if row is not None), None)
    shown = next((row.query for row in rows if row is not None and row.query), None)
    pairs = [_pair(row, run) for row, run in zip(rows, runs, strict=True)]
    scale = max((difference_scale(*pair) for pair in pairs if pair), default=None)
    put = partial(inside, "")
    cells = []
    for row, run, pair in zip(rows, runs, pairs, strict=True):
        image = row.image if row is not None and row.status in {"found", "not_found"} else None
        name = (row and row.target) or ""
        what = "counterfactual" if row and row.status == "found" else "best attempt"
        drawn = png(signed_difference(*pair, scale)) if pair else None
        cells.append(
            Cell(
                row=row and replace(row, query=None, image=None, artifacts={}),
                before=_of_target(row, run, "before"),
                after=_of_target(row, run, "after"),
                counterfactual=picture(what, f"The {what} for {name}", [image], MEDIUM, put) if image else None,
                difference=picture("what changed", "What changed", [drawn], MEDIUM, put) if drawn else None,
                change=float((pair[1] - pair[0]).abs().mean()) if pair else None,
                why=reason(row) if row is not None and row.status != "found" else "",
            )
        )
    query = picture("image", "The image", [shown], MEDIUM, put) if shown else None
    return Line(
        number=number,
        row=there and replace(there, query=None, image=None, artifacts={}),
        query=query,
        scale=scale,
        coloured=any(pair is not None and len(pair[0]) > 1 for pair in pairs),
        cells=cells,
    )


def _pair(row: Row | None, run: Run) -> tuple[Tensor, Tensor] | None:
    """The image and its counterfactual, if it has one of the same shape."""
    if row is None or not (row.query and row.image):
        return None
    try:
        query, image = unpng(row.query), unpng(row.image)
    except RatherError as error:
        raise run.damaged(row.id, str(error)) from None
    return (query, image) if query.shape == image.shape else None


def _of_target(row: Row | None, run: Run, when: Literal["before", "after"]) -> float:
    """Probability of the target."""
    classes = [str(name) for name in run.config.get("classes") or []]
    if row is None or row.target not in classes:
        return math.nan
    p = row.before if when == "before" else row.after
    return p[classes.index(row.target)] if len(p) == len(classes) else math.nan
