"""ACE against a literal loop of its algorithm, what it costs, its stages; the wrapper of its refinement."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from analytic import grey_denoiser, others, pictures, spatial
from rather.config.errors import RatherError
from rather.core import Classifier, Counterfactuals, Goal, Noise
from rather.diffusion.denoising import lowest_levels
from rather.diffusion.refinement import Refinement, change_mask
from rather.generators.ddpm import Denoiser
from rather.generators.noise_schedule import linear, to_pm1
from rather.methods.ace import ACE
from rather.methods.attack import Attack
from rather.methods.refined import Refined
from rather.methods.several import Several
from rather.methods.wachter import Wachter
from rather.search.attacks import margin
from rather.search.descend import on_grid
from tolerance import assert_same_pictures

pytestmark = [pytest.mark.numbers, pytest.mark.shapes]
IDS = ("ann", "bob", "cy", "dee")
PAPER = {"select": "last", "num_path_frames": 0}


class Convolved(nn.Module):
    """A residual net of two convolutions that says the image; it counts how many rows it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.last = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)
        self.rows = 0

    def forward(self, z: Tensor, step: Tensor) -> Tensor:
        del step
        self.rows += len(z)
        return 0.9 * z + 0.1 * self.last(self.first(z).tanh())


def convolved() -> Denoiser:
    return Denoiser(Convolved(), shape=(1, 6, 6), alpha_bar=linear(500), prediction_type="image")


def ask(method: Callable[..., Counterfactuals], rows: slice = slice(None), **options: object) -> Counterfactuals:
    classifier, x = spatial(), pictures(len(IDS))
    target = others(classifier, x)[rows]
    return method(classifier, x[rows], target, ids=IDS[rows], **options)


# The paper's algorithm


def literal(generator: Denoiser, classifier: Classifier, x: Tensor, target: Tensor, noise: Noise) -> Tensor:
    """Sections 3.1 and 3.2 for one image, PGD and L1, with the authors' values, line by line."""
    tau, steps, weight, threshold, size = 5, 50, 0.001, 0.15, 15
    schedule = generator.schedule.respaced(50)
    fresh, _, end = noise.split(3)

    def back(z: Tensor, t: int, e: Tensor) -> Tensor:
        mean, variance = generator.step(z, schedule, t)
        return mean if t == 0 else mean + variance.sqrt() * e

    z = x.clone()
    for _ in range(steps):
        e = fresh.normal(tau, *x.shape[1:])
        z.requires_grad_()
        y = schedule.add_noise(to_pm1(z), tau - 1, e[:, 0])
        for t in range(tau - 1, -1, -1):
            y = back(y, t, e[:, (tau - t) % tau])
        loss = F.cross_entropy(classifier((y + 1) / 2), target) + weight * (z - x).abs().sum()
        (gradient,) = torch.autograd.grad(loss, z)
        z = (z.detach() - gradient.sign() / 255).clamp(0, 1)
    change = (z - x).abs().sum(1, keepdim=True)
    mask = (F.max_pool2d(change / change.max(), size, 1, size // 2) >= threshold).float()
    e = end.normal(2 * tau, *x.shape[1:])
    y = schedule.add_noise(to_pm1(z), tau - 1, e[:, 0])
    for n, t in enumerate(range(tau - 1, -1, -1)):
        outside = schedule.add_noise(to_pm1(x), t, e[:, 1 + 2 * n])
        y = back(y * mask + outside * (1 - mask), t, e[:, (2 + 2 * n) % (2 * tau)])
    return ((y + 1) / 2).clamp(0, 1) * mask + x * (1 - mask)


def test_it_is_the_paper_s_loop_to_the_last_bit_and_a_row_of_a_batch_is_a_row_alone() -> None:
    generator, classifier, x = convolved(), spatial(), pictures(len(IDS))
    goal = Goal.criticism(others(classifier, x))
    method = ACE(generator=generator, **PAPER)
    batch = method.search(classifier, x, goal, Noise(0, IDS)).images
    for row in (0, 2):
        one, noise = slice(row, row + 1), Noise(0, IDS[row : row + 1])
        alone = method.search(classifier, x[one], goal[torch.tensor([row])], noise).images
        assert torch.equal(alone, literal(generator, classifier, x[one], goal.target[one], noise))
        torch.testing.assert_close(batch[one], alone)


@pytest.mark.parametrize(
    ("options", "attacks", "ends"),
    [
        ({}, 5 * 50, 5),
        ({"tau": 3, "steps": 7}, 3 * 7, 3),
        ({"filter": "one-call"}, 50, 5),
        ({"refine": False}, 5 * 50, 0),
        ({"num_inference_steps": 25, "refine_inference_steps": "all"}, 5 * 50, 100),
    ],
)
def test_what_the_paper_s_answer_costs_is_known_and_counted(options, attacks, ends) -> None:
    generator = convolved()
    result = ask(ACE(generator=generator, checkpoint="never", **PAPER, **options))
    assert result.info["denoiser_calls"] == [attacks + ends] * len(IDS)
    assert generator.net.rows == (attacks + ends) * len(IDS)
    steps = options.get("steps", 50)
    assert result.evaluations.tolist() == [steps] * len(IDS)
    assert result.steps.tolist() == [steps] * len(IDS)


def test_the_nearest_answer_s_calls_are_counted_too() -> None:
    generator = convolved()
    result = ask(ACE(generator=generator, checkpoint="never"))
    assert generator.net.rows == sum(result.info["denoiser_calls"])


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda inner: Several(method=inner, count=3),
        lambda inner: Refined(method=inner, denoiser=inner.generator),
        lambda inner: Refined(method=Wachter(steps=3), denoiser=inner.generator),
    ],
)
def test_whoever_wraps_a_method_tells_the_calls_of_all(wrapped) -> None:
    inner = ACE(generator=convolved(), checkpoint="never", steps=4)
    result = ask(wrapped(inner))
    assert inner.generator.net.rows == sum(result.info["denoiser_calls"]) > 0


