"""Small tables with bars: what methods say of regions and attributes, of a row and of a whole run."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard, final

from rather.runs.store import Row

SHOWN: Final = 8  # bars of a panel at most
FIRST: Final = 5  # attributes of a row that count as its reasons
TARGETS: Final = 4  # of a run that get a panel of their own at most
LAYOUT: Final = "layout"
_OFTEN: Final = "attributes_in_references"
_CLASSES: Final = 4  # whose frequencies stand beside an attribute at most
_WHOLE: Final = 1.01  # shares are rounded, and so is their sum
_NONE: Final = "\N{EN DASH}"


@final
@dataclass(frozen=True, kw_only=True)
class Measure:
    """A name, a bar, and what stands beside it."""

    name: str
    value: float  # in [0, 1], or in [-1, 1] where the panel is signed
    cells: Sequence[str]


@final
@dataclass(frozen=True, kw_only=True)
class Panel:
    """What is drawn of some named numbers."""

    title: tuple[str, str, str]  # the middle one is the name of a class, or nothing
    heads: Sequence[str]  # of the names, and of each cell
    signed: bool
    measures: Sequence[Measure]
    note: str = ""
    picture: str | None = None  # of the row, that belongs beside it


def panels(info: Mapping[str, Any]) -> tuple[list[Panel], dict[str, Any]]:
    """The panels of a row's info, and the info that are in none: somebody else's of the same name."""
    rest = dict(info)
    regions = _region_panel(info.get("regions"))
    attributes, often = _attribute_panel(info.get("attributes"), info.get(_OFTEN))
    for name, drawn in (("regions", regions), ("attributes", attributes), (_OFTEN, often)):
        if drawn:
            del rest[name]
    return [panel for panel in (regions, attributes) if panel], rest


def summary(rows: Iterable[Row]) -> list[Panel]:
    """What the found rows of a run say together: which regions and attributes the classifier goes by.

    The attributes are told for each target apart, those with most rows first: what makes a face older and
    what makes it younger would cancel out.
    """
    regions: list[Mapping[str, float]] = []
    attributes = defaultdict[str, list[Mapping[str, float]]](list)
    for row in rows:
        if row.status != "found":
            continue
        if by_region := _regions(row.info.get("regions")):
            regions.append({name: change for name, (change, _) in by_region.items()})
        if by_attribute := _attributes(row.info.get("attributes")):
            attributes[row.target or "?"].append(by_attribute)
    largest = sorted(attributes, key=lambda target: -len(attributes[target]))[:TARGETS]
    return [
        *([_regions_of_all(regions)] if regions else []),
        *(_attributes_of_all(target, attributes[target]) for target in largest),
    ]


def _region_panel(regions: Any) -> Panel | None:
    """Where the change is and how far each region's style moved, or None of what is no such fact."""
    told = _regions(regions)
    if not told:
        return None
    measures = [
        Measure(name=name, value=change, cells=(_percent(change), f"{style:.2g}"))
        for name, (change, style) in told.items()
    ]
    return Panel(
        title=("Where the picture changed, and how far each region's style moved", "", ""),
        heads=("region", "of all change", "style moved"),
        signed=False,
        measures=_with_others(measures),
        picture=LAYOUT,
    )


def _attribute_panel(attributes: Any, often: Any = None) -> tuple[Panel | None, bool]:
    """How attributes changed, and whether their frequencies are told in it; or None of what is no such fact.

    Args:
        attributes: the signed change of each.
        often: of each, and of each class, the share of the reference pictures that have it.
    """
    told = _attributes(attributes)
    if not told:
        return None, False
    most = list(told)[:SHOWN]
    shares = _frequencies(often, most)
    measures = [
        Measure(
            name=name, value=told[name], cells=(_change(told[name]), *((shares.get(name, _NONE),) if shares else ()))
        )
        for name in most
    ]
    more = len(told) - len(most)
    panel = Panel(
        title=("How its attributes changed", "", ""),
        heads=("attribute", "change", *(("reference pictures that have it, by class",) if shares else ())),
        signed=True,
        measures=measures,
        note=f"{more:,} more changed less." if more else "",
    )
    return panel, bool(shares)


def _regions_of_all(rows: Sequence[Mapping[str, float]]) -> Panel:
    means = _means(rows)
    images = _counts(rows)
    measures = [
        Measure(name=name, value=means[name], cells=(_percent(means[name]), f"{images[name]:,}"))
        for name in sorted(means, key=lambda name: -means[name])
    ]
    return Panel(
        title=(f"Where the change is, mean of {_images(len(rows))}", "", ""),
        heads=("region", "of all change", "images with it"),
        signed=False,
        measures=_with_others(measures),
    )


