"""The results of a benchmark: metrics of methods with their intervals, and which methods are as good as the best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Final, Literal, final

import numpy as np
import torch
from torch import Tensor

from rather.bench.batch import columns_of, lacks, measured_by
from rather.bench.judges import Judges
from rather.bench.plan import Skipped, Unit
from rather.config.errors import RatherError
from rather.metrics import Metric
from rather.runs.scores import Scores
from rather.stats import (
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
    wilson,
)

Variant = Literal["main", "all"]  # of a metric of successes: the same of all rows that have an answer
LEVEL: Final = 0.05  # of all tests of one column together
_SPLITS: Final = 10
_FEWEST_SHARE: Final = 0.5  # of the images, that a method must have rows of to be called the best
_COUNT: Final = {"all": {"found", "not_found", "failed"}, "answered": {"found", "not_found"}, "success": {"found"}}


@final
@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric of a method, over all images and seeds of a task."""

    task: str
    method: str
    metric: str
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
class MethodScores:
    """The scores of a method on a task, of all seeds."""

    method: str
    judges: Judges
    images: int  # of the task
    image: Places  # of each row
    seed: Places
    statuses: tuple[str, ...]
    columns: Mapping[str, Tensor]

    @classmethod
    def of(cls, runs: Sequence[tuple[Unit, Scores]], metrics: Sequence[Metric]) -> MethodScores:
        """Of the runs of one method."""
        units, scores = zip(*runs, strict=True)
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
        columns |= {one.name: one.function(statuses=statuses).double() for one in metrics if one.over == "all"}
        columns["halves"] = torch.from_numpy(halves.T[image])
        seed = np.repeat(np.arange(len(scores)), [len(one) for one in scores])
        return cls(units[0].method, units[0].judges, len(place), image, seed, statuses, columns)

    def rows(self, metric: Metric, variant: Variant) -> Places:
        """Those that count."""
        count = _COUNT["answered" if variant == "all" else metric.over]
        chosen = np.array([status in count for status in self.statuses], dtype=bool)
        for name in columns_of(metric):
            chosen &= ~self.columns[name].isnan().reshape(len(chosen), -1).any(1).numpy()
        return np.flatnonzero(chosen)

    def each(self, metric: Metric, rows: Places) -> Numbers:
        """The metric of each row."""
        values: Numbers = self.columns[metric.name][torch.from_numpy(rows)].numpy()
        return values

    def of_set(self, metric: Metric, rows: Places, weights: Tensor | None = None) -> Numbers:
        """The metric of a set of rows, or of samples of it; NaN of a set that is too small."""
        given: dict[str, Any] = {} if weights is None else {"weights": weights}
        for name in metric.needs:
            if name in self.columns:
                given[name] = self.columns[name][torch.from_numpy(rows)]
            elif name in Judges.__dataclass_fields__:
                given[name] = getattr(self.judges, name)
        try:
            values: Numbers = metric.function(**given).double().numpy()
        except RatherError as error:
            if error.code != "DATA-EMPTY":
                raise
            return np.array(math.nan)
        return values

    def by_seed(self, metric: Metric, rows: Places) -> list[tuple[Places, float]]:
        """The rows of each seed, with their metric as a set; without seeds that have too few for it.

        To pool them would have each image in the set as often as there are seeds.
        """
        each = [np.flatnonzero(self.seed[rows] == seed) for seed in np.unique(self.seed[rows])]
        values = [(some, float(self.of_set(metric, rows[some]))) for some in each]
        return [(some, value) for some, value in values if not math.isnan(value)]

    def mean_of_sets(self, metric: Metric, rows: Places) -> float:
        """The metric of a set of rows, the mean over seeds; NaN of too few."""
        values = [value for _, value in self.by_seed(metric, rows)]
        return fmean(values) if values else math.nan


@final
class Samples:
    """A metric of sets, of samples of each method's rows: computed once, though a method is compared often."""

    def __init__(self, metric: Metric, weights: Numbers) -> None:
        """Of a metric, with how often each image is in each of the bootstrap's samples."""
        self.metric, self.weights = metric, weights
        self._computed: dict[tuple[str, bytes], Numbers] = {}

    def of(self, one: MethodScores, rows: Places) -> Numbers:
        """The metric of each sample of these rows; of all methods samples have the same images."""
        key = one.method, rows.tobytes()
        if key not in self._computed:
            self._computed[key] = self._of(one, rows)
        return self._computed[key]

    def _of(self, one: MethodScores, rows: Places) -> Numbers:
        image = one.image[rows]
        samples = left_out(image, one.images) if self.metric.biased else resampled(image, self.weights)
        by_seed = []
        for some, _ in one.by_seed(self.metric, rows):
            own = samples[:, some]
            filled = own.any(1)
            values = np.full(len(samples), np.nan)
            values[filled] = one.of_set(self.metric, rows[some], torch.from_numpy(own[filled]))
            by_seed.append(values)
        return np.mean(by_seed, 0) if by_seed else np.full(len(samples), np.nan)


