"""The filter against closed forms and a literal loop, what it keeps in memory, and the refinement's masks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rather.diffusion.denoising
from analytic import Gaussian, grey_denoiser, pictures
from rather.config.errors import RatherError
from rather.core import Noise
from rather.diffusion.denoising import Filter, lowest_levels
from rather.diffusion.refinement import Refinement, change_mask
from rather.generators.ddpm import Denoiser
from rather.generators.noise_schedule import linear, to_pm1

pytestmark = [pytest.mark.numbers, pytest.mark.shapes]
TAU = 3
IDS = ("ann", "bob", "cy")


class Convolved(nn.Module):
    """Two convolutions with random weights, which say the noise; it notes what it is asked."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.last = nn.Conv2d(channels, 8, 3, padding=1), nn.Conv2d(8, channels, 3, padding=1)
        self.steps: list[int] = []
        self.seen: list[Tensor] = []

    def forward(self, z: Tensor, step: Tensor) -> Tensor:
        self.steps += step[:1].tolist()
        self.seen.append(z.detach().float())
        return self.last(self.first(z).tanh())


def convolved(levels: int = 100, **options: object) -> Denoiser:
    return Denoiser(Convolved(), shape=(1, 6, 6), alpha_bar=linear(levels), **options)


def filter_of(generator: Denoiser, **options: object) -> Filter:
    return Filter(generator=generator, schedule=lowest_levels(generator, 50, TAU), **options)


def draws(count: int, rows: int = len(IDS)) -> Tensor:
    return Noise(0, IDS[:rows]).normal(count, 1, 6, 6)


# The schedule


def test_the_lowest_levels_are_the_respaced_chain_s():
    generator = grey_denoiser(levels=500)
    schedule = lowest_levels(generator, 50, 5)
    assert schedule.timesteps.tolist() == [0, 10, 20, 31, 41]  # 499 / 49 = 10.18 apart
    assert torch.equal(schedule.alpha_bar, generator.schedule.alpha_bar[schedule.timesteps])


@pytest.mark.parametrize(
    ("num_inference_steps", "tau", "says"),
    [
        (50, 51, "tau 51.*50 levels"),
        (501, 5, "501 levels.*500"),
        (50, 7, "lowest 6.*tau=6"),  # 0, 10, 20, 31, 41, 51 are below 60
    ],
)
def test_levels_that_do_not_exist_or_were_not_learned_are_refused(num_inference_steps, tau, says):
    generator = Denoiser(Convolved(), shape=(1, 6, 6), alpha_bar=linear(500), reach=60)
    with pytest.raises(RatherError, match=says) as refused:
        lowest_levels(generator, num_inference_steps, tau)
    assert refused.value.code == "CFG-SETTING"
    assert "\n" not in str(refused.value)


# The filter


def test_the_filter_is_the_literal_loop_to_the_last_bit():
    generator, x, noises = convolved(), pictures(3), draws(TAU)
    schedule = generator.schedule.respaced(50)
    for row in range(3):
        z = schedule.add_noise(to_pm1(x[row : row + 1]), TAU - 1, noises[row : row + 1, 0])
        for n, t in enumerate([2, 1, 0], 1):
            mean, variance = generator.step(z, schedule, t)
            z = mean if t == 0 else mean + variance.sqrt() * noises[row : row + 1, n]
        alone = filter_of(generator)(x[row : row + 1], noises[row : row + 1])
        assert torch.equal(alone, (z + 1) / 2)
        torch.testing.assert_close(filter_of(generator)(x, noises)[row : row + 1], alone)


def test_the_net_is_asked_at_each_level_from_the_highest_down():
    generator = convolved(500)
    filter_of(generator)(pictures(3), draws(TAU))
    assert generator.net.steps == [20, 10, 0]
    generator.net.steps.clear()
    filter_of(generator, one_call=True)(pictures(3), draws(1))
    assert generator.net.steps == [20]


def test_of_normal_pixels_the_gradient_is_known():
    variance = 0.12
    generator = grey_denoiser(variance)
    schedule, x = lowest_levels(generator, 50, TAU), pictures(3).requires_grad_()
    a = schedule.alpha_bar
    gain = a[-1].sqrt()
    for t in (2, 1, 0):
        before = a[t - 1] if t else torch.ones(())
        expected = a[t].sqrt() * variance / (a[t] * variance + 1 - a[t])
        beta = 1 - a[t] / before
        of_image, of_noisy = before.sqrt() * beta, (a[t] / before).sqrt() * (1 - before)
        gain = gain * (of_image * expected + of_noisy) / (1 - a[t])
    (slope,) = torch.autograd.grad(filter_of(generator)(x, 0 * draws(TAU)).sum(), x)
    torch.testing.assert_close(slope, torch.full_like(x, float(gain)), rtol=1e-5, atol=0)
    one = filter_of(generator, one_call=True)
    (slope,) = torch.autograd.grad(one(x, 0 * draws(1)).sum(), x)
    expected = a[-1] * variance / (a[-1] * variance + 1 - a[-1])
    torch.testing.assert_close(slope, torch.full_like(x, float(expected)), rtol=1e-5, atol=0)


def slopes(generator: Denoiser, checkpoint: str) -> Tensor:
    x = pictures(3).requires_grad_()
    made = filter_of(generator, checkpoint=checkpoint)(x, draws(TAU))
    return torch.autograd.grad(made.square().sum(), x)[0]