# What the settings do


def l1(result: Counterfactuals) -> Tensor:
    return (result.images - result.queries).abs().flatten(1).sum(1)


def test_the_nearest_answer_succeeds_and_is_nearer_than_the_last() -> None:
    """Of the pre-explanation: what the refinement adds to a whole picture of 6 x 6 is mostly noise."""
    generator = grey_denoiser()
    nearest, last = (ask(ACE(generator=generator, steps=80, select=a)) for a in ("nearest", "last"))
    assert nearest.success.all()
    away = [
        (torch.stack([*r.artifacts["pre_explanation"]]) - r.queries).abs().flatten(1).sum(1) for r in (nearest, last)
    ]
    assert (away[0] <= away[1] + 1e-5).all()
    assert (nearest.steps <= last.steps).all()


@pytest.mark.parametrize("attack", ["pgd", "cw", "gd"])
@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_every_attack_reaches_its_goal_at_every_distance(attack, distance) -> None:
    options = {"pgd": {}, "gd": {}, "cw": {"lr": 0.1}}[attack]
    method = ACE(generator=grey_denoiser(), attack=attack, distance=distance, steps=100, **options)
    assert ask(method).success.all()


def test_l1_is_sparser_than_l2() -> None:
    """Weights at which both change about as much; with L1 a pixel that matters little stays."""
    x, goal = uneven_queries()
    shares, sizes = [], []
    for distance, distance_weight in (("l1", 0.15), ("l2", 0.9)):
        method = ACE(
            generator=grey_denoiser(),
            distance=distance,
            distance_weight=distance_weight,
            attack="gd",
            lr=0.01,
            steps=100,
            refine=False,
            filter="one-call",
            **PAPER,
        )
        change = (method.search(uneven(), x, goal, Noise(0, IDS)).images - x).abs().flatten(1)
        shares.append((change > 1 / 255).float().mean(1))
        sizes.append(change.norm(dim=1))
    assert (shares[0] < 0.8 * shares[1]).all()
    assert (sizes[0] > 0.5 * sizes[1]).all()


