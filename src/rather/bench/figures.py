"""The figures of a benchmark: measures of methods with their intervals, and who is as good as the best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final, Literal, final

import numpy as np
import torch
from torch import Tensor

from rather.bench.judges import Nets
from rather.bench.measures import MEASURES, Columns, Measure, value
from rather.bench.plan import Absent, Unit
from rather.runs.scores import Scores
from rather.stats.intervals import wilson
from rather.stats.resampling import (
    FEWEST,
    Numbers,
    Places,
    bootstrap_mean,
    draws,
    holm,
    image_means,
    jackknife_error,
    jackknife_interval,
    left_out,
    percentiles,
    resampled,
    sign_flip,
    student_p,
)

Variant = Literal["main", "all"]  # of what counts successes only: the same of all rows that have an answer
LEVEL: Final = 0.05  # of all tests of one column together
_SPLITS: Final = 10
_FEWEST_SHARE: Final = 0.5  # of the images, that a method must have rows of to be called the best


@final
@dataclass(frozen=True, kw_only=True)
class Figure:
    """A measure of a method, over all images and seeds of a task."""

    task: str
    method: str
    measure: str
    variant: Variant
    value: float
    low: float  # of the 95 % interval
    high: float
    rows: int
    images: int
    best: bool = False
    nets: str = ""  # names of those that measured it
    p: float | None = None  # of being worse than the best, corrected for all methods; None if not compared

    @property
    def tied(self) -> bool:
        """Not significantly worse than the best."""
        return self.p is not None and self.p >= LEVEL


@final
@dataclass(frozen=True, eq=False)
class Answered:
    """The scores of a method on a task, of all seeds."""

    method: str
    nets: Nets
    images: int  # of the task
    image: Places  # of each row
    seed: Places
    statuses: tuple[str, ...]
    columns: Mapping[str, Tensor]

    @classmethod
    def of(cls, units: Sequence[Unit], scores: Sequence[Scores]) -> Answered:
        """Of the runs of one method."""
        place = {name: n for n, name in enumerate(units[0].run.ids)}
        statuses = tuple(status for one in scores for status in one.statuses)
        image = np.array([place[name] for one in scores for name in one.ids], dtype=np.int64)
        halves = np.random.default_rng(0).permuted(np.tile(np.arange(len(place)) % 2, (_SPLITS, 1)), axis=1)
        like = {name: values for one in scores for name, values in one.values.items()}
        columns = {  # a run of which no row has an answer has no numbers: it takes them from no other
            name: torch.cat(
                [one.values.get(name, some.new_full((len(one), *some.shape[1:]), torch.nan)) for one in scores]
            )
            for name, some in like.items()
        }
        columns["found"] = torch.tensor([float(status == "found") for status in statuses])
        columns["halves"] = torch.from_numpy(halves.T[image])
        seed = np.repeat(np.arange(len(scores)), [len(one) for one in scores])
        return cls(units[0].method, units[0].nets, len(place), image, seed, statuses, columns)

    def rows(self, measure: Measure, variant: Variant) -> Places:
        """Those that count."""
        over = "searched" if variant == "all" else measure.over
        count = {"asked": {"found", "not_found", "failed"}, "searched": {"found", "not_found"}, "found": {"found"}}[
            over
        ]
        there = np.array([status in count for status in self.statuses], dtype=bool)
        for name in measure.columns:
            there &= ~self.columns[name].isnan().reshape(len(there), -1).any(1).numpy()
        return np.flatnonzero(there)

    def chosen(self, measure: Measure, rows: Places) -> Columns:
        """The scores of some rows that a measure is made of."""
        return {name: self.columns[name][torch.from_numpy(rows)] for name in measure.columns}

    def each(self, measure: Measure, rows: Places) -> Numbers:
        """The measure of each row."""
        found: Numbers = value(measure, self.chosen(measure, rows), self.nets).numpy()
        return found

    def by_seed(self, measure: Measure, rows: Places) -> list[tuple[Places, float]]:
        """The rows of each seed, with their measure as a set; without seeds that have too few for it.

        To pool them would have each image in the set as often as there are seeds.
        """
        each = [np.flatnonzero(self.seed[rows] == seed) for seed in np.unique(self.seed[rows])]
        told = [(some, float(value(measure, self.chosen(measure, rows[some]), self.nets))) for some in each]
        return [(some, found) for some, found in told if not math.isnan(found)]

    def of_set(self, measure: Measure, rows: Places) -> float:
        """The measure of a set of rows, the mean over seeds; NaN of too few."""
        found = [one for _, one in self.by_seed(measure, rows)]
        return fmean(found) if found else math.nan


@final
class Samples:
    """A measure of sets, of samples of each method's rows: made once, though a method is compared often."""

    def __init__(self, measure: Measure, weights: Numbers) -> None:
        """Of a measure, with how often each image is in each of the bootstrap's samples."""
        self.measure, self.weights = measure, weights
        self._known: dict[tuple[str, bytes], Numbers] = {}

    def of(self, one: Answered, rows: Places) -> Numbers:
        """The measure of each sample of these rows; of all methods samples have the same images."""
        key = one.method, rows.tobytes()
        if key not in self._known:
            self._known[key] = self._of(one, rows)
        return self._known[key]

    def _of(self, one: Answered, rows: Places) -> Numbers:
        assert self.measure.samples is not None  # noqa: S101 - it is of a set
        image = one.image[rows]
        samples = left_out(image, one.images) if self.measure.biased else resampled(image, self.weights)
        spread = []
        for some, _ in one.by_seed(self.measure, rows):
            mine = samples[:, some]
            filled = mine.any(1)
            columns = one.chosen(self.measure, rows[some])
            found = np.full(len(samples), np.nan)
            found[filled] = self.measure.samples(columns, one.nets, torch.from_numpy(mine[filled])).numpy()
            spread.append(found)
        return np.mean(spread, 0) if spread else np.full(len(samples), np.nan)


