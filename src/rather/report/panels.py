"""Small tables with bars: the regions and attributes that changed, in a row and in a whole run."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from rather.report import info as drawable
from rather.runs.store import Row

SHOWN: Final = 8  # bars of a panel at most
FIRST: Final = 5  # attributes of a row that count as its reasons
TARGETS: Final = 4  # of a run that have a panel of their own at most
LAYOUT: Final = "layout"
_OFTEN: Final = "attributes_in_references"
_NONE: Final = "\N{EN DASH}"


@final
@dataclass(frozen=True, kw_only=True)
class Measure:
    """A name, a bar, and the cells next to it."""

    name: str
    value: float  # in [0, 1], or in [-1, 1] if the panel is signed
    cells: Sequence[str]


@final
@dataclass(frozen=True, kw_only=True)
class Panel:
    """A table of named numbers."""

    title: tuple[str, str, str]  # the middle one is the name of a class, or nothing
    heads: Sequence[str]  # of the names, and of each cell
    signed: bool
    measures: Sequence[Measure]
    note: str = ""
    picture: str | None = None  # of the row, to show next to the panel


def panels(info: Mapping[str, Any]) -> tuple[list[Panel], dict[str, Any]]:
    """The panels of a row's info, and the info that they do not show."""
    rest, drawn = dict(info), []
    if regions := drawable.regions(info.get("regions")):
        del rest["regions"]
        measures = [
            Measure(name=name, value=one["change"], cells=(_percent(one["change"]), f"{one['style']:.2g}"))
            for name, one in regions.items()
        ]
        title = "Share of the change in each region, and how far its style moved"
        heads = ("region", "share of the change", "style distance")
        drawn.append(_unsigned((title, "", ""), heads, measures, LAYOUT))
    if attributes := drawable.attributes(info.get("attributes")):
        del rest["attributes"]
        most = list(attributes)[:SHOWN]
        often = drawable.frequencies(info.get(_OFTEN))
        often = often if often.keys() <= {*most} else {}
        if often:
            del rest[_OFTEN]
        cells = {name: [signed(attributes[name]), *([_shares(often, name)] if often else [])] for name in most}
        drawn.append(
            Panel(
                title=("How the method changed the attributes", "", ""),
                heads=("attribute", "change", *(["reference images with it, by class"] if often else [])),
                signed=True,
                measures=[Measure(name=name, value=attributes[name], cells=cells[name]) for name in most],
                note=f"{len(attributes) - SHOWN:,} more changed less." if len(attributes) > SHOWN else "",
            )
        )
    return drawn, rest


def summary(rows: Iterable[Row]) -> list[Panel]:
    """The mean changes of regions and attributes over the found rows of a run.

    Attributes have a panel for each target, those with most rows first: what makes a face older and what makes it
    younger would cancel out.
    """
    by_region: list[Mapping[str, float]] = []
    by_target = defaultdict[str, list[Mapping[str, float]]](list)
    for row in rows:
        if row.status == "found":
            if regions := drawable.regions(row.info.get("regions")):
                by_region.append({name: one["change"] for name, one in regions.items()})
            if attributes := drawable.attributes(row.info.get("attributes")):
                by_target[row.target or "?"].append(attributes)
    largest = sorted(by_target, key=lambda target: -len(by_target[target]))[:TARGETS]
    return [
        *([_regions_of_all(by_region)] if by_region else []),
        *(_attributes_of_all(target, by_target[target]) for target in largest),
    ]


def _regions_of_all(rows: Sequence[Mapping[str, float]]) -> Panel:
    means, images = _means(rows), Counter(name for row in rows for name in row)
    measures = [
        Measure(name=name, value=means[name], cells=(_percent(means[name]), f"{images[name]:,}"))
        for name in sorted(means, key=lambda name: -means[name])
    ]
    title = f"Share of the change in each region, mean of {_images(len(rows))}"
    return _unsigned((title, "", ""), ("region", "share of the change", "images with it"), measures)


def _attributes_of_all(target: str, rows: Sequence[Mapping[str, float]]) -> Panel:
    means, reasons = _means(rows), Counter(name for row in rows for name in list(row)[:FIRST])
    most = sorted(means, key=lambda name: -abs(means[name]))[:SHOWN]
    return Panel(
        title=("Change of the attributes towards", target, f"mean of {_images(len(rows))}"),
        heads=("attribute", "change", f"among the {FIRST} largest"),
        signed=True,
        measures=[
            Measure(name=name, value=means[name], cells=(signed(means[name]), _percent(reasons[name] / len(rows))))
            for name in most
        ],
        note="An attribute that an image does not list counts as unchanged.",
    )


def _unsigned(
    title: tuple[str, str, str], heads: Sequence[str], measures: Sequence[Measure], shown: str | None = None
) -> Panel:
    """A panel of the first measures, and of all others as one."""
    first, rest = [*measures[:SHOWN]], measures[SHOWN:]
    if rest:
        value = min(math.fsum(each.value for each in rest), 1.0)
        first.append(Measure(name=f"{len(rest):,} others", value=value, cells=(_percent(value), _NONE)))
    return Panel(title=title, heads=heads, signed=False, measures=first, picture=shown)


def _images(count: int) -> str:
    return f"{count:,} found {'image' if count == 1 else 'images'}"


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over all rows; a name that a row does not have counts as 0."""
    sums = defaultdict[str, float](float)
    for row in rows:
        for name, value in row.items():
            sums[name] += value
    return {name: value / len(rows) for name, value in sums.items()}


def _shares(often: Mapping[str, Mapping[str, float]], name: str) -> str:
    return ", ".join(f"{of}\N{NO-BREAK SPACE}{_percent(share)}" for of, share in often.get(name, {}).items()) or _NONE


def _percent(share: float) -> str:
    r"""A share, which unlike a probability may be nothing or all.

    >>> [_percent(share) for share in (0, 0.001, 0.12, 0.999, 1)]
    ['0\u202f%', '<1\u202f%', '12\u202f%', '>99\u202f%', '100\u202f%']
    """
    percent = 100 * share
    text = "<1" if 0 < percent < 0.5 else ">99" if 99.5 < percent < 100 else f"{percent:.0f}"  # noqa: PLR2004 - what no whole number can say
    return f"{text}\N{NARROW NO-BREAK SPACE}%"


def signed(value: float) -> str:
    r"""A number with its sign, but no sign on zero.

    >>> [signed(value) for value in (0.62, -0.3, -0.001)]
    ['+0.62', '\u22120.30', '0.00']
    """
    text = f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
    return text if round(value, 2) else text[1:]
