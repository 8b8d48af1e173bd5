"""The report: a run as an HTML page that opens from disk, with its pictures inside it or in a folder next to it.

It is made of the store alone. The text of a run (names of files, classes, methods, info) is not trusted: the templates
escape all of it, a content security policy allows only our own style and script, and no page loads anything from
outside its own folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final, final

from rather.hub.methods import list_methods
from rather.io.writing import write_whole, writing
from rather.report.cards import NARROW, SMALL, Card, Picture, Put, card, percent, picture, plain, words
from rather.report.html import inside, question, render
from rather.report.panels import summary
from rather.runs.agreement import agreement_of
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
        """The first card, which names the classes."""
        return self.cards[0]

    @property
    def found(self) -> int:
        """The number of counterfactuals."""
        return sum(card.look.row.status == "found" for card in self.cards)


def write_report(run: Run, out: Path | None = None, *, single_file: bool | None = None) -> Path:
    """Write a run's report and return the page to open.

    Args:
        run: what to report; finished or not.
        out: the folder to write to, by default the run's own: `report.html`, or `report/index.html` with
            its other pages and `assets/` next to it.
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

        def next_to_page(name: str, data: bytes) -> str:
            # Not fsynced one by one: the pages come after them, and all of it can be made again.
            (assets / name).write_bytes(data)
            return f"assets/{name}"

        for name, text in _pages(run, next_to_page, "index.html", rows_a_page=ROWS_A_PAGE):
            write_whole(assets.parent / name, text.encode())
        _remove(folder / "report.html")
        return assets.parent / "index.html"


def _remove(page: Path) -> None:
    """Remove a report of the other form, which shows the run as it was, if this package made it."""
    if not page.is_file() or _MADE not in page.read_bytes():
        return
    page.unlink()
    if page.name == "index.html":
        for file in [*page.parent.glob("page-*.html"), *page.parent.glob("assets/*.png")]:
            file.unlink()
        with contextlib.suppress(OSError):  # it holds other files
            (page.parent / "assets").rmdir()
            page.parent.rmdir()


def _pages(run: Run, place: Put, first: str, rows_a_page: int | None) -> Iterator[tuple[str, str]]:
    """Name and text of each page, the first one last: when it exists, all of them do."""
    classes = [str(name) for name in run.config.get("classes") or []]
    cards, others = _read(run, classes, place)
    size = rows_a_page or max(len(cards), 1)
    names = [first, *(f"page-{n}.html" for n in range(2, -(-len(cards) // size) + 1))]
    pairs = _pairs(cards, classes, names, size, place)
    rows = [*others, *(card.look.row for card in cards)]
    in_order = [(pair, card) for pair in pairs for card in pair.cards]
    agreement = agreement_of(run)
    counts = {status: sum(row.status == status for row in rows) for status in STATUSES}
    common = {
        "name": run.folder.name,
        "asked": question(run.config, "classifier", "method", "data", "target", "confidence", "seed"),
        "method": list_methods().get(str((run.config.get("method") or {}).get("name")), ""),
        "settings": [(words(key), plain(value)) for key, value in _flat(run.config)],
        "counts": counts,
        "notes": [*run.notes, *(agreement.warnings() if agreement else ())],
        "agreement": agreement,
        "images": len(run.ids),
        "pending": len(run.ids) - len(rows),
        "figures": list(_figures(cards)),
        "panels": summary(card.look.row for card in cards),
        "coloured": any(card.look.coloured for card in cards),
        "others": others,
        "pairs": pairs,
        "names": names,
    }
    for n in reversed(range(len(names))):
        shown = in_order[n * size : (n + 1) * size]
        groups = [(pair, [card for _, card in group]) for pair, group in groupby(shown, itemgetter(0))]
        yield names[n], render("report.html", common | {"number": n, "groups": groups})


def _read(run: Run, classes: Sequence[str], place: Put) -> tuple[list[Card], list[Row]]:
    """The cards of the searched rows, and the other rows; no picture stays in memory."""
    cards, others = [], []
    for row in run.rows():
        if row.status in {"found", "not_found"} and row.query and row.image:
            with run.reading(row.id):
                cards.append(card(row, classes, place))
        else:
            others.append(replace(row, query=None, image=None, artifacts={}))
    return cards, others


def _pairs(cards: Sequence[Card], classes: Sequence[str], names: Sequence[str], size: int, place: Put) -> list[Pair]:
    """The cards by predicted class and target, in the order of the classes."""
    rank = {name: n for n, name in enumerate(classes)}

    def key(card: Card) -> tuple[int, str, int, str]:
        predicted, target = card.predicted.name, card.look.target.name
        return rank.get(predicted, len(rank)), predicted, rank.get(target, len(rank)), target

    groups = [list(group) for _, group in groupby(sorted(cards, key=key), key)]
    pairs: list[Pair] = []
    begin = 0
    for n, group in enumerate(groups):
        tile = None
        if 1 < len(groups) <= TILES:
            tile = picture("", "", group[0].tile, SMALL, place, file=f"pair-{n}.png")
        pairs.append(Pair(n, group, names[begin // size], tile))
        begin += len(group)
    return pairs


def _figures(cards: Sequence[Card]) -> Iterator[tuple[str, str]]:
    """Figures of the whole run: a number, and its name."""
    if not cards:
        return
    rows = [card.look.row for card in cards]
    yield _share([row.status == "found" for row in rows]), "found"
    yield f"{median(row.steps for row in rows):,g}", "steps, median"
    yield f"{median(row.evaluations for row in rows):,g}", "classifier evaluations, median"
    yield f"{median(row.seconds for row in rows):.2g} s", "time per image, median"
    looks = (card.look for card in cards)
    changes = [look.change for look in looks if look.row.status == "found" and look.change is not None]
    if changes:
        yield percent(fmean(changes)), "pixel change of the found, mean"
    edits = [row.info["edits"] for row in rows if isinstance(row.info.get("edits"), int | list)]
    if edits:
        counts = [edit if isinstance(edit, int) else len(edit) for edit in edits]
        yield f"{fmean(counts):.2f}", "edits, mean"
    # What a method claims beyond the picture (a flip in the features, a proof) is not success.
    for name in dict.fromkeys(n for row in rows for n, value in row.info.items() if isinstance(value, bool)):
        yield _share([row.info[name] for row in rows if isinstance(row.info.get(name), bool)]), words(name)


def _share(outcomes: Sequence[bool]) -> str:
    r"""The share of true outcomes; unlike a probability, it may be 0 or 1.

    >>> _share([True, True])
    '100\u202f%'
    """
    return f"{100 * fmean(outcomes):.3g}{NARROW}%"


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}, ")
        else:
            yield f"{above}{key}", value
