"""One row of a run as a person reads it: its pictures, its probabilities, and the rest in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

from rather.config.errors import CODES, REASONS
from rather.io.png import png, png_size, strip, thumbnail, unpng
from rather.plots import difference_scale, highlight, signed_difference
from rather.report.charts import SERIES, Chart, charts, confidence_chart
from rather.report.panels import LAYOUT, Panel, panels
from rather.runs.export import file_name
from rather.runs.store import Row

Place = Callable[[str, bytes], str]  # puts a PNG of this name somewhere and says under which address

WIDE, LARGE, MEDIUM, SMALL = (
    400,
    176,
    112,
    56,
)  # how long the longer side of a picture is on the page, in CSS pixels, about
PIXELATED = 96  # a picture smaller than this is enlarged with its pixels kept square
BARS = 5  # classes at most
FRAMES = 12  # of a series at most, evenly spread
VISIBLE = 0.01  # probability of a class that is neither predicted nor asked for
NARROW: Final = "\N{NARROW NO-BREAK SPACE}"
CHANGED: Final = "What changed: orange where brighter, blue where darker, grey where of another colour"
ATTENTION: Final = "_attention"  # the map of this name belongs to the picture of the name before it
TRAJECTORY: Final = "trajectory"  # a drawing with letters, and no image: shown in its own size
REGIONS: Final = "The regions of the image, each in a colour of its own"
WAY: Final = "The way of the search through the two-dimensional latent space, over the probability of"


@final
@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image on the page, or several side by side."""

    name: str
    src: str
    alt: str
    width: int  # on the page, in CSS pixels
    height: int
    pixelated: bool


@final
@dataclass(frozen=True, kw_only=True)
class Bar:
    """A class and how likely the classifier holds it, before and after the change."""

    name: str
    before: float
    after: float


@final
@dataclass(frozen=True, kw_only=True)
class Card:
    """What the page shows of a row that was searched for."""

    row: Row  # without its pictures
    predicted: Bar
    target: Bar
    change: float | None  # mean absolute difference of the pixels
    scale: float | None  # the change that the difference shows in full colour
    coloured: bool
    why: str
    query: Picture
    counterfactual: Picture
    difference: Picture | None
    strips: Sequence[Picture]
    charts: Sequence[Chart]
    trajectory: Picture | None
    panels: Sequence[Panel]
    layout: Picture | None  # beside the panel that is about its regions
    bars: Sequence[Bar]
    info: Sequence[tuple[str, str]]
    tile: Sequence[bytes]  # the image and its counterfactual, small, for an overview


def card(row: Row, classes: Sequence[str], place: Place) -> Card:
    """The card of a row that has both its pictures.

    Args:
        row: of the store.
        classes: their names, in the order of the row's probabilities.
        place: where the pictures go.
    """
    if not (row.query and row.image):
        raise ValueError(f"row {row.id} has no pictures")

    def put(role: str) -> Callable[[bytes], str]:
        return lambda data: place(f"{file_name(row.id)}.{role}.png", data)

    query, image = unpng(row.query), unpng(row.image)
    alike = query.shape == image.shape
    scale = difference_scale(query, image) if alike else None
    changed = png(signed_difference(query, image, scale)) if alike else None
    every = [Bar(name=n, before=b, after=a) for n, b, a in zip(classes, row.before, row.after, strict=False)]
    predicted, target = (
        next((bar for bar in every if bar.name == name), Bar(name=name or "?", before=math.nan, after=math.nan))
        for name in (row.predicted, row.target)
    )
    found = row.status == "found"
    end = "counterfactual" if found else "best attempt"
    drawn, told, info = _drawn(row.info, target.name, end)
    beside = {TRAJECTORY, *(panel.picture for panel in told)}
    alone = {key: series for key, series in row.artifacts.items() if key in beside and len(series) == 1}
    return Card(
        row=replace(row, query=None, image=None, artifacts={}),
        predicted=predicted,
        target=target,
        change=float((image - query).abs().mean()) if alike else None,
        scale=scale,
        coloured=len(query) > 1,
        why="" if found else reason(row),
        query=picture("image", f"The image, called {predicted.name}", [row.query], LARGE, put("query")),
        counterfactual=picture(end, f"The {end} for {target.name}", [row.image], LARGE, put("counterfactual")),
        difference=None if changed is None else picture("what changed", CHANGED, [changed], LARGE, put("change")),
        strips=_strips(row, put, alone),
        bars=_likely(predicted, target, every),
        charts=drawn,
        trajectory=picture(TRAJECTORY, f"{WAY} {target.name}", alone[TRAJECTORY], WIDE, put(TRAJECTORY))
        if TRAJECTORY in alone
        else None,
        panels=told,
        layout=picture(LAYOUT, REGIONS, alone[LAYOUT], LARGE, put(LAYOUT)) if LAYOUT in alone else None,
        info=[(words(key), plain(value)) for key, value in info.items()],
        tile=(thumbnail(row.query, 2 * SMALL), thumbnail(row.image, 2 * SMALL)),
    )


