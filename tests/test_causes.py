"""What truly moves a classifier, and whether an explanation names it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, rankdata, spearmanr
from torch import nn

from rather.config.errors import RatherError
from rather.core import Classifier
from rather.metrics import (
    area_under_curve,
    cosine_agreement,
    distance_to_truth,
    inside_true_change,
    largest_changes,
    named_among,
    names_cause,
    rank_agreement,
)
from rather.stats import mid_ranks, rank_correlation
from rather.worlds import WORLDS, faces
from rather.worlds.faces import ATTRIBUTES, HAIR_COLOURS, REGIONS
from tolerance import assert_same_floats

pytestmark = pytest.mark.numbers
SIDE = 64
WORLD = WORLDS["faces"]
few = st.lists(st.integers(-3, 3), min_size=3, max_size=9)  # so few values that many are equal


@settings(deadline=None)
@given(few)
def test_mid_ranks_are_those_of_scipy(values):
    ranks = mid_ranks(torch.tensor(values, dtype=torch.float32))
    np.testing.assert_array_equal(ranks.numpy(), rankdata(values))


@settings(deadline=None)
@given(few, st.randoms(use_true_random=False))
def test_rank_correlation_is_that_of_scipy(values, random):
    others = [random.randint(-2, 2) for _ in values]
    assume(len({*values}) > 1)
    assume(len({*others}) > 1)
    found = rank_correlation(torch.tensor(values).double(), torch.tensor(others).double())
    assert found.item() == pytest.approx(spearmanr(values, others).statistic, abs=1e-12)


@pytest.mark.parametrize("without", [[1.0, 1.0, 1.0], [1.0, math.nan, 2.0]])
def test_without_an_order_there_is_no_correlation(without):
    a, b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor(without)
    assert rank_correlation(a, b).isnan()
    assert rank_correlation(b, a).isnan()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(2, 12))
def test_agreement_is_spearman_of_mean_amounts(seed, n, a):
    draw = torch.Generator().manual_seed(seed)
    changes = torch.randint(-3, 4, (n, a), generator=draw).float()
    effects = torch.randint(-3, 4, (a,), generator=draw).float()
    amounts, sizes = changes.abs().mean(0).double(), effects.abs()
    assume(len(amounts.unique()) > 1)
    assume(len(sizes.unique()) > 1)
    expected = spearmanr(amounts.numpy(), sizes.numpy()).statistic
    assert rank_agreement(changes, effects).item() == pytest.approx(expected, abs=1e-12)
    assert rank_agreement(changes.abs() * 7, -effects).item() == pytest.approx(expected, abs=1e-12)  # order alone
    assert rank_agreement(torch.zeros(2, a), effects).isnan()
    with pytest.raises(RatherError, match="one row"):
        rank_agreement(torch.zeros(0, a), effects)


def test_the_order_of_what_hardly_matters_is_nothing_to_the_cosine():
    effects = torch.tensor([-40.0, 0.01, 0.02, 0.03])
    right = torch.tensor([[0.5, 0.003, 0.002, 0.001], [-0.3, 0.0, 0.0, 0.0]])
    assert cosine_agreement(right, effects).item() == pytest.approx(1, abs=1e-4)
    assert rank_agreement(right, effects).item() == pytest.approx(0.2)
    assert cosine_agreement(right.flip(1), effects) < 0.01
    # By hand: means 1 and 2, effects 3 and 4.
    two = cosine_agreement(torch.tensor([[1.0, -4.0], [-1.0, 0.0]]), torch.tensor([-3.0, 4.0]))
    assert two.item() == pytest.approx(11 / (math.sqrt(5) * 5))
    assert cosine_agreement(torch.zeros(2, 4), effects).isnan()
    with pytest.raises(RatherError, match="one row"):
        cosine_agreement(torch.zeros(0, 4), effects)


def test_who_is_named():
    changes = torch.tensor([[3.0, -4.0, 1.0], [0.0, 0.0, 0.0], [2.0, -2.0, 2.0], [0.0, 1.0, -5.0]])
    assert named_among(changes, 0, 1).tolist() == [False, False, True, False]
    assert named_among(changes, 1, 1).tolist() == [True, False, True, False]
    assert named_among(changes, 0, 2).tolist() == [True, False, True, False]
    assert named_among(changes, 0, 3).tolist() == [True, False, True, False]  # what is unchanged is not named
    assert named_among(changes, 2, 3).tolist() == [True, False, True, True]
    assert names_cause(changes, torch.tensor([0.1, -3.0, 2.0])).tolist() == [True, False, True, False]
    assert names_cause(changes * torch.tensor([torch.nan, 1.0, 1.0]), torch.ones(3)).isnan().all()


def test_largest_changes_by_hand():
    changes = torch.tensor([[3.0, -4.0, 1.0], [0.0, 0.0, 0.0], [2.0, -2.0, 2.0]])
    assert largest_changes(changes, 1).tolist() == [0, 1, 0]
    assert largest_changes(changes, 2).tolist() == [0.5, 0.5, 0]
    # Of three that are as large as each other one is looked at: a third of it each.
    assert largest_changes(changes, 3).tolist() == pytest.approx([4 / 9, 4 / 9, 1 / 9])
    # What did not change is not looked at, however many could be.
    assert largest_changes(changes, 8).tolist() == [2 / 8, 2 / 8, 2 / 8]
    assert largest_changes(changes, 100).tolist() == pytest.approx([2 / 100, 2 / 100, 2 / 100])
    with pytest.raises(RatherError, match="one row"):
        largest_changes(torch.zeros(0, 3))
    with pytest.raises(RatherError, match="first 0"):
        largest_changes(changes, 0)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 5), st.integers(1, 12))
def test_largest_changes_are_the_mean_over_orders_of_equal_ones(seed, n, a, first):
    draw = torch.Generator().manual_seed(seed)
    changes = torch.randint(-2, 3, (n, a), generator=draw).float()
    found = largest_changes(changes, first)
    entries = [(abs(changes[row, k].item()), k) for row in range(n) for k in range(a)]
    expected = np.zeros(a)
    for amount, k in entries:
        larger = sum(other > amount for other, _ in entries)
        equal = sum(other == amount for other, _ in entries)
        expected[k] += (amount > 0) * min(max(first - larger, 0), equal) / equal / first
    np.testing.assert_allclose(found.numpy(), expected, rtol=4 * np.finfo(np.float32).eps)  # a quotient and a product


@settings(deadline=None)
@given(few, few)
def test_area_under_the_curve_is_the_share_of_pairs_and_that_of_scipy(planted, clean):
    found = area_under_curve(torch.tensor(planted).float(), torch.tensor(clean).float()).item()
    pairs = [(p > c) + 0.5 * (p == c) for p in planted for c in clean]
    assert found == pytest.approx(np.mean(pairs), abs=1e-12)
    u = mannwhitneyu(planted, clean, method="asymptotic").statistic
    assert found == pytest.approx(u / (len(planted) * len(clean)), abs=1e-12)


def test_area_under_the_curve_of_nan_and_of_none():
    assert area_under_curve(torch.tensor([math.nan]), torch.tensor([1.0])).isnan()
    with pytest.raises(RatherError, match="0 planted and 2 clean"):
        area_under_curve(torch.zeros(0), torch.zeros(2))


def test_where_the_change_lies_and_how_far_the_truth_is():
    query = torch.zeros(5, 3, 2, 2)
    truth = query.clone()
    truth[:, 0, 0] = 0.8  # the true change is that of two pixels, in one channel
    images = query.clone()
    images[1] = truth[1]
    images[2] = 0.4  # everywhere, in all channels
    images[3, 2, 0, 1] = -0.5  # in the right place, in another channel and to the wrong side
    images[4] = truth[4] / 2
    inside = inside_true_change(images, query, truth)
    assert inside[0].isnan()
    torch.testing.assert_close(inside[1:], torch.tensor([1.0, 0.5, 1.0, 1.0]).double())
    distance = distance_to_truth(images, query, truth)
    expected = torch.tensor([1.0, 0.0, (2 * 0.4 + 10 * 0.4) / 1.6, (1.6 + 0.5) / 1.6, 0.5]).double()
    torch.testing.assert_close(distance, expected)
    assert distance_to_truth(images, query, query).isfinite().sum() == 0


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_scores_against_the_truth_are_those_of_a_loop(seed):
    draw = np.random.default_rng(seed)
    query, image = draw.random((2, 3, 3, 4, 5))
    truth = np.where(draw.random((3, 1, 4, 5)) < 0.3, draw.random((3, 3, 4, 5)), query)
    assume((truth != query).any((1, 2, 3)).all())
    inside = inside_true_change(*map(torch.from_numpy, (image, query, truth)))
    distance = distance_to_truth(*map(torch.from_numpy, (image, query, truth)))
    for row in range(3):
        right = sum(
            abs(image[row, :, y, x] - query[row, :, y, x]).sum()
            for y in range(4)
            for x in range(5)
            if (truth[row, :, y, x] != query[row, :, y, x]).any()
        )
        assert inside[row].item() == pytest.approx(right / abs(image[row] - query[row]).sum(), abs=1e-12)
        far = abs(image[row] - truth[row]).sum() / abs(query[row] - truth[row]).sum()
        assert distance[row].item() == pytest.approx(far, abs=1e-12)


class _Red(nn.Module):
    """The mean of red in a window is the logit of the second class, times a gain; that of the first is 0."""

    def __init__(self, rows: slice, columns: slice, gain: float) -> None:
        super().__init__()
        self.rows, self.columns, self.gain = rows, columns, gain

    def forward(self, x):
        red = self.gain * x[:, 0, self.rows, self.columns].mean((1, 2))
        return torch.stack([torch.zeros_like(red), red], 1)


def red(rows=slice(None), columns=slice(None), gain=4.0, shape=(3, SIDE, SIDE)):
    return Classifier(nn.Identity(), _Red(rows, columns, gain), classes=("no", "red"), shape=shape)


def drawn(given):
    return (faces.draw(given, SIDE)[0] * 255).round() / 255


def test_effects_of_the_mean_of_red_are_differences_of_it():
    some = faces.sample(6, seed=3)
    found = WORLD.effects(red(), some, 1)
    assert list(found) == [*ATTRIBUTES, "background"]
    for name in ATTRIBUTES:
        if name not in HAIR_COLOURS:
            with_it, without = (
                4 * drawn(faces.set_attributes(some, {name: value}))[:, 0].mean((1, 2)) for value in (1, 0)
            )
            torch.testing.assert_close(found[name].log_odds.float(), with_it - without, atol=1e-5, rtol=0)
            torch.testing.assert_close(
                found[name].probability.float(), with_it.sigmoid() - without.sigmoid(), atol=1e-5, rtol=0
            )
    # The gain cancels: an effect on the one of two classes is the opposite of that on the other.
    for one, other in zip(found.values(), WORLD.effects(red(), some, 0).values(), strict=True):
        torch.testing.assert_close(one.log_odds, -other.log_odds)
        torch.testing.assert_close(one.probability, -other.probability)


def test_hair_colours_have_effects_against_each_other():
    some = faces.sample(5, seed=4)
    found = WORLD.effects(red(), some, 1)
    said = {name: 4 * drawn(faces.set_attributes(some, {name: 1}))[:, 0].mean((1, 2)) for name in HAIR_COLOURS}
    rest = (said["black_hair"] + said["brown_hair"] + said["red_hair"]) / 3
    torch.testing.assert_close(found["blond_hair"].log_odds.float(), said["blond_hair"] - rest, atol=1e-5, rtol=0)
    total = sum(found[name].log_odds for name in HAIR_COLOURS)
    torch.testing.assert_close(total, torch.zeros_like(total), atol=1e-6, rtol=0)


def test_a_classifier_that_sees_only_the_region_of_glasses_is_moved_by_them_and_by_nothing_out_of_sight():
    some = faces.sample(8, seed=5)
    layouts = faces.draw(faces.set_attributes(some, {"glasses": 1}), SIDE)[1]
    where = (layouts == REGIONS.index("glasses")).any(0).nonzero()
    (top, left), (bottom, right) = where.amin(0).tolist(), where.amax(0).tolist()
    found = WORLD.effects(red(slice(top, bottom + 1), slice(left, right + 1)), some, 1)
    assert found["hat"].log_odds.abs().max() == 0
    sizes = {name: effect.log_odds.mean().abs().item() for name, effect in found.items()}
    del sizes["dark_skin"]  # whose red is seen wherever there is skin
    assert max(sizes, key=sizes.__getitem__) == "glasses"
    corner = WORLD.effects(red(slice(SIDE - 2, SIDE), slice(0, 2)), some, 1)
    assert corner["glasses"].log_odds.abs().max() == 0


def test_effects_do_not_depend_on_the_other_faces():
    some = faces.sample(4, seed=6)
    alone, together = (WORLD.effects(red(), given, 1) for given in (some[[2]], some))
    for name in ATTRIBUTES:
        one, other = alone[name].log_odds[0], together[name].log_odds[2]
        assert_same_floats(one.float(), other.float(), terms=SIDE * SIDE, scale=4.0)  # which is the gain


def test_no_faces_have_no_effects():
    with pytest.raises(RatherError, match="Give one"):
        WORLD.effects(red(), faces.sample(0), 1)
