"""Small line charts: from a row's info in the store to what a template draws, with no classifier asked."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeGuard, final

LEFT, RIGHT, TOP, BOTTOM = 44, 292, 8, 122  # where card.html draws the axes, on 300 x 144 CSS pixels
LINES: Final = 4  # of a chart at most: more cannot be told apart
SERIES: Final = ("confidence", "bin", "counterfactual_bin")  # info that are one chart
_DOTTED: Final = 16  # longer lines go without a dot at each point
_STEPS: Final = (1, 2, 5)  # round numbers


@final
@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a chart, and the fainter ones that it is the sum of."""

    name: str
    d: str  # of an SVG path
    dots: str
    members: Sequence[str]


@final
@dataclass(frozen=True, kw_only=True)
class Mark:
    """A place of a chart to look at."""

    name: str
    x: float
    y: float


@final
@dataclass(frozen=True, kw_only=True)
class Chart:
    """What is drawn of some series of numbers."""

    title: tuple[str, str, str]  # the middle one is the name of a class, or nothing
    lines: Sequence[Line]
    ticks: Sequence[tuple[float, str]]  # where, from the top, and what it says
    below: tuple[str, str, str]  # at the left end, in the middle, at the right end
    alt: str
    marks: Sequence[Mark] = ()

    @property
    def members(self) -> int:
        """Of the line that has most."""
        return max(len(line.members) for line in self.lines)


def charts(curves: Any, target: str, end: str) -> tuple[list[Chart], Any]:
    """The charts of a row's `curves`, and what of them is none: why there is none, or somebody else's info.

    Args:
        curves: of the store, see `latents.curves.diagnose`; anything else is not drawn.
        target: the name of the class whose probabilities they are.
        end: what the search ended in.
    """
    if not isinstance(curves, Mapping):
        return [], curves
    rest, drawn = dict(curves), []
    path, between = rest.get("search path"), rest.get("interpolation")
    if isinstance(path, Mapping):
        steps = ("start", "frames of the search path", "end")
        made = [
            _chart(("Probability of", target, "along the search"), {"the classifier": path.get("probability")}, steps),
            _chart(("Uncertainty along the search, in nats", "", ""), path.get("uncertainty"), steps, top=None),
        ]
        drawn += [chart for chart in made if chart]
        if any(made):
            del rest["search path"]
    if isinstance(between, Mapping):
        ends = ("image, t = 0", "", f"{end}, t = 1")
        chart = _chart(("Probability of", target, "along the interpolation"), between, ends)
        if chart:
            drawn.append(chart)
            del rest["interpolation"]
    return drawn, rest


def confidence_chart(info: Mapping[str, Any], target: str, end: str) -> Chart | None:
    """How sure of the target the classifier is in each bin of `exaggeration`, or None of other info.

    Args:
        info: of the row, with all of `SERIES`.
        target: the name of the class whose probabilities they are.
        end: what the search ended in.
    """
    values = info.get("confidence")
    if not _is_line(values) or max(values) > 1:
        return None
    title = ("Probability of", target, "in each bin")
    chart = _chart(title, {"the classifier": values}, ("bin 0", "", f"bin {len(values) - 1}"))
    points, marks = _points(values, 1), []
    for what, key in (("the image's own", "bin"), (f"the {end}", "counterfactual_bin")):
        n = info.get(key)
        if type(n) is not int or not 0 <= n < len(values):
            return None
        marks.append(Mark(name=f"{what}, bin {n}", x=points[n][0], y=points[n][1]))
    return chart and replace(chart, marks=marks, alt="; ".join([chart.alt, *(mark.name for mark in marks)]))


def _chart(
    title: tuple[str, str, str], told: Any, below: tuple[str, str, str], top: float | None = 1.0
) -> Chart | None:
    """A chart of what holds series of numbers by name; of probabilities, or as high as need be."""
    if not isinstance(told, Mapping):
        return None
    series = {str(name): one for name, value in told.items() if (one := _series(value))}
    series = dict(list(series.items())[:LINES])
    if not series:
        return None
    high = top or _round_up(max(max(values) for values, _ in series.values()))
    ticks = [(_y(share, 1), f"{share:.0%}" if top else f"{share * high:.2g}") for share in (0, 0.5, 1)]
    lines = [
        Line(
            name=name,
            d=_path(values, high),
            dots=_dots(values, high) if len(values) <= _DOTTED else "",
            members=[_path(member, high) for member in members],
        )
        for name, (values, members) in series.items()
    ]
    numbers = (
        f"{name}: " + ", ".join(f"{value:.0%}" if top else f"{value:.2g}" for value in values)
        for name, (values, _) in series.items()
    )
    words = " ".join(part for part in title if part)
    return Chart(title=title, lines=lines, ticks=ticks, below=below, alt=f"{words}. {'; '.join(numbers)}")


def _series(value: Any) -> tuple[list[float], list[list[float]]] | None:
    """A line and its members, if that is what it is."""
    told = value if isinstance(value, Mapping) else {"together": value}
    line, members = told.get("together"), told.get("members", [])
    if not _is_line(line) or not isinstance(members, list) or not all(map(_is_line, members)):
        return None
    return line, members


def _is_line(value: Any) -> TypeGuard[list[float]]:
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(type(one) in (int, float) and 0 <= one <= sys.float_info.max for one in value)
    )


def _round_up(value: float) -> float:
    """The next round number, at least a tenth: less than that is no uncertainty to speak of.

    >>> [_round_up(v) for v in (0, 0.12, 0.69, 1.0, 2.3)]
    [0.1, 0.2, 1.0, 1.0, 5.0]
    """
    power = 10.0 ** math.floor(math.log10(max(value, 0.1)) + 1e-9)
    return next((round(n * power, 9) for n in _STEPS if n * power >= value - 1e-9), 10 * power)


def _points(values: Sequence[float], high: float) -> list[tuple[float, float]]:
    last = len(values) - 1
    return [(round(LEFT + (RIGHT - LEFT) * n / last, 1), _y(min(value, high), high)) for n, value in enumerate(values)]


def _y(value: float, high: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * value / high, 1)


def _path(values: Sequence[float], high: float) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in _points(values, high))


def _dots(values: Sequence[float], high: float) -> str:
    return "".join(f"M{x:g} {y:g}h0" for x, y in _points(values, high))
