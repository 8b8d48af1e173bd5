"""For each region of the images: whether a change in it is enough, and whether one is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rather.data.regions import OUTSIDE
from rather.runs.store import Run


class RegionEffect(NamedTuple):
    """What a search found in a region, and around it."""

    name: str
    images: int  # that show the region and were searched
    enough: int  # of them reach the target by a change in the region alone
    needed: int  # of them do not reach it by any change around the region that was found


def region_effects(runs: Mapping[str, Run]) -> list[RegionEffect]:
    """The effect of each region of which there are two runs: NAME, where it alone changes, and outside:NAME."""
    effects = []
    for name, inside in runs.items():
        if f"{OUTSIDE}{name}" not in runs:
            continue
        searched = {
            row.id: row.status == "found"
            for row in inside.rows()
            if row.status in {"found", "not_found"} and row.code != "NO-REGION"
        }
        around = {row.id for row in runs[f"{OUTSIDE}{name}"].rows() if row.status == "found"}
        effects.append(RegionEffect(name, len(searched), sum(searched.values()), len(searched.keys() - around)))
    return sorted(effects, key=lambda one: one.enough + one.needed, reverse=True)
