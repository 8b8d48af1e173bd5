"""Which rows an estimate is of, which method is called the best, and what the drawings show."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rather.bench.judges import Judges
from rather.bench.results import Estimate, MethodScores, Samples, Variant, _column, _tested
from rather.bench.tables import interval, markdown, number
from rather.core import Classifier
from rather.metrics import load_metrics
from rather.report.ranking import front, ranking
from rather.runs.scores import Scores
from rather.stats import draws, wilson

N = 40
METRICS = load_metrics()
JUDGES = Judges(
    classifier=Classifier(torch.nn.Identity(), torch.nn.Flatten(), classes=("a", "b"), shape=(1, 1, 2), name="none")
)


def answered(name: str, statuses: list[str], seeds: int = 1, **columns: np.ndarray) -> MethodScores:
    successes = torch.tensor([float(status == "found") for status in statuses])
    return MethodScores(
        name,
        JUDGES,
        N,
        np.tile(np.arange(N), seeds),
        np.repeat(np.arange(seeds), N),
        tuple(statuses),
        {key: torch.from_numpy(value) for key, value in columns.items()} | {"found": successes},
    )


def estimated(able: list[MethodScores], metric: str, variant: Variant = "main") -> dict[str, Estimate]:
    samples = Samples(METRICS[metric], draws(N))
    column = [*_column(able, METRICS[metric], variant, samples)]
    return {one.method: one for one in _tested(column, able, METRICS[metric], samples)}


def values(shift: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(N) + shift


def test_a_failed_row_counts_as_not_found_and_one_at_its_target_not_at_all():
    statuses = ["found"] * 20 + ["not_found"] * 5 + ["failed"] * 5 + ["already"] * 10
    figure = estimated([answered("m", statuses)], "found")["m"]
    assert (figure.value, figure.rows) == (20 / 30, 30)
    assert (figure.low, figure.high) == wilson(20, 30)


def test_successes_alone_and_all_answers():
    l1 = np.array([0.1] * 20 + [0.5] * 10 + [np.nan] * 10)
    statuses = ["found"] * 20 + ["not_found"] * 10 + ["failed"] * 10
    one = [answered("m", statuses, l1=l1)]
    assert estimated(one, "l1")["m"].value == pytest.approx(0.1)
    figure = estimated(one, "l1", "all")["m"]
    assert figure.value == pytest.approx((20 * 0.1 + 10 * 0.5) / 30)
    assert figure.images == 30


def test_seeds_are_no_further_images():
    l1 = values(0)
    once = estimated([answered("m", ["found"] * N, l1=l1)], "l1")["m"]
    twice = estimated([answered("m", ["found"] * 2 * N, 2, l1=np.tile(l1, 2))], "l1")["m"]
    assert (twice.value, twice.low, twice.high, twice.images) == pytest.approx(
        (once.value, once.low, once.high, once.images)
    )
    assert twice.rows == 2 * N


def test_the_best_and_those_that_are_as_good():
    able = [
        answered("best", ["found"] * N, l1=values(0)),
        answered("as good", ["found"] * N, l1=values(0.01, 1)),
        answered("worse", ["found"] * N, l1=values(0.2)),
    ]
    figures = estimated(able, "l1")
    assert [f.method for f in figures.values() if f.best] == [min(figures, key=lambda m: figures[m].value)]
    assert figures["worse"].p is not None
    assert figures["worse"].p < 0.05
    assert figures["as good"].tied or figures["as good"].best
    assert not figures["worse"].tied


def test_who_succeeds_with_few_easy_images_is_not_the_best():
    few = ["found"] * 10 + ["not_found"] * 30
    able = [answered("few", few, l1=values(-0.5)), answered("many", ["found"] * N, l1=values(0))]
    figures = estimated(able, "l1")
    assert figures["few"].value < figures["many"].value
    assert figures["many"].best
    assert not figures["few"].best


def test_two_that_share_too_few_images_are_not_compared():
    first, last = ["found"] * 20 + ["not_found"] * 20, ["not_found"] * 18 + ["found"] * 22
    figures = estimated([answered("a", first, l1=values(0)), answered("b", last, l1=values(1))], "l1")
    assert figures["b"].p is None
    assert not figures["b"].tied


def test_a_distance_of_sets_is_tested_on_the_rows_that_both_have():
    stream = np.random.default_rng(0)
    before = stream.standard_normal((N, 3))
    near, far = (before + stream.standard_normal((N, 3)) * scale for scale in (0.05, 3.0))
    able = [
        answered("near", ["found"] * N, features_before=before, features_after=near),
        answered("far", ["found"] * 30 + ["not_found"] * 10, features_before=before, features_after=far),
    ]
    figures = estimated(able, "frechet")
    assert figures["near"].best
    assert figures["near"].low <= figures["near"].value <= figures["near"].high
    assert figures["far"].p is not None
    assert figures["far"].p < 0.05


def test_who_is_better_on_the_rows_that_both_have_is_not_worse():
    best = np.concatenate([np.full(20, 0.5), np.full(20, 0.0)])  # easy images, that the other has none of
    other = best - 0.1
    able = [answered("best", ["found"] * N, l1=best), answered("other", ["found"] * 20 + ["not_found"] * 20, l1=other)]
    figures = estimated(able, "l1")
    assert figures["best"].best
    assert figures["other"].value > figures["best"].value
    assert figures["other"].tied


def test_a_seed_without_an_answer_takes_no_value_from_the_others():
    class Asked:
        ids = tuple(str(n) for n in range(N))

    class Made:
        method, judges, run = "m", JUDGES, Asked

    ids = tuple(Asked.ids)
    whole = Scores(ids, ("found",) * N, {"l1": torch.from_numpy(values(0))})
    none = Scores(ids, ("failed",) * N, {})
    one = MethodScores.of([(Made, whole), (Made, none)], [])  # type: ignore[list-item] - of a unit no more is read
    figure = estimated([one], "l1")["m"]
    assert (figure.rows, figure.value) == (N, pytest.approx(float(whole.values["l1"].mean())))


def test_a_metric_of_sets_is_the_mean_over_seeds():
    stream = np.random.default_rng(0)
    before = stream.standard_normal((N, 3))
    first, second = (before + stream.standard_normal((N, 3)) * scale for scale in (0.5, 2.0))
    apart = [
        estimated([answered("m", ["found"] * N, features_before=before, features_after=after)], "frechet")["m"]
        for after in (first, second)
    ]
    both = answered(
        "m",
        ["found"] * 2 * N,
        2,
        features_before=np.tile(before, (2, 1)),
        features_after=np.concatenate([first, second]),
    )
    figure = estimated([both], "frechet")["m"]
    assert figure.value == pytest.approx((apart[0].value + apart[1].value) / 2)
    assert (figure.images, figure.rows) == (N, 2 * N)
    assert figure.low < figure.value < figure.high


def figure(method: str, metric: str, value: float) -> Estimate:
    return Estimate(
        task="t",
        method=method,
        metric=metric,
        variant="main",
        value=value,
        low=value - 0.01,
        high=value + 0.01,
        rows=9,
        images=9,
    )


def test_on_the_front_are_the_unbeaten():
    stream = np.random.default_rng(0)
    x, y = stream.random(12), stream.random(12)
    drawn = front(
        [figure(str(n), "l1", float(v)) for n, v in enumerate(x)],
        [figure(str(n), "confidence", float(v)) for n, v in enumerate(y)],
    )
    assert drawn is not None
    unbeaten = {str(n) for n in range(12) if not any((x[m] < x[n]) and (y[m] > y[n]) for m in range(12))}
    assert {*drawn.unbeaten} == unbeaten
    assert front([figure("a", "l1", 1.0)], [figure("b", "confidence", 1.0)]) is None


def test_a_ranking_has_the_best_first():
    drawn = ranking([figure("a", "l1", 0.3), figure("b", "l1", 0.1)])
    assert [one.method for one in drawn.estimates] == ["b", "a"]
    places = [drawn.axis.place(value) for value in (0.09, 0.1, 0.11, 0.31)]
    assert places == sorted({*places})
    higher = ranking([figure("a", "found", 0.3), figure("b", "found", 0.1)])
    assert [one.method for one in higher.estimates] == ["a", "b"]


def test_numbers_as_a_person_reads_them():
    assert number(0.5, METRICS["found"]) == "50.0 %"
    assert interval(figure("a", "cout", -0.5)) == "-0.51 \N{EN DASH} -0.49"


def test_a_table_names_the_nets_that_measure():
    estimates = [replace(figure("m", "kid", 0.1), nets="squeezenet-128"), figure("m", "l1", 0.1)]
    lines = markdown(estimates, [], "some").splitlines()
    assert [line for line in lines if line.startswith("- ") and line.endswith("By squeezenet-128.")] == [
        line for line in lines if line.startswith("- KID")
    ]
