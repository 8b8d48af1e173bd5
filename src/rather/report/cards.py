"""A row of a run as a person reads it: its pictures, its probabilities, and the rest in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

from rather.config.errors import CODES, REASONS
from rather.io.png import png, png_size, seen, seen_png, strip, thumbnail, unpng
from rather.plots import difference_scale, highlight, signed_difference
from rather.report.charts import Chart, charts, confidence_chart
from rather.report.panels import LAYOUT, Panel, panels
from rather.runs.export import file_name
from rather.runs.store import Row
from rather.types import Image

Put = Callable[[str, bytes], str]  # puts a PNG of this name somewhere and returns its address

WIDE, LARGE, MEDIUM, SMALL = 400, 176, 112, 56  # CSS pixels of the longer side of a picture on the page, about
PIXELATED: Final = 96  # a picture smaller than this is enlarged with its pixels kept square
BARS: Final = 5  # classes at most
FRAMES: Final = 12  # of a series at most, evenly spaced
VISIBLE: Final = 0.01  # least probability of a class that is neither predicted nor the target
NARROW: Final = "\N{NARROW NO-BREAK SPACE}"
CHANGED: Final = "What changed: orange where brighter, blue where darker, grey where only the colour changed"
ATTENTION: Final = "_attention"  # the map of this name belongs to the picture of the name before it
TRAJECTORY: Final = "trajectory"  # a drawing with letters, shown in its own size
REGIONS: Final = "The regions of the image, each in its own colour"
WAY: Final = "The path of the search in the two-dimensional latent space, on the probability of"


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
    """A class and its probability before and after the change."""

    name: str
    before: float
    after: float


@final
@dataclass(frozen=True, kw_only=True)
class Look:
    """The pictures of a row, and the probability of its target."""

    row: Row  # without its pictures
    target: Bar  # NaN where its probability is not known
    why: str  # there is no counterfactual
    query: Picture | None
    counterfactual: Picture | None
    difference: Picture | None
    change: float | None  # mean absolute difference of the pixels
    scale: float | None  # the change that the difference shows in full colour
    coloured: bool


@final
@dataclass(frozen=True, kw_only=True)
class Card:
    """What the page shows of a row that was searched for."""

    look: Look
    predicted: Bar
    wrong: bool  # the prediction is not the label, which is one of the classes
    strips: Sequence[Picture]
    charts: Sequence[Chart]
    trajectory: Picture | None
    panels: Sequence[Panel]
    layout: Picture | None  # next to the panel of its regions
    bars: Sequence[Bar]
    info: Sequence[tuple[str, str]]
    tile: Sequence[bytes]  # the image and its counterfactual, small, for an overview


def look(row: Row, classes: Sequence[str], put: Put, *, side: int = LARGE, scale: float | None = None) -> Look:
    """A row with the pictures that it has, also of a search that found nothing.

    Args:
        row: of the store.
        classes: their names, in the order of the row's probabilities.
        put: where the pictures go.
        side: of each picture, see `picture`.
        scale: the change that the difference shows in full colour; by default the row's own largest.
    """
    image = row.image if row.status in {"found", "not_found"} else None
    pair = same_shape(row.query, image)
    scale = (scale or difference_scale(*pair)) if pair else None
    end, target = _end(row), row.target or "?"

    def shown(role: str, name: str, alt: str, data: bytes | None) -> Picture | None:
        return picture(name, alt, [data], side, put, file=f"{file_name(row.id)}.{role}.png") if data else None

    return Look(
        row=replace(row, query=None, image=None, artifacts={}),
        target=_bar(row, row.target, classes),
        why="" if row.status == "found" else reason(row),
        query=shown("query", "image", f"The image, predicted as {row.predicted or '?'}", row.query),
        counterfactual=shown("counterfactual", end, f"The {end} for {target}", image),
        difference=shown("change", "what changed", CHANGED, png(signed_difference(*pair, scale)) if pair else None),
        change=float((pair[1] - pair[0]).abs().mean()) if pair else None,
        scale=scale,
        coloured=pair is not None and len(pair[0]) > 1,
    )


def same_shape(query: bytes | None, image: bytes | None) -> tuple[Image, Image] | None:
    """An image and its counterfactual, if there are both and they have the same shape."""
    if not (query and image):
        return None
    before, after = unpng(query), unpng(image)
    return (before, after) if before.shape == after.shape else None


def card(row: Row, classes: Sequence[str], put: Put) -> Card:
    """The card of a row that has both its pictures; see `look`."""
    if not (row.query and row.image):
        raise ValueError(f"row {row.id} has no pictures")
    seen = look(row, classes, put)
    target = seen.target.name
    drawn, shown, info = _drawn(row.info, target, _end(row))
    elsewhere = {TRAJECTORY, *(panel.picture for panel in shown)}
    alone = {key: series for key, series in row.artifacts.items() if key in elsewhere and len(series) == 1}

    def single(key: str, alt: str, side: int) -> Picture | None:
        file = f"{file_name(row.id)}.{key}.png"
        return picture(key, alt, alone[key], side, put, file=file) if key in alone else None

    return Card(
        look=seen,
        predicted=_bar(row, row.predicted, classes),
        wrong=row.label in classes and row.label != row.predicted,
        strips=_strips(row, put, alone),
        bars=_likely(row, classes),
        charts=drawn,
        trajectory=single(TRAJECTORY, f"{WAY} {target}", WIDE),
        panels=shown,
        layout=single(LAYOUT, REGIONS, LARGE),
        info=[(words(key), plain(value)) for key, value in info.items()],
        tile=(thumbnail(seen_png(row.query), 2 * SMALL), thumbnail(seen_png(row.image), 2 * SMALL)),
    )


def _end(row: Row) -> str:
    return "counterfactual" if row.status == "found" else "best attempt"


def _bar(row: Row, name: str | None, classes: Sequence[str]) -> Bar:
    bars = (Bar(name=n, before=b, after=a) for n, b, a in zip(classes, row.before, row.after, strict=False))
    return next((bar for bar in bars if bar.name == name), Bar(name=name or "?", before=math.nan, after=math.nan))


def picture(name: str, alt: str, series: Sequence[bytes], side: int, put: Put, *, file: str = "") -> Picture:
    """A picture, or a series side by side, each with a longer side of about `side` on the page.

    A small picture is enlarged by a whole number, so that its pixels have one size. At most `FRAMES` of a series are
    shown, evenly spaced. The query and its counterfactual stay as they are stored.
    """
    series = [*map(seen_png, series)]
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
        src=put(file, data),
        alt=alt,
        width=round(width * factor),
        height=round(height * factor),
        pixelated=longer < PIXELATED,
    )


def _on_page(longer: int, side: int) -> int:
    return longer * max(1, round(side / longer)) if longer < PIXELATED else side


def reason(row: Row) -> str:
    """Why a row has no counterfactual, in a sentence."""
    known = REASONS.get(row.code) or row.message or CODES.get(row.code, (0, row.code))[1]
    return known[:1].upper() + known[1:]


def percent(p: float) -> str:
    """A probability with the digits that matter.

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
    """The charts and panels of a row's info, and the info that they do not show."""
    drawn, undrawn = charts(info.get("curves", {}), target, end)
    shown, rest = panels({key: value for key, value in info.items() if key != "curves"})
    series, rest = confidence_chart(rest, target, end)
    return [*drawn, *([series] if series else [])], shown, rest | ({"curves": undrawn} if undrawn else {})