def _attributes_of_all(target: str, rows: Sequence[Mapping[str, float]]) -> Panel:
    means = _means(rows)
    reasons = _counts([list(row)[:FIRST] for row in rows])
    most = sorted(means, key=lambda name: -abs(means[name]))[:SHOWN]
    return Panel(
        title=("What changes towards", target, f"mean of {_images(len(rows))}"),
        heads=("attribute", "change", f"in the first {FIRST}"),
        signed=True,
        measures=[
            Measure(name=name, value=means[name], cells=(_change(means[name]), _percent(reasons[name] / len(rows))))
            for name in most
        ],
        note="An attribute that an image does not name counts as unchanged in it.",
    )


def _images(count: int) -> str:
    return f"{count:,} found {'image' if count == 1 else 'images'}"


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over all rows; what a row does not name is 0 in it."""
    sums = defaultdict[str, float](float)
    for row in rows:
        for name, value in row.items():
            sums[name] += value
    return {name: value / len(rows) for name, value in sums.items()}


def _counts(rows: Iterable[Iterable[str]]) -> dict[str, int]:
    """In how many rows each name is."""
    counts = defaultdict[str, int](int)
    for row in rows:
        for name in row:
            counts[name] += 1
    return counts


def _with_others(measures: Sequence[Measure]) -> list[Measure]:
    """The first, and all others as one."""
    first, rest = measures[:SHOWN], measures[SHOWN:]
    if not rest:
        return [*first]
    value = min(math.fsum(each.value for each in rest), 1.0)
    return [*first, Measure(name=f"{len(rest):,} others", value=value, cells=(_percent(value), _NONE))]


def _regions(told: Any) -> dict[str, tuple[float, float]] | None:
    """Of each region its share of the change and how far its style moved, the largest share first."""
    if not isinstance(told, Mapping):
        return None
    regions: dict[str, tuple[float, float]] = {}
    for name, values in told.items():
        if not isinstance(values, Mapping) or values.keys() != {"style", "change"}:
            return None
        change, style = values["change"], values["style"]
        if not _within(change, 0, 1) or not _within(style, 0, sys.float_info.max):
            return None
        regions[str(name)] = change, style
    if math.fsum(change for change, _ in regions.values()) > _WHOLE:
        return None
    return dict(sorted(regions.items(), key=lambda item: -item[1][0]))


def _attributes(told: Any) -> dict[str, float] | None:
    """Of each attribute its signed change, the largest first."""
    if not isinstance(told, Mapping) or not all(_within(change, -1, 1) for change in told.values()):
        return None
    return dict(sorted(((str(name), told[name]) for name in told), key=lambda item: -abs(item[1])))


def _frequencies(told: Any, names: Sequence[str]) -> dict[str, str]:
    """Of each attribute how often pictures of a class have it, in words; nothing unless it is all of that."""
    if not isinstance(told, Mapping) or not told.keys() <= {*names}:
        return {}
    for shares in told.values():
        if not isinstance(shares, Mapping) or not 0 < len(shares) <= _CLASSES:
            return {}
        if not all(_within(share, 0, 1) for share in shares.values()):
            return {}
    return {
        str(name): ", ".join(f"{of}\N{NO-BREAK SPACE}{_percent(share)}" for of, share in shares.items())
        for name, shares in told.items()
    }


def _within(value: Any, low: float, high: float) -> TypeGuard[float]:
    """Whether it is a number between these; NaN is not, nor is what no float can hold."""
    return type(value) in (int, float) and low <= value <= high


def _percent(share: float) -> str:
    r"""A share, which unlike a probability may be nothing or all.

    >>> [_percent(share) for share in (0, 0.001, 0.12, 0.999, 1)]
    ['0\u202f%', '<1\u202f%', '12\u202f%', '>99\u202f%', '100\u202f%']
    """
    percent = 100 * share
    text = "<1" if 0 < percent < 0.5 else ">99" if 99.5 < percent < 100 else f"{percent:.0f}"  # noqa: PLR2004 - what no whole number can say
    return f"{text}\N{NARROW NO-BREAK SPACE}%"


def _change(value: float) -> str:
    r"""A signed change.

    >>> [_change(value) for value in (0.62, -0.3, -0.001)]
    ['+0.62', '\u22120.30', '0.00']
    """
    text = f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
    return text if round(value, 2) else text[1:]