@pytest.mark.parametrize(
    ("checkpoint", "memory", "again"), [("always", 1e12, TAU), ("never", 0, 0), ("auto", 0, TAU - 1)]
)
def test_what_is_forgotten_is_computed_again_to_the_last_bit(checkpoint, memory, again, monkeypatch):
    monkeypatch.setattr(rather.diffusion.denoising, "at_hand", lambda _: int(memory))
    generator, plain = convolved(), slopes(convolved(), "never")
    assert torch.equal(slopes(generator, checkpoint), plain)
    assert len(generator.net.steps) == TAU + again


def test_memory_is_asked_for_what_all_steps_keep(monkeypatch):
    """Per row and step at least the net's input and its hidden map, which tanh and the last layer share."""
    least = TAU * 3 * (1 + 8) * 36 * 4
    for memory, again in ((4 * least - 4, TAU - 1), (4 * 4 * least, 0)):
        monkeypatch.setattr(rather.diffusion.denoising, "at_hand", lambda _, memory=memory: memory)
        generator = convolved()
        slopes(generator, "auto")
        assert len(generator.net.steps) == TAU + again


def test_half_the_bits_are_near():
    generator, x = convolved(), pictures(3)
    exact = filter_of(generator)(x, draws(TAU))
    half = filter_of(generator, bfloat16=True)(x, draws(TAU))
    assert half.dtype == torch.float32
    assert 0 < float((half - exact).abs().max()) < 0.02


# The mask


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 5]), st.sampled_from([0.0, 0.15, 0.5, 1.0]))
def test_a_mask_is_what_its_definition_says_pixel_by_pixel(seed, dilation, threshold):
    rng = torch.Generator().manual_seed(seed)
    x, z = torch.rand(2, 2, 3, 5, 4, generator=rng).unbind(0)
    z = torch.where(torch.rand(2, 1, 5, 4, generator=rng) < 0.3, z, x)
    mask, reach = change_mask(z, x, threshold, dilation), dilation // 2
    for row in range(2):
        change = (z[row] - x[row]).abs().sum(0)
        for i in range(5):
            for j in range(4):
                near = change[max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]
                most = change.max() if change.max() > 0 else 1
                assert bool(mask[row, 0, i, j]) == bool(near.max() / most >= threshold)


def test_what_has_not_changed_has_no_mask_and_what_is_nan_has_all():
    x = pictures(2)
    z = x.clone()
    z[1, 0, 2, 3] = torch.nan
    assert change_mask(z, x, 0.15, 3).flatten(1).mean(1).tolist() == [0, 1]


# The refinement


def refinement(generator: Denoiser, **options: object) -> Refinement:
    schedule = lowest_levels(generator, 50, TAU)
    return Refinement(generator=generator, schedule=schedule, **{"threshold": 0.15, "dilation": 3, **options})


def changed(x: Tensor) -> Tensor:
    """Brighter in one pixel; the last row stays."""
    z = x.clone()
    z[:-1, 0, 4, 4] += 0.2
    return z


def test_outside_of_its_mask_a_picture_is_its_query_to_the_last_bit():
    x = pictures(3)
    images, mask = refinement(convolved())(changed(x), x, draws(2 * TAU))
    assert mask[:-1].sum((1, 2, 3)).tolist() == [9, 9]
    assert torch.equal(images[mask == 0], x[mask == 0])
    assert (images != x)[mask == 1].all()
    assert torch.equal(images[-1], x[-1])


def test_outside_of_its_mask_the_net_sees_the_query_at_the_level_of_the_inside_newly_noised():
    generator, x, noises = convolved(), pictures(3), draws(2 * TAU)
    _, mask = refinement(generator)(changed(x), x, noises)
    schedule = lowest_levels(generator, 50, TAU)
    assert generator.net.steps == schedule.timesteps.flip(0).tolist()
    around = (mask == 0).expand_as(x)
    for seen, t, which in zip(generator.net.seen, (2, 1, 0), (1, 3, 5), strict=True):
        there = schedule.add_noise(to_pm1(x), t, noises[:, which])
        assert torch.equal(seen[around], there[around])
    inside = schedule.add_noise(to_pm1(changed(x)), 2, noises[:, 0])
    assert torch.equal(generator.net.seen[0][mask == 1], inside[mask == 1])


def test_with_threshold_0_it_is_the_filter():
    generator, x, noises = convolved(), pictures(3), draws(2 * TAU)
    images, mask = refinement(generator, threshold=0.0)(x, x, noises)
    assert mask.all()
    plain = filter_of(generator)(x, noises[:, [0, 2, 4]])
    torch.testing.assert_close(images, plain.clamp(0, 1))


def test_a_denoiser_that_gives_nan_is_seen_in_its_row_alone():
    net = Gaussian(linear(500), 0.0, 0.12)
    with_nan = Denoiser(Broken(net), shape=(1, 6, 6), alpha_bar=linear(500), prediction_type="image")
    x = pictures(3)
    x[1, 0, 0, 0] = 1
    x[0, 0, 0, 0] = x[2, 0, 0, 0] = 0
    images, _ = refinement(with_nan)(changed(x), x, draws(2 * TAU))
    assert images.isfinite().flatten(1).all(1).tolist() == [True, False, True]


class Broken(nn.Module):
    """A net that gives NaN for pictures whose first pixel is bright."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor, step: Tensor) -> Tensor:
        return torch.where(z[:, :1, :1, :1] > 0.5, torch.nan, self.net(z, step))
