"""The page of a comparison: several methods side by side, on the same images for the same targets.

It is made of the stores alone, and keeps the promises of `report`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final, final
from urllib.parse import quote

from rather.io.writing import write_whole, writing
from rather.plots import difference_scale
from rather.report.cards import MEDIUM, NARROW, Look, look, plain, same_shape
from rather.report.html import inside, question, render
from rather.runs.comparison import open_comparison
from rather.runs.regions import region_effects
from rather.runs.store import Row, Run

PICTURES_A_PAGE: Final = 480  # about; each counterfactual comes with its change


@final
@dataclass(frozen=True, kw_only=True)
class Line:
    """An image, and what each method made of it."""

    number: int
    cells: Sequence[Look | None]  # None as long as it is not done

    @property
    def first(self) -> Look | None:
        """The cell of the first method that is done, if possible one that has the image."""
        done = [cell for cell in self.cells if cell]
        return next((cell for cell in done if cell.query), next(iter(done), None))

    @property
    def coloured(self) -> bool:
        """Whether a change is of more than light."""
        return any(cell.coloured for cell in self.cells if cell)

    @property
    def scale(self) -> float | None:
        """The change that is drawn in full colour, the same for all methods."""
        return next((cell.scale for cell in self.cells if cell and cell.scale), None)


@final
class Tally:
    """The figures of a method, gathered line by line."""

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
        self.cells: list[tuple[Row, float | None]] = []  # of those that are done, the change

    def count(self, status: str) -> int:
        """The number of rows with a status."""
        return sum(row.status == status for row, _ in self.cells)

    @property
    def figures(self) -> tuple[str, str, str]:
        """Medians: the change of the found rows; evaluations and seconds of the searched ones."""
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
    ids = tallies[0].run.ids
    size = max(8, PICTURES_A_PAGE // (2 * len(runs) + 1))
    names = ["comparison.html", *(f"comparison-{n}.html" for n in range(2, -(-len(ids) // size) + 1))]
    common = {
        "name": folder.name,
        "asked": question(tallies[0].run.config, "data", "target", "confidence", "seed"),
        "images": len(ids),
        "tallies": tallies,
        "effects": region_effects(runs),
        "names": names,
        "several": len({tally.classifier for tally in tallies}) > 1,
    }
    lines = _lines(tallies)
    with writing(folder):
        first = [*islice(lines, size)]
        for number, name in enumerate(names[1:], 1):
            values = common | {"number": number, "lines": [*islice(lines, size)]}
            write_whole(folder / name, render("comparison.html", values).encode())
        # The first page last: it has the figures of all, and when it exists, all of them do.
        write_whole(folder / names[0], render("comparison.html", common | {"number": 0, "lines": first}).encode())
    return folder / names[0]


def _lines(tallies: Sequence[Tally]) -> Iterator[Line]:
    """The images in their order, a line at a time in memory."""
    ids = tallies[0].run.ids
    for number, rows in enumerate(zip(*(_in_place(tally.run, ids) for tally in tallies), strict=True), 1):
        cells = _cells(rows, [tally.run for tally in tallies])
        for tally, cell in zip(tallies, cells, strict=True):
            if cell:
                tally.cells.append((cell.row, cell.change))
        yield Line(number=number, cells=cells)


def _in_place(run: Run, ids: Sequence[str]) -> Iterator[Row | None]:
    """The run's row for each image, or None where there is none yet."""
    rows = run.rows()
    ahead = next(rows, None)
    for image in ids:
        if ahead is None or ahead.id != image:
            yield None
        else:
            yield ahead
            ahead = next(rows, None)


def _cells(rows: Sequence[Row | None], runs: Sequence[Run]) -> list[Look | None]:
    """The rows of an image; the change of each is drawn on the scale of the largest."""
    pairs = list(zip(rows, runs, strict=True))
    scale = max((_scale(row, run) for row, run in pairs if row), default=0.0) or None
    cells: list[Look | None] = []
    for row, run in pairs:
        classes = [str(name) for name in run.config.get("classes") or []]
        with run.reading(row.id if row else ""):
            cells.append(row and look(row, classes, inside, side=MEDIUM, scale=scale))
    return cells


def _scale(row: Row, run: Run) -> float:
    """The largest change of a row, or 0 if it has no pictures of the same shape."""
    with run.reading(row.id):
        pair = same_shape(row.query, row.image)
    return difference_scale(*pair) if pair else 0.0