def uneven() -> Classifier:
    """Two classes; the weights of the pixels fall from the first to the last."""
    linear_layer = nn.Linear(36, 2)
    with torch.no_grad():
        linear_layer.weight.copy_(torch.linspace(1, 0, 36) * torch.tensor([[-1.0], [1.0]]))
        linear_layer.bias.copy_(torch.tensor([9.5, -9.5]))
    return Classifier(nn.Identity(), nn.Sequential(nn.Flatten(), linear_layer), classes=("no", "yes"), shape=(1, 6, 6))


def uneven_queries() -> tuple[Tensor, Goal]:
    x = pictures(len(IDS))
    return x, Goal.criticism(1 - uneven().probabilities(x).argmax(1))


def test_fixed_noise_is_the_same_at_each_step() -> None:
    one, two = (
        ask(ACE(generator=grey_denoiser(), noise="fixed", steps=n, **PAPER)).artifacts["pre_explanation"]
        for n in (10, 20)
    )
    fresh = ask(ACE(generator=grey_denoiser(), steps=10, **PAPER)).artifacts["pre_explanation"]
    assert any((a != b).any() for a, b in zip(one, two, strict=True))
    assert any((a != b).any() for a, b in zip(one, fresh, strict=True))
    draws: list[Tensor] = []
    generator = convolved()
    generator.net.register_forward_pre_hook(lambda _, args: draws.append(args[0].detach()))
    options = {"noise": "fixed", "lr": 1e-6, "refine": False, "filter": "one-call", "steps": 3}
    ask(ACE(generator=generator, **PAPER, **options))
    assert len(draws) == 3
    torch.testing.assert_close(draws[0], draws[2])


def test_stages_of_table_5() -> None:
    generator = grey_denoiser()
    stages = {
        "pre": {"refine": False},
        "fr": {"threshold": 0.0},
        "f": {"threshold": 0.0, "refine_inference_steps": "all"},
        "ace": {"dilation": 1, "threshold": 0.6},
    }
    given = {"generator": generator, "steps": 20, **PAPER}
    made = {name: ask(ACE(**given, **options)) for name, options in stages.items()}
    pre = torch.stack([*made["pre"].artifacts["pre_explanation"]])
    for result in made.values():
        assert torch.equal(torch.stack([*result.artifacts["pre_explanation"]]), pre)
    assert torch.equal(made["pre"].images, (pre * 255).round() / 255)
    assert made["fr"].info["mask_share"] == [1.0] * len(IDS)
    assert (made["fr"].images != made["f"].images).any()
    assert min(made["ace"].info["mask_share"]) < 1
    mask, query = torch.stack([*made["ace"].artifacts["mask"]]), made["ace"].queries
    assert torch.equal(mask, change_mask(pre, query, 0.6, 1))
    assert torch.equal(made["ace"].images[mask == 0], query[mask == 0])


def test_the_margin_is_carlini_and_wagner_s() -> None:
    classifier, x = spatial(), pictures(6)
    logits, target = classifier(x), others(classifier, x)
    loss, _ = margin(classifier, x, Goal.criticism(target))
    for row, wanted in enumerate(target.tolist()):
        rest = [logits[row, k] for k in range(3) if k != wanted]
        torch.testing.assert_close(loss[row], (max(rest) - logits[row, wanted]).relu())
    there, reached = margin(classifier, x, Goal.criticism(logits.argmax(1)))
    assert reached.all()
    assert not there.any()
    surer, _ = margin(classifier, x, Goal.criticism(target, 0.9))
    torch.testing.assert_close(surer, loss + torch.tensor(0.9).logit())


# What goes wrong


def test_an_even_square_or_a_mask_search_without_refinement_is_refused() -> None:
    for wrong, says in (
        ({"dilation": 4}, r"ace\.dilation"),
        ({"refine": False, "mask_search_steps": 2}, "needs refine=true"),
    ):
        with pytest.raises(RatherError, match=says) as refused:
            ACE(generator=convolved(), **wrong)
        assert refused.value.code == "CFG-SETTING"