def figures_of(
    units: Sequence[Unit], scores: Sequence[Scores], measures: Sequence[str] = ()
) -> tuple[list[Figure], list[Absent]]:
    """All figures, and the measures that there are not, with the reason.

    Args:
        units: the runs, with all of their rows.
        scores: of each.
        measures: which; by default all.
    """
    figures: list[Figure] = []
    absent: list[Absent] = []
    for task in dict.fromkeys(unit.task for unit in units):
        by_method: dict[str, list[tuple[Unit, Scores]]] = {}
        for unit, one in zip(units, scores, strict=True):
            if unit.task == task:
                by_method.setdefault(unit.method, []).append((unit, one))
        answered = [Answered.of(*zip(*some, strict=True)) for some in by_method.values()]
        weights = draws(answered[0].images)
        for name in measures or MEASURES:
            measure = MEASURES[name]
            able, without = _able(answered, measure)
            absent += [Absent(task=task, method=method, why=f"{name}: {why}") for method, why in without.items()]
            samples = Samples(measure, weights)
            variants: list[Variant] = ["main", "all"] if measure.over == "found" else ["main"]
            for variant in variants:
                column = [
                    replace(figure, task=task, measure=name) for figure in _column(able, measure, variant, samples)
                ]
                figures += _tested(column, able, measure, samples)
    return figures, absent


def _able(answered: Sequence[Answered], measure: Measure) -> tuple[list[Answered], dict[str, str]]:
    """Whom a measure can be computed of, and why not of others."""
    able, without = [], {}
    for one in answered:
        lacks = [why for need in measure.needs if (why := one.nets.lacks(need))]
        if lacks:
            without[one.method] = lacks[0]
        elif len(np.unique(one.seed)) < measure.seeds:
            without[one.method] = f"it is of the answers of {measure.seeds} seeds"
        elif not all(name in one.columns for name in measure.columns):
            without[one.method] = "no row has an answer"
        elif measure.blank and any(one.columns[name].isnan().all() for name in measure.columns):
            without[one.method] = measure.blank
        else:
            able.append(one)
    if without and not able and len(set(without.values())) == 1:
        return [], {"": next(iter(without.values()))}
    return able, without


