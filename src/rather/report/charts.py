"""Small line charts of the series of numbers in a row's info."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from rather.report.info import Bins, Ensemble, bins, lines

LEFT, RIGHT, TOP, BOTTOM = 44, 292, 8, 122  # where card.html draws the axes, on 300 x 144 CSS pixels
LINES: Final = 4  # of a chart at most: more cannot be distinguished
_DOTTED: Final = 16  # longer lines have no dot at each point
_STEPS: Final = (1, 2, 5)  # round numbers


@final
@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a chart, and the fainter lines of its members."""

    name: str
    d: str  # of an SVG path
    dots: str
    members: Sequence[str]


@final
@dataclass(frozen=True, kw_only=True)
class Mark:
    """A marked point of a chart."""

    name: str
    x: float
    y: float


@final
@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart of some series of numbers."""

    title: tuple[str, str, str]  # the middle one is the name of a class, or nothing
    lines: Sequence[Line]
    ticks: Sequence[tuple[float, str]]  # from the top, in CSS pixels, and the label
    below: tuple[str, str, str]  # at the left end, in the middle, at the right end
    alt: str
    marks: Sequence[Mark] = ()

    @property
    def members(self) -> int:
        """The largest number of members of a line."""
        return max(len(line.members) for line in self.lines)


def charts(curves: Any, target: str, end: str) -> tuple[list[Chart], Any]:
    """The charts of a row's `curves`, and the rest of them that is listed as text.

    Args:
        curves: see `latents.curves.diagnose`; anything else is not drawn.
        target: the name of the class whose probabilities they are.
        end: what the search ended in.
    """
    if not isinstance(curves, Mapping):
        return [], curves
    rest, drawn = dict(curves), []
    path, between = curves.get("search path"), curves.get("interpolation")
    if isinstance(path, Mapping):
        steps = ("start", "frames of the search path", "end")
        probability = lines({"the classifier": path.get("probability")})
        doubt = lines(path.get("uncertainty"))
        made = [
            *([_chart(("Probability of", target, "along the search"), probability, steps)] if probability else []),
            *([_chart(("Uncertainty along the search, in nats", "", ""), doubt, steps, top=None)] if doubt else []),
        ]
        drawn += made
        if made:
            del rest["search path"]
    if series := lines(between):
        ends = ("image, t = 0", "", f"{end}, t = 1")
        drawn.append(_chart(("Probability of", target, "along the interpolation"), series, ends))
        del rest["interpolation"]
    return drawn, rest


def confidence_chart(info: Mapping[str, Any], target: str, end: str) -> tuple[Chart | None, dict[str, Any]]:
    """The probability of the target in each bin of `exaggeration`, and the info that it does not draw.

    Args:
        info: of the row.
        target: the name of the class whose probabilities they are.
        end: what the search ended in.
    """
    found = bins(info)
    if found is None:
        return None, dict(info)
    values = found["confidence"]
    points = _points(values, 1)
    marks = [
        Mark(name=f"{name}, bin {n}", x=points[n][0], y=points[n][1])
        for name, n in (("the image", found["bin"]), (f"the {end}", found["counterfactual_bin"]))
    ]
    ends = ("bin 0", "", f"bin {len(values) - 1}")
    series: dict[str, Ensemble] = {"the classifier": {"together": values}}
    chart = _chart(("Probability of", target, "in each bin"), series, ends, marks=marks)
    return chart, {key: value for key, value in info.items() if key not in Bins.__annotations__}


def _chart(
    title: tuple[str, str, str],
    series: Mapping[str, Ensemble],
    below: tuple[str, str, str],
    top: float | None = 1.0,
    marks: Sequence[Mark] = (),
) -> Chart:
    """A chart of series by name: of probabilities, or as high as it has to be."""
    shown = dict(list(series.items())[:LINES])
    high = top or _round_up(max(max(one["together"]) for one in shown.values()))

    def number(value: float) -> str:
        return f"{value:.0%}" if top else f"{value:.2g}"

    numbers = [f"{name}: {', '.join(map(number, one['together']))}" for name, one in shown.items()]
    return Chart(
        title=title,
        lines=[
            Line(
                name=name,
                d=_path(one["together"], high),
                dots=_dots(one["together"], high) if len(one["together"]) <= _DOTTED else "",
                members=[_path(member, high) for member in one.get("members", [])],
            )
            for name, one in shown.items()
        ],
        ticks=[(_y(share, 1), number(share * high)) for share in (0, 0.5, 1)],
        below=below,
        alt="; ".join([f"{' '.join(filter(None, title))}. {numbers[0]}", *numbers[1:], *(mark.name for mark in marks)]),
        marks=marks,
    )


def _round_up(value: float) -> float:
    """The next round number, at least a tenth: a smaller uncertainty is none.

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
