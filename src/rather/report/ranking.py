"""Drawings of a benchmark's estimates: rankings with intervals, and fronts; the template places them on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from rather.bench.results import Estimate
from rather.bench.tables import number
from rather.metrics import METRICS, Metric

WIDE, HIGH, EDGE = 430, 300, 46  # of a front, in CSS pixels
_DECADE: Final = 20.0  # from the smallest to the largest: more is drawn on a logarithmic axis


@final
@dataclass(frozen=True)
class Axis:
    """From a value of a metric to its place on the page."""

    metric: Metric
    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, metric: Metric, values: Sequence[float], start: float, end: float) -> Axis:
        """From the smallest value to the largest; an end that is not finite is left out."""
        finite = [value for value in values if math.isfinite(value)]
        return cls(metric, min(finite), max(finite), start, end)

    @property
    def logarithmic(self) -> bool:
        """Whether values differ so much that a logarithm is drawn."""
        return self.low > 0 and self.high / self.low > _DECADE

    @property
    def ends(self) -> tuple[str, str]:
        """What it says at both ends."""
        return number(self.low, self.metric), number(self.high, self.metric)

    @property
    def head(self) -> str:
        """What it shows."""
        return f"{self.metric.title}, {self.metric.better} is better{', logarithmic' * self.logarithmic}"

    def place(self, value: float) -> float:
        """Where a value is drawn."""
        if not math.isfinite(value) or self.high == self.low:
            return (self.start + self.end) / 2
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return round(self.start + (self.end - self.start) * (at - low) / (high - low), 1)


@final
@dataclass(frozen=True)
class Ranking:
    """All methods by one metric."""

    axis: Axis
    estimates: Sequence[Estimate]  # the best first


def ranking(estimates: Sequence[Estimate]) -> Ranking:
    """A drawing of one metric's estimates of one task."""
    metric = METRICS[estimates[0].metric]
    ends = [end for one in estimates for end in (one.value, one.low, one.high)]
    ordered = sorted(estimates, key=lambda one: one.value, reverse=metric.higher_is_better)
    return Ranking(Axis.of(metric, ends, 118, 316), ordered)


@final
@dataclass(frozen=True)
class Front:
    """Two metrics against each other, and the methods that no other one beats in both."""

    across: Axis
    up: Axis
    points: Sequence[tuple[Estimate, Estimate]]
    unbeaten: Sequence[str]  # names of methods

    @property
    def line(self) -> str:
        """An SVG path through the unbeaten."""
        places = [
            (self.across.place(x.value), self.up.place(y.value)) for x, y in self.points if x.method in self.unbeaten
        ]
        return "M" + "L".join(f"{x:g} {y:g}" for x, y in sorted(places))


def front(across: Sequence[Estimate], up: Sequence[Estimate]) -> Front | None:
    """A drawing of two metrics of the same task; None of fewer than two methods that have both."""
    second = {one.method: one for one in up}
    points = [(one, second[one.method]) for one in across if one.method in second]
    if len(points) < 2:  # noqa: PLR2004 - a front is of several
        return None
    metrics = [METRICS[one.metric] for one in points[0]]
    signs = [1 if metric.higher_is_better else -1 for metric in metrics]
    worth = {x.method: (signs[0] * x.value, signs[1] * y.value) for x, y in points}

    def beaten(own: tuple[float, float]) -> bool:
        return any(a >= own[0] and b >= own[1] and (a, b) != own for a, b in worth.values())

    return Front(
        Axis.of(metrics[0], [x.value for x, _ in points], EDGE + 12, WIDE - 12),
        Axis.of(metrics[1], [y.value for _, y in points], HIGH - EDGE - 12, 12),
        points,
        [name for name, own in worth.items() if not beaten(own)],
    )