def estimates_of(
    units: Sequence[Unit], scores: Sequence[Scores], metrics: Sequence[Metric]
) -> tuple[list[Estimate], list[Skipped]]:
    """All estimates, and the metrics that are skipped, with the reason.

    Args:
        units: the runs, with all of their rows.
        scores: of each.
        metrics: in the order of the tables.
    """
    estimates: list[Estimate] = []
    skipped: list[Skipped] = []
    for task in dict.fromkeys(unit.task for unit in units):
        by_method: dict[str, list[tuple[Unit, Scores]]] = {}
        for unit, one in zip(units, scores, strict=True):
            if unit.task == task:
                by_method.setdefault(unit.method, []).append((unit, one))
        methods = [MethodScores.of(some, metrics) for some in by_method.values()]
        weights = draws(methods[0].images)
        for metric in metrics:
            able, without = _able(methods, metric)
            skipped += [
                Skipped(task=task, method=name, reason=f"{metric.name}: {why}") for name, why in without.items()
            ]
            samples = Samples(metric, weights)
            variants: list[Variant] = ["main", "all"] if metric.over == "success" else ["main"]
            for variant in variants:
                column = [replace(one, task=task) for one in _column(able, metric, variant, samples)]
                estimates += _tested(column, able, metric, samples)
    return estimates, skipped


def _able(methods: Sequence[MethodScores], metric: Metric) -> tuple[list[MethodScores], dict[str, str]]:
    """The methods that have a metric, and why the others have not."""
    able, without = [], {}
    for one in methods:
        columns = columns_of(metric)
        if why := lacks(metric, one.judges):
            without[one.method] = why
        elif metric.several_seeds and len(np.unique(one.seed)) == 1:
            without[one.method] = "it compares the answers of 2 seeds"
        elif not all(name in one.columns for name in columns):
            without[one.method] = "no row has an answer"
        elif metric.blank and any(one.columns[name].isnan().all() for name in columns):
            without[one.method] = metric.blank
        else:
            able.append(one)
    if without and not able and len(set(without.values())) == 1:
        return [], {"": next(iter(without.values()))}
    return able, without


def _column(able: Sequence[MethodScores], metric: Metric, variant: Variant, samples: Samples) -> Iterator[Estimate]:
    """A metric of each method, with its interval; none of a method that has no row for it."""
    for one in able:
        rows = one.rows(metric, variant)
        if not len(rows):
            continue
        image = one.image[rows]
        if metric.per_row:
            means = image_means(one.each(metric, rows), image, one.images)
            value = float(np.nanmean(means))
            several = int((~np.isnan(means)).sum())
            # All or nothing has no spread to resample. Rows of an image go together: images are counted.
            low, high = wilson(value * several, several) if metric.share else bootstrap_mean(means, samples.weights)
        else:
            value = one.mean_of_sets(metric, rows)
            several = len(np.unique(image))
            if math.isnan(value) or several < FEWEST:
                continue
            spread = samples.of(one, rows)
            low, high = jackknife_interval(value, spread) if metric.biased else percentiles(spread)
        yield Estimate(
            task="",
            method=one.method,
            metric=metric.name,
            variant=variant,
            nets=measured_by(metric, one.judges),
            value=value,
            low=low,
            high=high,
            rows=len(rows),
            images=several,
        )


def _tested(
    column: Sequence[Estimate], able: Sequence[MethodScores], metric: Metric, samples: Samples
) -> list[Estimate]:
    """Which method is best, and how sure it is that the others are not as good, on the rows that both have."""
    sign = 1 if metric.higher_is_better else -1
    by_name = {one.method: one for one in able}
    candidates = [one for one in column if one.images >= _FEWEST_SHARE * by_name[one.method].images]
    if len(column) < 2 or not candidates:  # noqa: PLR2004 - a comparison is of two
        return [*column]
    best = max(candidates, key=lambda one: sign * one.value)
    if metric.shared:
        return [replace(one, best=one is best) for one in column]
    p = {  # one side alone: a method that is better on the rows that both have is not worse, whatever all means are
        one.method: _p(by_name[one.method], by_name[best.method], metric, one.variant, samples)
        for one in column
        if one is not best
    }
    tested = {name: one for name, one in p.items() if one is not None}
    corrected = dict(zip(tested, holm([*tested.values()]), strict=True))
    return [replace(one, best=one is best, p=corrected.get(one.method)) for one in column]


def _p(one: MethodScores, best: MethodScores, metric: Metric, variant: Variant, samples: Samples) -> float | None:
    """That the one is worse than the best; None if they share too few images."""
    sign = -1 if metric.higher_is_better else 1  # above 0, it is worse
    own, others = one.rows(metric, variant), best.rows(metric, variant)
    if metric.per_row:
        differences = image_means(one.each(metric, own), one.image[own], one.images) - image_means(
            best.each(metric, others), best.image[others], best.images
        )
        differences = differences[~np.isnan(differences)]
        return sign_flip(sign * differences) if len(differences) >= FEWEST else None
    key = {(i, s): n for n, i, s in zip(others, best.image[others], best.seed[others], strict=True)}
    both = [(n, key[i, s]) for n, i, s in zip(own, one.image[own], one.seed[own], strict=True) if (i, s) in key]
    if not both:
        return None
    first, second = (np.array(rows, dtype=np.int64) for rows in zip(*both, strict=True))
    if len(np.unique(one.image[first])) < FEWEST:
        return None
    without = samples.of(one, first) - samples.of(best, second)
    whole = one.mean_of_sets(metric, first) - best.mean_of_sets(metric, second)
    if metric.biased:
        error, degrees = jackknife_error(without), float(len(without) - 1)
    else:
        error, degrees = float(np.nanstd(without)), math.inf
    return None if math.isnan(whole) or math.isnan(error) else student_p(sign * whole, error, degrees)