def _likely(row: Row, classes: Sequence[str]) -> list[Bar]:
    """The predicted class, the target, and the others that are likely before or after."""
    first = list(dict.fromkeys(_bar(row, name, classes) for name in (row.predicted, row.target)))
    others = (_bar(row, name, classes) for name in classes if name not in {row.predicted, row.target})
    likely = [bar for bar in others if max(bar.before, bar.after) >= VISIBLE]
    return [*first, *sorted(likely, key=lambda bar: -max(bar.before, bar.after))[: BARS - len(first)]]


def _strips(row: Row, put: Put, elsewhere: Container[str]) -> list[Picture]:
    """All other pictures, each with its attention drawn on it; the path of the search first."""
    own = {"query": row.query, "counterfactual": row.image}
    pictures = {key: [data] for key, data in own.items() if data} | row.artifacts
    strips = []
    for key in sorted(row.artifacts, key=lambda key: key != "path"):
        series, side = row.artifacts[key], SMALL if key == "path" else MEDIUM
        below = pictures.get(key.removesuffix(ATTENTION)) if key.endswith(ATTENTION) else None
        if f"{key}{ATTENTION}" in row.artifacts or not series or key in elsewhere:
            continue
        if below:
            # Of one picture and several maps (one for each edit), each map is drawn on that picture.
            bases = below if len(below) == len(series) else [below[0]] * len(series)
            side = _on_page(max(png_size(seen_png(below[0]))), side)
            series = [_overlay(base, attention) for base, attention in zip(bases, series, strict=True)]
        file = f"{file_name(row.id)}.{file_name(key)}.png"
        strips.append(picture(words(key), _alt(key, series), series, side, put, file=file))
    return strips


def _alt(key: str, series: Sequence[bytes]) -> str:
    return f"{words(key)}: {len(series)} pictures" if len(series) > 1 else words(key)


def _overlay(base: bytes, attention: bytes) -> bytes:
    return png(highlight(seen(unpng(base)), unpng(attention).mean(0, keepdim=True)))
