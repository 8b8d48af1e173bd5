"""DiME, FastDiME and MaskDiME: the ladder of noise, cost, guidance in closed form; errors of all with a denoiser."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from analytic import grey_denoiser, others, pictures, spatial
from rather.config.errors import RatherError
from rather.core import Classifier, Counterfactuals, Goal, Method, Noise
from rather.diffusion.denoising import lowest_levels
from rather.diffusion.guidance import guidance_gradient, log_odds
from rather.diffusion.refinement import change_mask
from rather.generators.ddpm import Denoiser
from rather.generators.noise_schedule import linear, to_pm1, to_unit
from rather.methods.ace import ACE
from rather.methods.dime import DiME
from rather.methods.fastdime import FastDiME
from rather.methods.maskdime import MaskDiME, _largest
from rather.methods.refined import Refined
from rather.methods.wachter import Wachter

pytestmark = pytest.mark.shapes
IDS = ("ann", "bob", "cy", "dee")
EVERY = (DiME, FastDiME, MaskDiME)


class Noted(nn.Module):
    """Says that the noisy image is the image; it notes the levels and what it sees there."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []
        self.seen: list[Tensor] = []

    def forward(self, z: Tensor, step: Tensor) -> Tensor:
        assert (step == step[0]).all()
        self.steps.append(int(step[0]))
        self.seen.append(z)
        return z


def noted(levels: int = 500) -> Denoiser:
    return Denoiser(Noted(), shape=(1, 6, 6), alpha_bar=linear(levels), prediction_type="image")


def ask(method: Method, rows: int = len(IDS)) -> Counterfactuals:
    classifier, x = spatial(), pictures(rows)
    return method(classifier, x, others(classifier, x), ids=IDS[:rows])


def goal_of(classifier: Classifier, x: Tensor) -> Goal:
    return Goal.criticism(others(classifier, x))


# The guidance


def test_log_odds_are_the_logarithm_of_p_over_1_minus_p() -> None:
    classifier, x = spatial(), pictures(6)
    target = others(classifier, x)
    p = classifier(x).double().softmax(1).gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(log_odds(classifier, x, Goal.change(target)).double(), p.logit(), rtol=1e-4, atol=1e-5)


def test_the_gradient_is_of_images_from_minus_1_to_1_and_row_by_row() -> None:
    classifier, x = spatial(), pictures(4)
    goal = goal_of(classifier, x)
    gradient, change = guidance_gradient(classifier, to_pm1(x), goal), 1e-2
    for row in range(4):
        one = slice(row, row + 1)
        here = goal[torch.tensor([row])]
        moved = to_pm1(x[one]).clone()
        moved[0, 0, 3, 2] += change
        rise = log_odds(classifier, to_unit(moved), here) - log_odds(classifier, x[one], here)
        torch.testing.assert_close(-rise[0] / change, gradient[row, 0, 3, 2], rtol=0.05, atol=0.01)


# The ladder of noise, and what it costs


@pytest.mark.parametrize("method", EVERY)
def test_the_query_is_brought_to_the_level_from_which_the_way_back_starts(method) -> None:
    generator, x = noted(), pictures(len(IDS))
    goal = goal_of(spatial(), x)
    method(generator=generator, tau=4, scales=(1.0,)).search(spatial(), x, goal, Noise(0, IDS))
    schedule = lowest_levels(generator, 50, 4)
    assert generator.net.steps[0] == schedule.timesteps[-1] == 31
    noise = Noise(0, IDS).split(2 if method is FastDiME else 1)[0]
    first = schedule.add_noise(to_pm1(x), 3, noise.normal(1, 6, 6))
    torch.testing.assert_close(generator.net.seen[0], first)


def test_dime_goes_all_the_way_back_from_each_level() -> None:
    generator = noted()
    ask(DiME(generator=generator, tau=4, scales=(1.0,)))
    assert generator.net.steps == [31, 20, 10, 0, 20, 10, 0, 10, 0, 0]  # each level, then all below it


