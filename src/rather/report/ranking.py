"""Drawings of a benchmark's figures: rankings with intervals, and fronts; places on the page, no pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from rather.bench.figures import Figure
from rather.bench.measures import MEASURES
from rather.bench.tables import interval, number

LEFT, RIGHT, LINE = 118, 316, 20  # of a ranking, in CSS pixels: where its axis is, and how high a line is
_WIDE, _HIGH, _EDGE = 430, 300, 46  # of a front
_DECADE: Final = 20.0  # from the smallest to the largest: more is drawn on a logarithmic axis
_LONGEST: Final = 17  # letters of a name in a drawing


@final
@dataclass(frozen=True, kw_only=True)
class Bar:
    """A method's line of a ranking."""

    name: str
    y: float
    x: float
    low: float
    high: float
    told: str
    mark: str  # best, tied or other


@final
@dataclass(frozen=True, kw_only=True)
class Ranking:
    """All methods by one measure, the best first."""

    title: str
    what: str
    bars: Sequence[Bar]
    ends: tuple[str, str]  # what the axis says at both ends
    height: int


def ranking(figures: Sequence[Figure]) -> Ranking:
    """A drawing of one measure's figures of one task."""
    measure = MEASURES[figures[0].measure]
    ends = [end for f in figures for end in (f.value, f.low, f.high) if math.isfinite(end)]
    axis = _Axis.of(ends, LEFT, RIGHT)
    ordered = sorted(figures, key=lambda f: f.value, reverse=measure.higher_is_better)
    bars = [
        Bar(
            name=_short(f.method),
            y=LINE * (n + 0.5),
            x=axis.place(f.value),
            low=axis.place(f.low),
            high=axis.place(f.high),
            told=f"{f.method}: {number(f.value, measure)} ({interval(f)})",
            mark="best" if f.best else "tied" if f.tied else "other",
        )
        for n, f in enumerate(ordered)
    ]
    return Ranking(
        title=f"{measure.title} {'↑' if measure.higher_is_better else '↓'}",
        what=measure.what,
        bars=bars,
        ends=(number(axis.low, measure), number(axis.high, measure)),
        height=LINE * len(bars) + 18,
    )


@final
@dataclass(frozen=True, kw_only=True)
class Point:
    """A method of a front."""

    name: str
    x: float
    y: float
    on_front: bool
    left: bool  # of its point stands the name
    told: str


@final
@dataclass(frozen=True, kw_only=True)
class Front:
    """Two measures against each other, and the methods that no other one beats in both."""

    across: str
    up: str
    points: Sequence[Point]
    line: str  # of an SVG path
    across_ends: tuple[str, str]
    up_ends: tuple[str, str]
    width: int = _WIDE
    height: int = _HIGH
    edge: int = _EDGE


def front(across: Sequence[Figure], up: Sequence[Figure]) -> Front | None:
    """A drawing of two measures of the same task; None of fewer than two methods that have both."""
    first, second = ({f.method: f for f in some} for some in (across, up))
    both = [name for name in first if name in second]
    if len(both) < 2:  # noqa: PLR2004 - a front is of several
        return None
    measures = MEASURES[across[0].measure], MEASURES[up[0].measure]
    x = _Axis.of([first[name].value for name in both], _EDGE + 12, _WIDE - 12)
    y = _Axis.of([second[name].value for name in both], _HIGH - _EDGE - 12, 12)
    signs = [1 if measure.higher_is_better else -1 for measure in measures]

    def beaten(name: str) -> bool:
        mine = signs[0] * first[name].value, signs[1] * second[name].value
        others = [(signs[0] * first[one].value, signs[1] * second[one].value) for one in both]
        return any(a >= mine[0] and b >= mine[1] and (a, b) != mine for a, b in others)

    points = [
        Point(
            name=_short(name),
            x=x.place(first[name].value),
            y=y.place(second[name].value),
            on_front=not beaten(name),
            left=x.place(first[name].value) > _WIDE * 0.65,
            told=": ".join([name, _told(first[name], second[name])]),
        )
        for name in both
    ]
    best = sorted((point.x, point.y) for point in points if point.on_front)
    return Front(
        across=_head(across[0].measure, logarithmic=x.logarithmic),
        up=_head(up[0].measure, logarithmic=y.logarithmic),
        points=points,
        line="M" + "L".join(f"{a:g} {b:g}" for a, b in best),
        across_ends=(number(x.low, measures[0]), number(x.high, measures[0])),
        up_ends=(number(y.low, measures[1]), number(y.high, measures[1])),
    )


@final
@dataclass(frozen=True)
class _Axis:
    """From a value to its place."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        low, high = min(values), max(values)
        return cls(low, high, start, end, logarithmic=low > 0 and high / low > _DECADE)

    def place(self, value: float) -> float:
        if not math.isfinite(value) or self.high == self.low:
            return (self.start + self.end) / 2
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return round(self.start + (self.end - self.start) * (at - low) / (high - low), 1)


def _head(name: str, *, logarithmic: bool) -> str:
    measure = MEASURES[name]
    return f"{measure.title}, {'higher' if measure.higher_is_better else 'lower'} is better" + (
        ", logarithmic" if logarithmic else ""
    )


def _told(*figures: Figure) -> str:
    return ", ".join(number(figure.value, MEASURES[figure.measure]) for figure in figures)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
