"""A denoiser, against pixels that are normally distributed: of them the best one is known."""

import pytest
import torch
from torch import Tensor, nn

from analytic import two_classes
from rather.config.errors import RatherError
from rather.generators.ddpm import Denoiser
from rather.generators.noise_schedule import NoiseSchedule, cosine, linear, to_pm1

SHAPE = (1, 4, 4)
MEAN, SPREAD = 0.2, 0.1  # in [-1, 1]; no estimate comes near the ends, where it would be cut off


class Normal(nn.Module):
    """The best denoiser of pixels N(MEAN, SPREAD^2): E[x | z] = x + gain (z - E[z]), by Bayes."""

    def __init__(self, alpha_bar: Tensor, says: str = "noise") -> None:
        super().__init__()
        self.alpha_bar, self.says = alpha_bar.double(), says

    def forward(self, z: Tensor, steps: Tensor) -> Tensor:
        a = self.alpha_bar[steps].to(z).reshape(-1, 1, 1, 1)
        x = MEAN + a.sqrt() * SPREAD**2 / (a * SPREAD**2 + 1 - a) * (z - a.sqrt() * MEAN)
        e = (z - a.sqrt() * x) / (1 - a).sqrt()
        return {"image": x, "noise": e, "velocity": a.sqrt() * e - (1 - a).sqrt() * x}[self.says]


class Learned(nn.Module):
    """Says 0 of the noise, and `part` of the variance."""

    def __init__(self, part: float) -> None:
        super().__init__()
        self.part = part

    def forward(self, z: Tensor, steps: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(z), torch.full_like(z, self.part)], 1)


def normal(alpha_bar, says="noise", **more) -> Denoiser:
    return Denoiser(Normal(alpha_bar, says), shape=SHAPE, alpha_bar=alpha_bar, prediction_type=says, **more)


def rows(count, seed=0):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.shapes
@pytest.mark.parametrize("t", [0, 5, 40])
def test_all_that_a_net_can_say_is_the_same_image(t):
    a = cosine(50).float().double()  # as a file keeps them
    z = NoiseSchedule.of(a).add_noise(MEAN + SPREAD * rows(6), t, rows(6, 1))
    nets = [normal(a, says) for says in ("noise", "image", "velocity")]
    first, *others = [net.predict_x0(z, net.schedule, t) for net in nets]
    for other in others:
        torch.testing.assert_close(other, first)
    # Tweedie: x = (z + (1 - a) d log p(z) / dz) / sqrt(a), and p(z) is normal as well.
    score = -(z - a[t].sqrt() * MEAN) / (a[t] * SPREAD**2 + 1 - a[t])
    torch.testing.assert_close(first, (z + (1 - a[t]) * score) / a[t].sqrt())


@pytest.mark.parametrize(("schedule", "variance"), [(linear, "posterior"), (linear, "beta"), (cosine, "posterior")])
def test_walking_down_from_noise_gives_the_images_distribution(schedule, variance):
    # Every step is affine: mean and variance of all samples at once, without drawing any.
    net = normal(schedule(1000), variance=variance)
    schedule, mean, spread = net.schedule, 0.0, 1.0
    for t in range(len(schedule) - 1, -1, -1):
        (low, high), step = (
            part[:, 0, 0, 0].tolist()
            for part in net.step(torch.tensor([0.0, 0.1]).double()[:, None, None, None].expand(2, *SHAPE), schedule, t)
        )
        slope = (high - low) / 0.1
        mean, spread = low + slope * mean, slope**2 * spread + (step[0] if t else 0)
    assert mean == pytest.approx(MEAN, abs=0.002)
    assert spread**0.5 == pytest.approx(SPREAD, rel=0.05)


def test_estimates_stay_in_the_range_of_images():
    net = normal(linear(20))
    z = 30 * rows(4)
    assert net.predict_x0(z, net.schedule, 3).abs().max() <= 1


@pytest.mark.shapes
def test_the_last_step_is_worth_as_much_to_guidance_as_the_one_before():
    a = linear(50)
    schedule, z = NoiseSchedule.of(a), torch.randn(2, *SHAPE)
    _, least = schedule.posterior(z, 1, z)
    assert normal(a).step(z, schedule, 0)[1][0].item() == pytest.approx(least.item())
    net = Denoiser(Learned(-1.0), shape=SHAPE, alpha_bar=a, variance="learned")
    torch.testing.assert_close(net.step(z, schedule, 0)[1], torch.full_like(z, least.item()))


def test_the_ends_of_a_chain_survive_32_bits():
    for a in (linear(1000), cosine(4000)):
        net = normal(a)
        torch.testing.assert_close(1 - net.schedule.alpha_bar, 1 - a.double(), rtol=1e-5, atol=0)
        torch.testing.assert_close(net.schedule.alpha_bar, a.double(), rtol=1e-5, atol=0)