@pytest.mark.parametrize("method", [FastDiME, MaskDiME])
def test_the_others_ask_once_a_level(method) -> None:
    generator = noted()
    ask(method(generator=generator, tau=4, scales=(1.0,)))
    assert generator.net.steps == [31, 20, 10, 0]


@pytest.mark.parametrize(
    ("method", "calls"),
    [
        (DiME(generator=noted(), tau=60, num_inference_steps=200), 1830),
        (FastDiME(generator=noted(), tau=60, num_inference_steps=200), 60),
        (FastDiME(generator=noted(), tau=60, num_inference_steps=200, variant="twice"), 120),
        (FastDiME(generator=noted(), tau=60, num_inference_steps=200, variant="twice-masked"), 120),
        (MaskDiME(generator=noted(), tau=60, num_inference_steps=200), 60),
    ],
    ids=lambda value: value.name() if isinstance(value, Method) else value,
)
def test_the_papers_values_cost_what_the_papers_say(method, calls) -> None:
    net = method.generator.net
    net.steps.clear()
    result = ask(method.having("scales", (8.0,)), rows=1)
    assert len(net.steps) == calls
    assert result.info["denoiser_calls"] == [calls]
    passes = calls // 60 if method.name() == "fastdime" else 1
    assert result.evaluations.tolist() == [60 * passes + 1]


# The ladder of scales


@pytest.mark.parametrize("method", EVERY)
def test_what_it_costs_is_told_of_all_scales(method) -> None:
    generator = noted()
    weak = method(generator=generator, tau=4, scales=(1e-6, 1e-6, 1e-6))
    result = ask(weak)
    calls = result.info["denoiser_calls"]
    assert not result.success.all()
    assert max(calls) == len(generator.net.steps)  # of those that were tried at every scale
    generator.net.steps.clear()
    ask(weak.having("scales", (1e-6,)))
    assert set(calls) <= {n * len(generator.net.steps) for n in (1, 2, 3)}


@pytest.mark.parametrize("method", EVERY)
def test_rows_go_on_to_the_next_scale_only_until_they_flip(method) -> None:
    weak = 1e-6
    result = ask(method(generator=grey_denoiser(), scales=(weak, 8.0, 15.0), distance_weight=0))
    assert result.success.all()
    scales, steps = result.info["scale"], result.steps.tolist()
    assert [scales[row] for row in range(len(IDS)) if steps[row] == 15] == [weak] * steps.count(15)
    assert 8.0 in scales
    assert set(steps) <= {15, 30, 45}
    assert all((scale == 8.0) == (count == 30) for scale, count in zip(scales, steps, strict=True))
    straight = ask(method(generator=grey_denoiser(), scales=(8.0,), distance_weight=0))
    for row, scale in enumerate(scales):
        if scale == 8.0:
            torch.testing.assert_close(result.images[row], straight.images[row])


@pytest.mark.parametrize("method", EVERY)
def test_without_a_pull_the_class_stays_and_with_more_it_is_surer(method) -> None:
    generator = grey_denoiser()
    p = []
    for scale in (1e-6, 1.0, 8.0):
        result = ask(method(generator=generator, scales=(scale,), distance_weight=0))
        p.append(result.after.gather(1, result.goal.target[:, None]).mean())
    assert p[0] < p[1] <= p[2]


# The masks


@pytest.mark.parametrize(
    "method",
    [
        FastDiME(generator=grey_denoiser(), dilation=1, threshold=0.5),
        FastDiME(generator=grey_denoiser(), dilation=1, threshold=0.5, variant="twice"),
        FastDiME(generator=grey_denoiser(), dilation=1, threshold=0.5, variant="twice-masked"),
        MaskDiME(generator=grey_denoiser(), dilation=1, mask_share=0.5),
    ],
)
def test_outside_of_the_mask_the_picture_is_its_query(method) -> None:
    result = ask(method)
    mask = torch.stack([*result.artifacts["mask"]])
    assert 0 < float(mask.mean()) < 1
    assert torch.equal(result.images[mask == 0], result.queries[mask == 0])
    assert result.info["mask_share"] == mask.flatten(1).mean(1).tolist()


