"""Which value of a setting to take, of a run that has tried several of them on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import final

from rather.errors import RatherError
from rather.intervals import wilson
from rather.store import Run


@final
@dataclass(frozen=True)
class Trial:
    """What a value did."""

    value: float
    found: int  # rows that reached their goal
    rows: int
    change: float  # mean absolute difference of the pixels, in pixel values, over all rows

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share that is found."""
        return wilson(self.found, self.rows)


def trials(run: Run) -> Sequence[Trial]:
    """What each value of a run of `sweep` did, over the rows that were searched for.

    Raises:
        RatherError: CFG-OPTIONS if it is a run of another method, or not one row was searched for.
    """
    facts = [row.facts for row in run.rows() if row.status in {"found", "not_found"}]
    told = [each for each in facts if {"sweep_values", "sweep_found", "sweep_change"} <= each.keys()]
    if not told:
        raise RatherError(
            "CFG-OPTIONS",
            where=run.folder,
            why="no row of it has tried several values",
            do="Make one: rather explain --method sweep --set method=NAME --set values=[0.1,0.3,1.0]",
        )
    return [
        Trial(
            float(value),
            sum(bool(each["sweep_found"][n]) for each in told),
            len(told),
            fmean(each["sweep_change"][n] for each in told),
        )
        for n, value in enumerate(told[0]["sweep_values"])
    ]


def largest(tried: Sequence[Trial], success: float = 0.995) -> Trial | None:
    """The trial of the largest value at which more than this share of the rows is found, if there is one."""
    able = [trial for trial in tried if trial.found > success * trial.rows]
    return max(able, key=lambda trial: trial.value, default=None)
