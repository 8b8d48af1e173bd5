"""The page of an audit, made of its findings and the run; it keeps the promises of `report`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, final

import torch
from torch import Tensor

from rather.audit import Attribute, Audit, Estimate, Pair, Place
from rather.audit.findings import Member
from rather.audit.swaps import Spot
from rather.io.png import png
from rather.io.writing import write_whole, writing
from rather.plots import BRIGHTER, signed_difference
from rather.report.cards import MEDIUM, SMALL, Picture, picture
from rather.report.html import inside, question, render
from rather.report.panels import Measure, Panel, signed
from rather.runs.store import Row, Run
from rather.types import Image

SHOWN: Final = 12  # rows of a table
_PAIRS: Final = 12
_DASH: Final = "\N{EN DASH}"


@final
@dataclass(frozen=True, kw_only=True)
class Example:
    """A small row: the image, and its counterfactual if it has one."""

    place: str
    query: Picture
    counterfactual: Picture | None
    classes: str
    distance: str = ""


def write_audit(found: Audit, run: Run, out: Path | None = None) -> Path:
    """Write the page of an audit, and return it.

    Args:
        found: the findings.
        run: the audited run.
        out: the folder; by default the run's own.

    Raises:
        RatherError: the folder cannot be written, or the run cannot be read.
    """
    wanted = {
        *(name for warning in found.warnings for name in warning.examples),
        *(name for cluster in found.clusters for name in cluster.examples),
        *(member.id for each in found.typical for member in (*each.prototypes, *each.outliers)),
    }
    rows = {row.id: row for row in run.rows() if row.id in wanted}
    example = partial(_example, rows)
    values = {
        "name": run.folder.name,
        "asked": question(run.config, "classifier", "method", "data", "target"),
        "audit": found,
        "warnings": [(one, [example(name) for name in one.examples]) for one in found.warnings],
        "panels": [panel for panel in (_attribute_panel(found), _region_panel(found)) if panel],
        "places": _places(found),
        "pairs": [_pair(pair) for pair in found.pairs[:_PAIRS]],
        "more_pairs": max(len(found.pairs) - _PAIRS, 0),
        "clusters": [(one, _heat(one.amount), [example(name) for name in one.examples]) for one in found.clusters],
        "typical": [
            (each, *([example(one.id, one) for one in some] for some in (each.prototypes, each.outliers)))
            for each in found.typical
        ],
    }
    folder = out or run.folder
    with writing(folder):
        write_whole(folder / "audit.html", render("audit.html", values).encode())
    return folder / "audit.html"


def _example(rows: dict[str, Row], name: str, member: Member | None = None) -> Example:
    row = rows[name]
    assert row.query is not None  # noqa: S101 - the audit reads no other
    target = f" \N{RIGHTWARDS ARROW} {row.target}" if row.status == "found" else ""
    label = "" if row.label is None or row.label == row.predicted else f", label {row.label}"
    return Example(
        place=row.place,
        query=picture("image", "The image", [row.query], SMALL, inside),
        counterfactual=picture("counterfactual", "Its counterfactual", [row.image], SMALL, inside)
        if row.image and row.status == "found"
        else None,
        classes=f"{row.predicted}{target}{label}",
        distance=_distance(member) if member else "",
    )


def _distance(member: Member) -> str:
    surer = "" if member.surer is None else f", surer at {100 * member.surer:.2g} %"
    return f"change {100 * member.change:.2g} %{surer}"


def interval(estimate: Estimate | None) -> str:
    """A signed number and its interval, in short."""
    if estimate is None:
        return _DASH
    return f"{signed(estimate.value)} ({signed(estimate.low)} to {signed(estimate.high)})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _attribute_panel(found: Audit) -> Panel | None:
    if not found.attributes:
        return None
    labelled = any(one.label for one in found.attributes)
    return Panel(
        title=("Effect of each attribute on the prediction, with all else equal", "", ""),
        heads=(
            "attribute",
            "effect on the prediction",
            *(("effect on the label",) if labelled else ()),
            "changed",
            "images with it",
        ),
        signed=True,
        measures=[
            Measure(
                name=one.name,
                value=min(max(one.answer.value, -1), 1) if one.answer else 0,
                cells=(interval(one.answer), *((interval(one.label),) if labelled else ()), *_counted(one)),
            )
            for one in found.attributes[:SHOWN]
        ],
        note="Effects are differences of the probability, and of the share of images with the label, with intervals of "
        "95 % for all attributes together. A dash means that an effect cannot be estimated: too few images have the "
        "attribute, too few lack it, or other attributes determine it. Changed: the number of counterfactuals in which "
        "the attribute appeared or disappeared.",
    )


def _counted(one: Attribute) -> tuple[str, str]:
    return f"{one.changed.count} of {one.changed.of}", f"{one.has.count} of {one.has.of}"


def _between(share: Estimate) -> str:
    low, high = max(share.low, 0), min(share.high, 1)
    return f"{_percent(share.value)} ({_percent(low)} to {_percent(high)})"


def _region_panel(found: Audit) -> Panel | None:
    if not found.regions:
        return None
    return Panel(
        title=("Where the counterfactuals change", "", f"mean of {found.found} counterfactuals"),
        heads=("region", "share of the change", "share of the picture"),
        signed=False,
        measures=[
            Measure(
                name=one.name, value=min(max(one.share.value, 0), 1), cells=(_between(one.share), _percent(one.area))
            )
            for one in found.regions[:SHOWN]
        ],
    )


def _places(found: Audit) -> list[tuple[Place, Picture]]:
    """The places that decide most, one of each size, drawn on the mean image."""
    best: dict[int, Place] = {}
    for one in found.places:
        if one.size not in best or one.decides.count > best[one.size].decides.count:
            best[one.size] = one
    return [(one, _drawn(_veiled(found.image, one), f"The place: {one.name}")) for one in best.values()]


def _veiled(ground: Image, place: Place) -> Image:
    """The mean image, veiled but for the place."""
    colours, (_, height, width) = ground.expand(3, -1, -1), ground.shape
    if not place.cells:  # the colour of the whole picture
        return colours
    veil = torch.lerp(colours.mean(0, keepdim=True), torch.ones(1, 1, 1), 0.6)
    return torch.lerp(veil.expand_as(colours), colours, Spot(place.name, place.cells).mask((height, width)))


def _pair(pair: Pair) -> tuple[Pair, list[Picture]]:
    return pair, [
        _drawn(pair.query, "The mean image"),
        _drawn(pair.counterfactual, "The mean counterfactual"),
        _drawn(signed_difference(pair.query, pair.counterfactual), "What changes in the mean"),
        _heat(pair.amount),
    ]


def _heat(amount: Tensor) -> Picture:
    """Where there is change, in orange on a light ground; the most is full colour."""
    strength = (amount / amount.max().clamp(min=1e-12))[None]
    light, full = torch.full((3, 1, 1), 0.95), torch.tensor(BRIGHTER)[:, None, None]
    return _drawn(torch.lerp(light.expand(3, *amount.shape), full, strength), "How much changes where")


def _drawn(image: Image, alt: str) -> Picture:
    return picture("", alt, [png(image.clamp(0, 1))], MEDIUM, inside)