@pytest.mark.parametrize("variant", ["twice", "twice-masked"])
def test_the_second_time_fastdime_has_the_mask_of_the_first_answer(variant) -> None:
    x = pictures(len(IDS))
    method = FastDiME(generator=grey_denoiser(), variant=variant, dilation=1, threshold=0.5, scales=(8.0,))
    once = method.having("variant", "once").having("warmup", 1.0 if variant == "twice" else 0.5)
    first = once.search(spatial(), x, goal_of(spatial(), x), Noise(0, IDS)).images
    assert torch.equal(torch.stack([*ask(method).artifacts["mask"]]), change_mask(first, x, 0.5, 1))


def test_the_largest_pixels_are_counted_and_pixels_without_a_gradient_do_not_count() -> None:
    values = torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).view(1, 1, 3, 3)
    assert _largest(values, 2 / 9, 1).flatten().tolist() == [0, 1, 0, 1, 0, 0, 0, 0, 0]
    assert _largest(values, 1.0, 1).flatten().tolist() == [0, 1, 1, 1, 0, 0, 0, 0, 0]
    assert _largest(values, 1e-3, 3).flatten().tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert _largest(values[:, :, 2:], 0.5, 1).sum() == 0


def test_the_inner_mask_lies_in_the_outer_one() -> None:
    gradient = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    outer, inner = MaskDiME(generator=noted(), dilation=1, mask_share=0.5, guided_share=0.5)._masks(gradient)
    assert outer.flatten(1).sum(1).tolist() == [18] * 3
    assert inner.flatten(1).sum(1).tolist() == [9] * 3
    assert (inner <= outer).all()


# What goes wrong, for these and the other methods with a denoiser


class Broken(nn.Module):
    """Says the image, but NaN for one whose first pixel is bright."""

    def forward(self, z: Tensor, step: Tensor) -> Tensor:
        del step
        return torch.where(z[:, :1, :1, :1] > 0.2, torch.nan, z)


def refined(generator: Denoiser, tau: int = 5, **options: int) -> Refined:
    return Refined(method=Wachter(steps=40, lr=0.02), denoiser=generator, tau=tau, **options)


WITH_DENOISER = (*EVERY, ACE, refined)


@pytest.mark.parametrize("method", [*WITH_DENOISER, partial(ACE, refine=False, select="last")])
def test_a_denoiser_that_gives_nan_fails_its_row_alone(method) -> None:
    net = Denoiser(Broken(), shape=(1, 6, 6), alpha_bar=linear(500), prediction_type="image")
    classifier, x = spatial(), pictures(len(IDS))
    x[:, 0, 0, 0] = 0
    x[2, 0, 0, 0] = 1
    result = method(generator=net, tau=3)(classifier, x, others(classifier, x), ids=IDS)
    assert [why == "NONFINITE" for why in result.failure] == [False, False, True, False]
    if method not in EVERY:
        assert result.success[[0, 1, 3]].all()


@pytest.mark.parametrize("method", WITH_DENOISER)
def test_a_generator_of_other_images_or_of_fewer_levels_is_refused(method) -> None:
    other = Denoiser(Noted(), shape=(1, 8, 8), alpha_bar=linear(500))
    with pytest.raises(RatherError, match=r"\(1, 8, 8\)") as refused:
        ask(method(generator=other))
    assert refused.value.code == "GEN-SIZE"
    short = Denoiser(Noted(), shape=(1, 6, 6), alpha_bar=linear(500), reach=60)
    for wrong, says in (({"tau": 51}, "tau 51"), ({"num_inference_steps": 501}, "501 levels"), ({"tau": 7}, "tau=6")):
        with pytest.raises(RatherError, match=says) as refused:
            method(generator=short, **wrong)
        assert refused.value.code == "CFG-SETTING"
        assert "\n" not in str(refused.value)