def picture(name: str, alt: str, series: Sequence[bytes], side: int, put: Callable[[bytes], str]) -> Picture:
    """A picture, or a series side by side of which each has a longer side of about `side` on the page.

    A small one is enlarged by a whole number, so that its pixels are of one size. Of a series at most
    `FRAMES` are shown, evenly spread. The query and its counterfactual stay as they are stored.
    """
    if len(series) > FRAMES:
        series = [series[n * (len(series) - 1) // (FRAMES - 1)] for n in range(FRAMES)]
    if side < LARGE:
        series = [thumbnail(data, 2 * side) for data in series]
    longer = max(png_size(series[0]))
    factor = _on_page(longer, side) / longer
    data = series[0] if len(series) == 1 else strip(series, gap=max(1, round(4 / factor)))
    height, width = png_size(data)
    return Picture(
        name=name,
        src=put(data),
        alt=alt,
        width=round(width * factor),
        height=round(height * factor),
        pixelated=longer < PIXELATED,
    )


def _on_page(longer: int, side: int) -> int:
    return longer * max(1, round(side / longer)) if longer < PIXELATED else side


def reason(row: Row) -> str:
    """Why a row was not found, not searched for or not readable, in a sentence."""
    known = REASONS.get(row.code) or row.message or CODES.get(row.code, (0, row.code))[1]
    return known[:1].upper() + known[1:]


def percent(p: float) -> str:
    """A probability as a person writes it, with the digits that matter.

    >>> [percent(p).replace(NARROW, "_") for p in (0.0, 0.0042, 0.314, 0.9962, 1.0)]
    ['<0.1_%', '0.4_%', '31_%', '99.6_%', '>99.9_%']
    """
    if not math.isfinite(p):
        return "\N{EN DASH}"
    if p < 0.0005 or p > 0.9995:  # noqa: PLR2004 - what one decimal cannot say
        return f"<0.1{NARROW}%" if p < 0.5 else f">99.9{NARROW}%"  # noqa: PLR2004
    return f"{100 * p:.0f}{NARROW}%" if 0.00995 <= p <= 0.99005 else f"{100 * p:.1f}{NARROW}%"  # noqa: PLR2004


def words(key: str) -> str:
    """A key as words.

    >>> words("flipped_in_features")
    'flipped in features'
    """
    return key.replace("_", " ")


def plain(value: Any) -> str:
    """Plain data as short text.

    >>> plain({"cells": [[3, 7]], "proved": True, "p": 0.123456})
    'cells: [[3, 7]], proved: yes, p: 0.123'
    """
    match value:
        case bool() | None:
            return {True: "yes", False: "no", None: "\N{EN DASH}"}[value]
        case float():
            return f"{value:.3g}"
        case dict():
            return ", ".join(f"{words(str(key))}: {plain(inner)}" for key, inner in value.items())
        case list():
            listed = ", ".join(map(plain, value))
            return listed if all(isinstance(inner, str) for inner in value) else f"[{listed}]"
        case _:
            return str(value)


def _drawn(info: Mapping[str, Any], target: str, end: str) -> tuple[list[Chart], list[Panel], dict[str, Any]]:
    """The charts and panels of a row's info, and the info that are in none of them."""
    drawn, undrawn = charts(info.get("curves", {}), target, end)
    told, rest = panels({key: value for key, value in info.items() if key != "curves"})
    if series := confidence_chart(rest, target, end):
        drawn.append(series)
        rest = {key: value for key, value in rest.items() if key not in SERIES}
    return drawn, told, rest | ({"curves": undrawn} if undrawn else {})


def _likely(predicted: Bar, target: Bar, every: Sequence[Bar]) -> list[Bar]:
    """The predicted class, the target, and whatever else is likely before or after."""
    first = [predicted] if predicted == target else [predicted, target]
    others = sorted((bar for bar in every if bar not in first), key=lambda bar: -max(bar.before, bar.after))
    return [*first, *(bar for bar in others[: BARS - len(first)] if max(bar.before, bar.after) >= VISIBLE)]


def _strips(row: Row, put: Callable[[str], Callable[[bytes], str]], beside: Container[str]) -> list[Picture]:
    """All pictures that are nowhere else, each with its attention upon it; the path of the search first."""
    own = {"query": row.query, "counterfactual": row.image}
    pictures = {key: [data] for key, data in own.items() if data} | row.artifacts
    strips = []
    for key in sorted(row.artifacts, key=lambda key: key != "path"):
        series, side = row.artifacts[key], SMALL if key == "path" else MEDIUM
        below = pictures.get(key.removesuffix(ATTENTION)) if key.endswith(ATTENTION) else None
        if f"{key}{ATTENTION}" in row.artifacts or not series or key in beside:
            continue
        if below:
            # Of one picture and several maps (one for each edit), each map is drawn on that picture.
            bases = below if len(below) == len(series) else [below[0]] * len(series)
            side = _on_page(max(png_size(below[0])), side)
            series = [_overlay(base, attention) for base, attention in zip(bases, series, strict=True)]
        strips.append(picture(words(key), _alt(key, series), series, side, put(file_name(key))))
    return strips


def _alt(key: str, series: Sequence[bytes]) -> str:
    return f"{words(key)}: {len(series)} pictures" if len(series) > 1 else words(key)


def _overlay(base: bytes, attention: bytes) -> bytes:
    return png(highlight(unpng(base), unpng(attention).mean(0, keepdim=True)))
