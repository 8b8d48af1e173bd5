"""The schedule of noise levels: closed forms, in float64 where rounding would hide an error."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rather.config.errors import RatherError
from rather.generators.noise_schedule import NoiseSchedule, cosine, linear, to_pm1, to_unit

LINEAR, COSINE = NoiseSchedule.of(linear(1000)), NoiseSchedule.of(cosine(500))


def images(count=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(count, 2, 4, 4, generator=g, dtype=torch.float64) * 2 - 1


def noise(like, seed=1):
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)


@pytest.mark.parametrize("schedule", [linear, cosine])
@pytest.mark.parametrize("count", [20, 500, 1000])
def test_schedules_go_from_the_image_to_noise(schedule, count):
    a = schedule(count)
    assert len(a) == count
    assert (a.diff() < 0).all()
    assert 1 > a[0] > 0.9
    assert 0 < a[-1] < 1e-4


def test_linear_schedule_is_that_of_ho_et_al():
    a = linear(1000)
    betas = 1 - a / torch.cat([torch.ones(1), a[:-1]])
    torch.testing.assert_close(betas, torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
    # Of fewer levels each adds more, and the end is as noisy.
    torch.testing.assert_close(linear(500)[-1].log(), a[-1].log(), rtol=0.05, atol=0)


def test_cosine_schedule_is_that_of_nichol_and_dhariwal():
    a, s = cosine(100), 0.008
    whole = [math.cos((t / 100 + s) / (1 + s) * math.pi / 2) ** 2 for t in range(101)]
    expected = torch.tensor(whole, dtype=torch.float64)
    torch.testing.assert_close(a[:99], expected[1:100] / expected[0])  # the last one is cut off
    assert a[-1] > expected[-1] / expected[0]


@pytest.mark.shapes
@pytest.mark.parametrize("t", [0, 1, 499, 999])
def test_noise_and_image_take_each_other_apart(t):
    x = images()
    e = noise(x)
    z = LINEAR.add_noise(x, t, e)
    torch.testing.assert_close(LINEAR.x0(z, t, e), x)
    torch.testing.assert_close(LINEAR.noise(z, t, x), e)


@pytest.mark.shapes
@pytest.mark.parametrize("t", [1, 2, 300, 999])
def test_posterior_is_bayes(t):
    x, e = images(), noise(images())
    z = LINEAR.add_noise(x, t, e)
    a, before = LINEAR.alpha_bar[t], LINEAR.alpha_bar[t - 1]
    step = a / before
    # Of y, the level before: q(z | y) = N(sqrt(step) y, 1 - step), q(y | x) = N(sqrt(before) x, 1 - before);
    # precisions add up, and so do means weighted by them.
    precision = step / (1 - step) + 1 / (1 - before)
    mean = (step.sqrt() * z / (1 - step) + before.sqrt() * x / (1 - before)) / precision
    theirs, variance = LINEAR.posterior(z, t, x)
    torch.testing.assert_close(theirs, mean)
    torch.testing.assert_close(variance.flatten(), (1 / precision)[None])
    torch.testing.assert_close(LINEAR.beta(t, z).flatten(), (1 - step)[None])


def test_before_the_first_level_is_the_image():
    x = images()
    mean, variance = COSINE.posterior(COSINE.add_noise(x, 0, noise(x)), 0, x)
    torch.testing.assert_close(mean, x)
    assert variance.item() == 0


def test_a_posterior_of_noised_images_is_a_noised_image_of_the_level_before():
    x = torch.full((20_000, 1, 1, 1), 0.3, dtype=torch.float64)
    z = COSINE.add_noise(x, 200, noise(x))
    mean, variance = COSINE.posterior(z, 200, x)
    y = mean + variance.sqrt() * noise(x, 2)
    a = COSINE.alpha_bar[199]
    assert y.mean().item() == pytest.approx(0.3 * a.sqrt().item(), abs=0.02)
    assert y.var().item() == pytest.approx(1 - a.item(), rel=0.03)


@given(count=st.integers(1, 500))
@settings(deadline=None, max_examples=30)
def test_respacing_keeps_the_share_of_each_level(count):
    some = COSINE.respaced(count)
    assert len(some) == count
    torch.testing.assert_close(some.alpha_bar, COSINE.alpha_bar[some.timesteps])
    assert some.timesteps[0] == 0
    assert count == 1 or some.timesteps[-1] == 499
    assert (some.timesteps.diff() > 0).all()
    assert count == 1 or int(some.timesteps.diff().max() - some.timesteps.diff().min()) <= 1


@pytest.mark.parametrize("count", [0, -1, 501])
def test_more_levels_than_there_are_are_refused(count):
    with pytest.raises(RatherError, match="there are 500") as caught:
        COSINE.respaced(count)
    assert caught.value.code == "CFG-SETTING"


@pytest.mark.shapes
def test_each_row_may_have_a_level_of_its_own():
    x, t = images(4), torch.tensor([0, 3, 3, 999])
    e = noise(x)
    z = LINEAR.add_noise(x, t, e)
    mean, variance = LINEAR.posterior(z, t, x)
    for row, level in enumerate(t.tolist()):
        one = slice(row, row + 1)
        assert torch.equal(z[one], LINEAR.add_noise(x[one], level, e[one]))
        alone = LINEAR.posterior(z[one], level, x[one])
        assert torch.equal(mean[one], alone[0])
        assert torch.equal(variance[one], alone[1])
        assert torch.equal(LINEAR.x0(z, t, e)[one], LINEAR.x0(z[one], level, e[one]))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_lowest_levels_survive_rounding(kind):
    x, e = images().to(kind), noise(images()).to(kind)
    assert LINEAR.add_noise(x, 0, e).dtype == kind
    exact = LINEAR.posterior(x.double(), 1, x.double())
    mean, variance = LINEAR.posterior(x, 1, x)
    # The share of what float32 would leave of 1 - a is wrong by a thousandth, of bfloat16 it is nothing.
    torch.testing.assert_close(variance.double(), exact[1], rtol=2 * torch.finfo(kind).eps, atol=0)
    torch.testing.assert_close(mean.double(), exact[0], rtol=4 * torch.finfo(kind).eps, atol=1e-7)


def test_levels_of_a_net_in_any_number_of_bits_are_counted_in_float64():
    assert NoiseSchedule.of(linear(10).half()).alpha_bar.dtype == torch.float64


def test_units():
    x = torch.rand(2, 1, 3, 3)
    torch.testing.assert_close(to_pm1(torch.tensor([[[[0.0, 0.5, 1.0]]]])), torch.tensor([[[[-1.0, 0.0, 1.0]]]]))
    torch.testing.assert_close(to_unit(to_pm1(x)), x)