# The wrapper


def test_refined_keeps_the_query_where_the_method_changed_little() -> None:
    result = ask(Refined(method=Attack(), denoiser=grey_denoiser(), dilation=1, threshold=0.9))
    mask = torch.stack([*result.artifacts["mask"]])
    assert 0 < float(mask.mean()) < 1
    assert torch.equal(result.images[mask == 0], result.queries[mask == 0])
    pre = torch.stack([*result.artifacts["pre_explanation"]])
    assert torch.equal(mask, change_mask(pre, result.queries, 0.9, 1))
    assert result.info["mask_share"] == mask.flatten(1).mean(1).tolist()


def test_refined_tries_again_where_its_answer_fails() -> None:
    once, often = (ask(Refined(method=Wachter(steps=40, lr=0.02), denoiser=grey_denoiser(), tries=n)) for n in (1, 20))
    assert often.success.all()
    tried = torch.tensor(often.info["refinements"])
    assert torch.equal(tried == 1, once.success)
    assert not once.success.all()
    assert torch.equal(often.evaluations - once.evaluations, tried - 1)


def test_refined_of_a_method_that_changes_nothing_is_the_query() -> None:
    still = Attack(steps=1, distance_weight=1e6, lr=1e-9)
    result = ask(Refined(method=still, denoiser=grey_denoiser(), tries=1))
    assert torch.equal(result.images, result.queries)
    assert result.info["mask_share"] == [0.0] * len(IDS)


def test_levels_go_up_the_same_share_at_the_end() -> None:
    generator = convolved()
    ends = {None: 5, 25: 2, 100: 10, "all": 50}
    for num_inference_steps, tau in ends.items():
        method = ACE(generator=generator, refine_inference_steps=num_inference_steps, steps=1, **PAPER)
        assert ask(method).info["denoiser_calls"] == [5 + tau] * len(IDS)
    assert len(lowest_levels(generator, 500, 50)) == 50


def test_of_the_masks_of_its_answer_the_smallest_that_succeeds_is_taken() -> None:
    """By brute force over thresholds; what it costs is counted, and the last answer has one as well."""
    generator, classifier, x = convolved(), spatial(), pictures(len(IDS))
    target, border = others(classifier, x), torch.linspace(0.15, 1, 17)
    settings = {"generator": generator, "dilation": 1, "num_path_frames": 0, "checkpoint": "never"}
    cw = {"attack": "cw", "lr": 0.05, "select": "last"}  # which changes pixels by unlike amounts
    wide, before = ask(ACE(**settings, **cw)), generator.net.rows
    least = ask(ACE(**settings, **cw, mask_search_steps=4))
    assert generator.net.rows - before == sum(least.info["denoiser_calls"])
    looks = [(a - b) / 5 for a, b in zip(*(r.info["denoiser_calls"] for r in (least, wide)), strict=True)]
    assert (least.evaluations - wide.evaluations).tolist() == [1 + n for n in looks]
    assert least.success.all()
    end = Noise(0, IDS).split(3)[2].normal(10, *x.shape[1:])
    refinement = Refinement(generator=generator, schedule=lowest_levels(generator, 50, 5), threshold=0.15, dilation=1)
    pre = torch.stack([*least.artifacts["pre_explanation"]])
    answers = [refinement(pre, x, end, threshold.expand(len(x))) for threshold in border]
    passed = torch.stack([classifier(on_grid(images)).argmax(1) == target for images, _ in answers])
    assert (passed[1:] <= passed[:-1]).all()  # else bisection might stop at another border
    largest = passed.sum(0) - 1
    assert len(set(largest.tolist())) > 2
    torch.testing.assert_close(torch.tensor(least.info["threshold"]), border[largest])
    for row, n in enumerate(largest.tolist()):
        images, mask = answers[n]
        assert_same_pictures(least.images[row], on_grid(images[row]))  # of another batch
        assert torch.equal(least.artifacts["mask"][row], mask[row])