def _column(able: Sequence[Answered], measure: Measure, variant: Variant, samples: Samples) -> Iterator[Figure]:
    """A measure of each method, with its interval; none of a method that has no row for it."""
    for one in able:
        rows = one.rows(measure, variant)
        if not len(rows):
            continue
        image = one.image[rows]
        if measure.per_row:
            means = image_means(one.each(measure, rows), image, one.images)
            found = float(np.nanmean(means))
            several = int((~np.isnan(means)).sum())
            # All or nothing has no spread to resample. Rows of an image go together: images are counted.
            low, high = wilson(found * several, several) if measure.share else bootstrap_mean(means, samples.weights)
        else:
            found = one.of_set(measure, rows)
            several = len(np.unique(image))
            if math.isnan(found) or several < FEWEST:
                continue
            spread = samples.of(one, rows)
            low, high = jackknife_interval(found, spread) if measure.biased else percentiles(spread)
        yield Figure(
            task="",
            method=one.method,
            measure="",
            variant=variant,
            nets=", ".join(filter(None, map(one.nets.named, measure.needs))),
            value=found,
            low=low,
            high=high,
            rows=len(rows),
            images=several,
        )


def _tested(column: Sequence[Figure], able: Sequence[Answered], measure: Measure, samples: Samples) -> list[Figure]:
    """Who is best, and how sure it is that the others are not as good, on the rows that both have."""
    sign = 1 if measure.higher_is_better else -1
    by_name = {one.method: one for one in able}
    candidates = [f for f in column if f.images >= _FEWEST_SHARE * by_name[f.method].images]
    if len(column) < 2 or not candidates:  # noqa: PLR2004 - a comparison is of two
        return [*column]
    best = max(candidates, key=lambda figure: sign * figure.value)
    if measure.shared:
        return [replace(figure, best=figure is best) for figure in column]
    p = {  # one side alone: who is better on the rows that both have is not worse, whatever the mean of all
        figure.method: _p(by_name[figure.method], by_name[best.method], measure, figure.variant, samples)
        for figure in column
        if figure is not best
    }
    tested = {name: one for name, one in p.items() if one is not None}
    corrected = dict(zip(tested, holm([*tested.values()]), strict=True))
    return [replace(figure, best=figure is best, p=corrected.get(figure.method)) for figure in column]


def _p(one: Answered, best: Answered, measure: Measure, variant: Variant, samples: Samples) -> float | None:
    """That the one is worse than the best; None if they share too few images."""
    sign = -1 if measure.higher_is_better else 1  # above 0, it is worse
    mine, others = one.rows(measure, variant), best.rows(measure, variant)
    if measure.per_row:
        differences = image_means(one.each(measure, mine), one.image[mine], one.images) - image_means(
            best.each(measure, others), best.image[others], best.images
        )
        differences = differences[~np.isnan(differences)]
        return sign_flip(sign * differences) if len(differences) >= FEWEST else None
    key = {(i, s): n for n, i, s in zip(others, best.image[others], best.seed[others], strict=True)}
    both = [(n, key[i, s]) for n, i, s in zip(mine, one.image[mine], one.seed[mine], strict=True) if (i, s) in key]
    if not both:
        return None
    first, second = (np.array(rows, dtype=np.int64) for rows in zip(*both, strict=True))
    if len(np.unique(one.image[first])) < FEWEST:
        return None
    without = samples.of(one, first) - samples.of(best, second)
    whole = one.of_set(measure, first) - best.of_set(measure, second)
    if measure.biased:
        error, degrees = jackknife_error(without), float(len(without) - 1)
    else:
        error, degrees = float(np.nanstd(without)), math.inf
    return None if math.isnan(whole) or math.isnan(error) else student_p(sign * whole, error, degrees)
