"""Drawings of a benchmark's estimates: rankings with intervals, and fronts; places on the page, no pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from rather.bench.results import Estimate
from rather.bench.tables import figure, interval, number
from rather.metrics import METRICS, Metric

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
    title: str
    mark: str  # best, tied or other


@final
@dataclass(frozen=True, kw_only=True)
class Ranking:
    """All methods by one metric, the best first."""

    title: str
    what: str
    bars: Sequence[Bar]
    ends: tuple[str, str]  # what the axis says at both ends
    height: int


def ranking(estimates: Sequence[Estimate]) -> Ranking:
    """A drawing of one metric's estimates of one task."""
    metric = METRICS[estimates[0].metric]
    ends = [end for f in estimates for end in (f.value, f.low, f.high) if math.isfinite(end)]
    axis = _Axis.of(ends, LEFT, RIGHT)
    ordered = sorted(estimates, key=lambda f: f.value, reverse=metric.higher_is_better)
    bars = [
        Bar(
            name=_short(f.method),
            y=LINE * (n + 0.5),
            x=axis.place(f.value),
            low=axis.place(f.low),
            high=axis.place(f.high),
            title=f"{f.method}: {figure(f)} ({interval(f)})",
            mark="best" if f.best else "tied" if f.tied else "other",
        )
        for n, f in enumerate(ordered)
    ]
    return Ranking(
        title=f"{metric.title} {'↑' if metric.higher_is_better else '↓'}",
        what=metric.explained,
        bars=bars,
        ends=(number(axis.low, metric), number(axis.high, metric)),
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
    title: str


@final
@dataclass(frozen=True, kw_only=True)
class Front:
    """Two metrics against each other, and the methods that no other one beats in both."""

    across: str
    up: str
    points: Sequence[Point]
    line: str  # of an SVG path
    across_ends: tuple[str, str]
    up_ends: tuple[str, str]
    width: int = _WIDE
    height: int = _HIGH
    edge: int = _EDGE


def front(across: Sequence[Estimate], up: Sequence[Estimate]) -> Front | None:
    """A drawing of two metrics of the same task; None of fewer than two methods that have both."""
    first, second = ({f.method: f for f in some} for some in (across, up))
    both = [name for name in first if name in second]
    if len(both) < 2:  # noqa: PLR2004 - a front is of several
        return None
    metrics = METRICS[across[0].metric], METRICS[up[0].metric]
    x = _Axis.of([first[name].value for name in both], _EDGE + 12, _WIDE - 12)
    y = _Axis.of([second[name].value for name in both], _HIGH - _EDGE - 12, 12)
    signs = [1 if one.higher_is_better else -1 for one in metrics]

    def beaten(name: str) -> bool:
        own = signs[0] * first[name].value, signs[1] * second[name].value
        others = [(signs[0] * first[one].value, signs[1] * second[one].value) for one in both]
        return any(a >= own[0] and b >= own[1] and (a, b) != own for a, b in others)

    points = [
        Point(
            name=_short(name),
            x=x.place(first[name].value),
            y=y.place(second[name].value),
            on_front=not beaten(name),
            left=x.place(first[name].value) > _WIDE * 0.65,
            title=f"{name}: {figure(first[name])}, {figure(second[name])}",
        )
        for name in both
    ]
    best = sorted((point.x, point.y) for point in points if point.on_front)
    return Front(
        across=_head(metrics[0], logarithmic=x.logarithmic),
        up=_head(metrics[1], logarithmic=y.logarithmic),
        points=points,
        line="M" + "L".join(f"{a:g} {b:g}" for a, b in best),
        across_ends=(number(x.low, metrics[0]), number(x.high, metrics[0])),
        up_ends=(number(y.low, metrics[1]), number(y.high, metrics[1])),
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


def _head(metric: Metric, *, logarithmic: bool) -> str:
    return f"{metric.title}, {metric.better} is better" + (", logarithmic" if logarithmic else "")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