def test_variance_of_a_step_is_what_it_was_asked_to_be():
    z, a = rows(3), linear(20)
    t = 7
    schedule = NoiseSchedule.of(a.float())
    least, most = schedule.posterior(z, t, z)[1].item(), schedule.beta(t, z).item()
    for variance, expected in (("posterior", least), ("beta", most)):
        assert normal(a, variance=variance).step(z, schedule, t)[1].shape == (3, 1, 1, 1)
        assert normal(a, variance=variance).step(z, schedule, t)[1][0].item() == pytest.approx(expected)
    for part, expected in ((-1, least), (1, most), (0, (least * most) ** 0.5)):
        net = Denoiser(Learned(part), shape=SHAPE, alpha_bar=a, variance="learned")
        _, variance = net.step(z, schedule, t)
        torch.testing.assert_close(variance, torch.full_like(z, expected))
        assert net.step(z, schedule, 0)[1].isfinite().all()


def test_a_net_is_told_the_steps_of_the_whole_chain():
    asked = []

    class Listens(nn.Module):
        def forward(self, z, steps):
            asked.append(steps.tolist())
            return z

    net = Denoiser(Listens(), shape=SHAPE, alpha_bar=linear(100))
    schedule = net.schedule.respaced(10)
    net.predict_x0(rows(2), schedule, 3)
    assert asked == [[33, 33]]


@pytest.mark.shapes
def test_images_come_through_noise_and_a_row_does_not_care_about_its_batch():
    net = normal(linear(500))
    x = ((MEAN + SPREAD * rows(4)) / 2 + 0.5).float()
    again = net(x)
    assert again.shape == x.shape
    assert torch.equal(net(x), again)
    torch.testing.assert_close(net(x[2:3]), again[2:3])
    noised, schedule, t = net.noised(x)
    assert (t, len(schedule), int(schedule.timesteps[t])) == (4, 50, 41)
    assert 0 < (again - x).square().mean() < ((noised - to_pm1(x)) / 2).square().mean() / 2
    z = x.clone().requires_grad_()
    assert torch.autograd.grad(net(z).sum(), z)[0].abs().sum() > 0


@pytest.mark.parametrize(
    ("levels", "reach", "turns"), [(500, None, 41), (500, 25, 20), (500, 1, 0), (3, None, 2), (1, None, 0)]
)
def test_the_way_into_noise_ends_where_the_net_knows_no_more(levels, reach, turns):
    net = normal(linear(1000)[:levels], reach=reach)
    x = torch.full((1, *SHAPE), 0.6)
    _, schedule, t = net.noised(x)
    assert int(schedule.timesteps[t]) == turns
    assert net(x).isfinite().all()


def test_fingerprint_knows_numbers_levels_and_what_it_says():
    one = normal(linear(20)).fingerprint()
    assert one == normal(linear(20)).fingerprint()
    assert (
        len(
            {
                one,
                normal(cosine(20)).fingerprint(),
                normal(linear(20), "image").fingerprint(),
                normal(linear(20), reach=5).fingerprint(),
                normal(linear(20), variance="beta").fingerprint(),
            }
        )
        == 5
    )


def test_is_frozen_and_keeps_its_levels_in_its_state():
    net = normal(linear(20)).train()
    assert not net.training
    assert net.state_dict()["log_signal_to_noise"].shape == (20,)


def test_before_a_run_the_net_is_looked_at():
    classifier = two_classes([1.0] * 16, -8.0, SHAPE)
    x = torch.full((4, *SHAPE), 0.7)
    notes = normal(linear(500)).preflight(classifier, x)
    assert [note for note in notes if "GEN-NOISE" not in note] == []  # this net removes about half of the noise

    class Broken(nn.Module):
        def __init__(self, says):
            super().__init__()
            self.says = says

        def forward(self, z, steps):
            return self.says(z)

    def looked_at(says, **more):
        return Denoiser(Broken(says), shape=SHAPE, alpha_bar=linear(500), prediction_type="image", **more).preflight(
            classifier, x
        )

    assert "4 of 4" in looked_at(lambda z: -torch.ones_like(z))[0]
    for says, more, code in (
        (lambda z: z * torch.nan, {}, "GEN-NONFINITE"),
        (lambda z: z[..., :2], {}, "GEN-SIZE"),
        (lambda z: z, {"variance": "learned"}, "GEN-SIZE"),
    ):
        with pytest.raises(RatherError) as caught:
            looked_at(says, **more)
        assert caught.value.code == code
    with pytest.raises(RatherError) as caught:
        normal(linear(500)).preflight(two_classes([1.0] * 9, 0.0, (1, 3, 3)), x)
    assert caught.value.code == "GEN-SIZE"
