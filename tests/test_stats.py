"""Ranks, intervals and tests against closed forms, brute force and SciPy."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from rather.stats import (
    RESAMPLES,
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


def test_sign_flip_is_the_exact_test_of_all_signs():
    d = np.array([0.3, -0.1, 0.7, 0.2, 0.5, -0.4, 0.9, 0.05])
    sums = [np.dot(signs, d) for signs in itertools.product([-1, 1], repeat=len(d))]
    exact = np.mean([s >= d.sum() - 1e-12 for s in sums])
    assert sign_flip(d) == pytest.approx(exact, abs=0.02)
    assert sign_flip(-d) > 0.9


def test_sign_flip_of_yes_and_no_is_mcnemar():
    d = np.array([1.0] * 9 + [-1.0] * 2 + [0.0] * 20)
    assert sign_flip(d) == pytest.approx(scipy.stats.binomtest(9, 11, alternative="greater").pvalue, abs=0.01)


def test_sign_flip_holds_its_level():
    stream = np.random.default_rng(0)
    p = [sign_flip(stream.standard_normal(12), seed) for seed in range(200)]
    assert 0.01 < np.mean(np.array(p) <= 0.05) < 0.1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_procedure(p):
    """What it rejects at 5 % is what going through the ordered p-values rejects."""
    corrected = holm(p)
    rejected, order = set(), sorted(range(len(p)), key=lambda n: p[n])
    for rank, place in enumerate(order):
        if p[place] * (len(p) - rank) > 0.05:
            break
        rejected.add(place)
    assert {n for n, q in enumerate(corrected) if q <= 0.05} == rejected


def test_bootstrap_of_a_mean_is_as_wide_as_the_normal_interval():
    values = np.random.default_rng(1).standard_normal(400)
    low, high = bootstrap_mean(values, draws(400))
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_seeds_of_an_image_are_no_more_images():
    values = np.random.default_rng(1).standard_normal(50)
    image = np.tile(np.arange(50), 4)
    once = bootstrap_mean(values, draws(50))
    assert bootstrap_mean(image_means(np.tile(values, 4), image, 50), draws(50)) == once


def test_resampled_statistics_take_all_rows_of_an_image():
    image = np.array([0, 0, 1, 2, 2, 2])
    weights = draws(3)
    found = resampled(image, weights).sum(1)
    assert found.tolist() == (weights[: len(found)] @ np.array([2, 1, 3])).tolist()
    assert len(weights) == RESAMPLES


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(2).standard_normal(20)  # as many as groups
    there = left_out(np.arange(20), 20)
    without = there @ values / there.sum(1)
    assert jackknife_error(without) == pytest.approx(values.std(ddof=1) / 20**0.5)


def test_percentiles_leave_out_what_is_not_defined():
    assert percentiles(np.array([np.nan, *np.arange(101.0)])) == (2.5, 97.5)
    assert np.isnan(percentiles(np.array([np.nan]))).all()


def test_student_p_is_that_of_scipy():
    assert student_p(1.3, 0.7) == pytest.approx(scipy.stats.norm.sf(1.3 / 0.7))
    assert student_p(1.3, 0.7, 4) == pytest.approx(scipy.stats.t.sf(1.3 / 0.7, 4))
    assert student_p(-1.3, 0.7, 4) == pytest.approx(1 - student_p(1.3, 0.7, 4))
    assert (student_p(0, 0), student_p(1, 0)) == (1, 0)


def test_the_jackknife_interval_of_a_mean_is_that_of_students_t():
    values = np.random.default_rng(3).standard_normal(9)  # of 40 images: each in a group of its own, or not
    image = np.arange(9) * 4
    there = left_out(image, 40)
    assert 1 < len(there) <= 9
    assert (there.sum(1) < 9).all()  # a group without rows is no sample
    image = np.arange(9)
    there = left_out(image, 9)
    without = there @ values / there.sum(1)
    low, high = scipy.stats.t.interval(0.95, 8, values.mean(), scipy.stats.sem(values))
    assert jackknife_interval(values.mean(), without) == pytest.approx((low, high))
