"""The report: a run as an HTML page that opens from disk, with its pictures beside it or inside.

It is a function of the store alone. What a run holds is somebody's text (names of files, classes, methods,
info): the templates escape all of it, a content security policy allows our own style and script and nothing
else, and no page asks for anything beyond its own folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final, final

from rather import __version__
from rather.config.errors import RatherError
from rather.io.writing import write_whole, writing
from rather.report.cards import NARROW, SMALL, Card, Picture, Place, card, percent, picture, plain, words
from rather.report.html import environment, inside, policy
from rather.report.panels import summary
from rather.runs.store import STATUSES, Row, Run

ROWS_IN_ONE_FILE: Final = 50
ROWS_A_PAGE: Final = 100
TILES: Final = 24  # more pairs than this are listed without pictures
_MADE: Final = b'<footer class="end"><p>Made by rather '  # stands in each page


@final
@dataclass(frozen=True, eq=False)
class Pair:
    """The cards of one predicted class and one target."""

    number: int
    cards: Sequence[Card]
    page: str  # the file that it begins on
    tile: Picture | None  # of the first of them, unless there are too many pairs for pictures

    @property
    def first(self) -> Card:
        """One of them, to name the classes."""
        return self.cards[0]

    @property
    def found(self) -> int:
        """How many counterfactuals."""
        return sum(card.row.status == "found" for card in self.cards)


def write_report(run: Run, out: Path | None = None, *, single_file: bool | None = None) -> Path:
    """Write a run's report and return the page to open.

    Args:
        run: what to report; finished or not.
        out: the folder to write to, by default the run's own: `report.html`, or `report/index.html` with
            its other pages and `assets/` beside it.
        single_file: one file with the pictures inside, all rows on one page; by default for up to 50 rows.

    Raises:
        RatherError: the folder cannot be written, or the run cannot be read.
    """
    folder = out or run.folder
    if single_file is None:
        single_file = sum(run.counts().values()) <= ROWS_IN_ONE_FILE
    with writing(folder):
        if single_file:
            (page,) = _pages(run, inside, "report.html", rows_a_page=None)
            write_whole(folder / "report.html", page[1].encode())
            _remove(folder / "report" / "index.html")
            return folder / "report.html"
        assets = folder / "report" / "assets"
        assets.mkdir(parents=True, exist_ok=True)

        def beside(name: str, data: bytes) -> str:
            # Not fsynced one by one: the pages come after them, and all of it can be made again.
            (assets / name).write_bytes(data)
            return f"assets/{name}"

        for name, text in _pages(run, beside, "index.html", rows_a_page=ROWS_A_PAGE):
            write_whole(assets.parent / name, text.encode())
        _remove(folder / "report.html")
        return assets.parent / "index.html"


def _remove(page: Path) -> None:
    """A report of the other form tells of the run as it was. Only a page that we made is removed."""
    if not page.is_file() or _MADE not in page.read_bytes():
        return
    page.unlink()
    if page.name == "index.html":
        for file in [*page.parent.glob("page-*.html"), *page.parent.glob("assets/*.png")]:
            file.unlink()
        with contextlib.suppress(OSError):  # somebody's own files are there
            (page.parent / "assets").rmdir()
            page.parent.rmdir()


def _pages(run: Run, place: Place, first: str, rows_a_page: int | None) -> Iterator[tuple[str, str]]:
    """Name and text of each page, the first one last: when it is there, all of them are."""
    classes = [str(name) for name in run.config.get("classes") or []]
    cards, others = _read(run, classes, place)
    size = rows_a_page or max(len(cards), 1)
    names = [first, *(f"page-{n}.html" for n in range(2, -(-len(cards) // size) + 1))]
    pairs = _pairs(cards, classes, names, size, place)
    rows = [*others, *(card.row for card in cards)]
    in_order = [(pair, card) for pair in pairs for card in pair.cards]
    counts = {status: sum(row.status == status for row in rows) for status in STATUSES}
    templates = environment()
    template = templates.get_template("report.html")
    common = {
        "version": __version__,
        "name": run.folder.name,
        "told": dict(_told(run.config)),
        "settings": [(words(key), plain(value)) for key, value in _flat(run.config)],
        "counts": counts,
        "asked": len(run.ids),
        "pending": len(run.ids) - len(rows),
        "figures": list(_figures(cards)),
        "panels": summary(card.row for card in cards),
        "coloured": any(card.coloured for card in cards),
        "others": others,
        "pairs": pairs,
        "names": names,
        "policy": policy(templates, "report.css"),
    }
    for n in reversed(range(len(names))):
        shown = in_order[n * size : (n + 1) * size]
        groups = [(pair, [card for _, card in group]) for pair, group in groupby(shown, itemgetter(0))]
        yield names[n], template.render(common, number=n, groups=groups)


def _read(run: Run, classes: Sequence[str], place: Place) -> tuple[list[Card], list[Row]]:
    """The cards of what was searched for, and the rows of what was not; no picture stays in memory."""
    cards, others = [], []
    for row in run.rows():
        if row.status in {"found", "not_found"} and row.query and row.image:
            try:
                cards.append(card(row, classes, place))
            except RatherError as error:
                raise run.damaged(row.id, str(error)) from None
        else:
            others.append(replace(row, query=None, image=None, artifacts={}))
    return cards, others


def _pairs(cards: Sequence[Card], classes: Sequence[str], names: Sequence[str], size: int, place: Place) -> list[Pair]:
    """The cards by what was said and what was asked for, in the order of the classes."""
    rank = {name: n for n, name in enumerate(classes)}

    def key(card: Card) -> tuple[int, str, int, str]:
        said, says = card.predicted.name, card.target.name
        return rank.get(said, len(rank)), said, rank.get(says, len(rank)), says

    groups = [list(group) for _, group in groupby(sorted(cards, key=key), key)]
    pairs: list[Pair] = []
    begin = 0
    for n, group in enumerate(groups):
        tile = None
        if 1 < len(groups) <= TILES:
            put = partial(place, f"pair-{n}.png")
            tile = picture("", "", group[0].tile, SMALL, put)
        pairs.append(Pair(n, group, names[begin // size], tile))
        begin += len(group)
    return pairs


def _figures(cards: Sequence[Card]) -> Iterator[tuple[str, str]]:
    """Figures of the whole run: a number, and what it is."""
    if not cards:
        return
    rows = [card.row for card in cards]
    yield _share([row.status == "found" for row in rows]), "found, on the picture"
    yield f"{median(row.steps for row in rows):,g}", "steps, median"
    yield f"{median(row.evaluations for row in rows):,g}", "evaluations, median"
    yield f"{median(row.seconds for row in rows):.2g} s", "an image, median"
    changes = [card.change for card in cards if card.row.status == "found" and card.change is not None]
    if changes:
        yield percent(fmean(changes)), "mean change, where found"
    edits = [row.info["edits"] for row in rows if isinstance(row.info.get("edits"), int | list)]
    if edits:
        counts = [edit if isinstance(edit, int) else len(edit) for edit in edits]
        yield f"{fmean(counts):.2f}", "edits, mean"
    # What a method claims beyond the picture (a flip in the features, a proof) is told apart from success.
    for name in dict.fromkeys(n for row in rows for n, value in row.info.items() if isinstance(value, bool)):
        told = [row.info[name] for row in rows if isinstance(row.info.get(name), bool)]
        yield _share(told), words(name)


def _share(outcomes: Sequence[bool]) -> str:
    r"""The share of what is true; unlike a probability, it may be all or nothing.

    >>> _share([True, True])
    '100\u202f%'
    """
    return f"{100 * fmean(outcomes):.3g}{NARROW}%"


def _told(question: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was asked, in short: names without their settings."""
    for key in ("classifier", "method", "data", "target", "confidence", "seed"):
        value = question.get(key)
        name = value.get("name") if isinstance(value, Mapping) else value
        if name is not None and (key != "confidence" or name):
            yield key, plain(name)


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}, ")
        else:
            yield f"{above}{key}", value
