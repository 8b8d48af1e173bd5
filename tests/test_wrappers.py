"""Methods that run another method: Minimal against closed forms, Several, and what they are as settings."""

import json
from typing import Annotated, final

import pytest
import torch
from annotated_types import Ge
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from analytic import example, others, pictures, resources, spatial, two_classes
from rather.config.errors import RatherError
from rather.core import Classifier, Counterfactuals, Goal, Images, Method, Noise, SearchResult
from rather.hub.methods import build_method
from rather.methods.minimal import Minimal
from rather.methods.several import Several
from rather.methods.wachter import Wachter
from rather.search.best import Best
from rather.search.descend import descend, on_grid, sgd
from rather.search.losses import goal_loss, l1
from rather.search.references import References

# The nearest flip of a linear classifier is known


WEIGHT, BIAS = [4.0, -2.0, 1.0, 0.5], -1.4
PLANE = two_classes(WEIGHT, BIAS, (1, 2, 2))
QUERIES = torch.tensor([[51, 51, 51, 51], [26, 153, 102, 77], [77, 102, 179, 0]]).view(-1, 1, 2, 2) / 255


def missing(x: Tensor) -> Tensor:
    """What weight . x lacks to the decision."""
    return -(x.flatten(1) @ torch.tensor(WEIGHT) + BIAS)


def test_plain_descent_ends_at_the_nearest_flip_in_l2() -> None:
    goal = Goal.criticism(torch.ones(len(QUERIES), dtype=torch.long))
    path = descend(lambda z, rows: goal_loss(PLANE, z, goal[rows]), QUERIES, steps=5000, lr=1e-3, optimizer=sgd)
    nearest = missing(QUERIES) / torch.tensor(WEIGHT).norm()
    assert (nearest > 0).all()
    assert goal.reached(PLANE(path.end)).all()
    torch.testing.assert_close((path.end - QUERIES).flatten(1).norm(dim=1), nearest, atol=0.005, rtol=0)


def test_minimal_wachter_comes_to_the_nearest_flip_in_l1() -> None:
    # The nearest flip in L1 changes the pixel of the largest weight alone, and that one has the room here.
    nearest = missing(QUERIES) / max(WEIGHT)
    assert (nearest <= 1 - QUERIES[:, 0, 0, 0]).all()
    single = Wachter(lr=0.008, steps=150)
    plainly = distance(single(PLANE, QUERIES, 1))
    smallest = distance(Minimal(method=single, steps=8)(PLANE, QUERIES, 1))
    assert (smallest >= nearest - 1e-6).all()
    # Half a grey level is lost in each pixel, and a learning rate in each that Adam shakes.
    assert (smallest <= nearest + 4 * 0.5 / 255 + 3 * 0.008).all()
    assert (plainly > 1.2 * nearest).all()


def distance(result: Counterfactuals) -> Tensor:
    """Sum of the absolute differences."""
    assert result.success.all()
    return (result.images - result.queries).abs().flatten(1).sum(1)


# Minimal bisects for each row


@final
class Slider(Method):
    """Answers with x + reach / push, at the goal or not: the larger `push`, the nearer."""

    push: Annotated[float, Ge(0.001)] = 1.0
    """The tighter, the larger."""
    whole: int = 8
    """The tighter, the smaller."""
    name_of: str = "a word"
    """Not a number."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Only what the settings say, and a random number as a fact."""
        asked.append((self.push, len(x)))
        return SearchResult(
            images=(x + 0.1 / self.push * self.whole / 8).clamp(0, 1),
            steps=torch.full_like(goal.target, 2),
            evaluations=torch.full_like(goal.target, 3),
            artifacts={"path": [row[None] for row in x]},
            info={"drawn": noise.uniform(1)[:, 0].tolist()},
        )


asked: list[tuple[float, int]] = []
STEP = two_classes([1000.0], -500.0, (1, 1, 1))  # above a half or not


def slide(x: list[float], **options: object) -> Counterfactuals:
    asked.clear()
    return Minimal(method=Slider(), **options)(STEP, torch.tensor(x).view(-1, 1, 1, 1), 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 127), min_size=1, max_size=5))
def test_minimal_finds_each_row_s_own_value(levels: list[int]) -> None:
    x = [level / 255 for level in levels]
    result = slide(x, setting="push", loose=0.01, tight=100, steps=12)
    assert result.success.all()
    assert (result.images.flatten() * 255).round().tolist() == [128] * len(x)
    fine = 10_000 ** (1 / 2**12)
    for value, start in zip(result.info["push"], x, strict=True):
        # 127.5 grey levels are rounded up: the tightest push that still does it, within one halving.
        assert value <= 0.1 / (127.5 / 255 - start) * 1.001
        assert value * fine >= 0.1 / (127.5 / 255 - start) * 0.999 or value > 99


@pytest.mark.shapes
def test_minimal_adds_up_what_it_asked() -> None:
    result = slide([0.1, 0.2, 0.2], setting="push", loose=0.01, tight=100, steps=5)
    runs = 1 + 1 + 5  # the loosest, the tightest, and each halving
    assert result.steps.tolist() == [2 * runs] * 3
    assert result.evaluations.tolist() == [(3 + 1) * runs] * 3
    assert sum(rows for _, rows in asked) == 3 * runs
    assert len(asked) < 3 * runs  # rows that try the same value are one batch
    assert [p.shape for p in result.artifacts["path"]] == [(1, 1, 1, 1)] * 3


def test_a_row_that_the_loosest_value_does_not_flip_or_the_tightest_does_is_not_bisected() -> None:
    result = slide([0.0, 0.4], setting="push", loose=0.25, tight=100, steps=5)
    assert result.success.tolist() == [False, True]
    assert result.steps.tolist() == [2, 2 * 7]
    assert result.images[0].item() == pytest.approx(102 / 255)
    result = slide([0.0, 0.4], setting="push", loose=0.1, tight=0.15)
    assert result.info["push"] == pytest.approx([0.15, 0.15])
    assert result.steps.tolist() == [4, 4]


def test_tight_may_be_the_smaller_and_whole_numbers_stay_whole() -> None:
    result = slide([0.45], setting="whole", loose=64, tight=1, steps=6)
    assert result.success.all()
    assert result.info["whole"] == [4]  # 0.1 * 4 / 8 = 0.05; 3 would not do


def test_every_value_is_tried_with_the_same_noise_by_default_a_thousandth_to_a_thousand_times_the_own() -> None:
    one = slide([0.1, 0.3], setting="push")
    assert len(asked) > 4
    assert [round(push, 3) for push, _ in asked[:2]] == [0.001, 1000]
    other = Minimal(method=Slider(), setting="push", steps=1)(STEP, one.queries, 1)
    assert one.info["drawn"] == other.info["drawn"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"setting": "pusch"}, "Did you mean push"),
        ({"setting": "name_of"}, "no positive number 'name_of'"),
        ({"setting": "push", "loose": 0.0001}, "greater than or equal to 0.001"),
        ({"setting": "push", "tight": 0}, "greater than 0"),
    ],
)
def test_minimal_refuses_a_setting_that_it_cannot_vary(options: dict[str, object], says: str) -> None:
    with pytest.raises(RatherError, match=says) as error:
        Minimal(method=Slider(), **options)
    assert error.value.code == "CFG-SETTING"
    assert "\n" not in str(error.value)


def test_minimal_never_loses_what_a_success_that_is_not_monotone_found() -> None:
    net, x = spatial(), pictures(6)
    target, single = others(net, x), Wachter(steps=40, lr=0.02)
    smallest = Minimal(method=single, steps=4)(net, x, target)
    for distance_weight in (0.001, 1000.0):  # the first two that it tries
        one = single.model_copy(update={"distance_weight": distance_weight})(net, x, target)
        nearer = l1(smallest.images, x) <= l1(one.images, x) + 1e-6
        assert (nearer | ~one.success).all()
        assert (smallest.success | ~one.success).all()


# Several


@pytest.mark.shapes
def test_several_keeps_all_and_shows_the_nearest() -> None:
    net, x = spatial(), pictures(4)
    target, single = others(net, x), Wachter(steps=40, lr=0.02)
    result = Several(method=single, count=3, init_noise_std=0.1)(net, x, target, seed=1)
    for row, answers in enumerate(result.artifacts["answers"]):
        assert answers.shape == (3, 1, 6, 6)
        goal = Goal.criticism(target[[row]].expand(3))
        reached = goal.reached(net(answers))
        assert result.info["answers_found"][row] == reached.tolist()
        assert result.info["answers_distinct"][row] == len(answers[reached].unique(dim=0)) == 3
        away = (answers - x[row]).abs().flatten(1).sum(1)
        assert torch.equal(answers[away.argmin()], result.images[row])


def test_several_of_a_deterministic_method_are_one_and_failures_do_not_count() -> None:
    net, x = spatial(), pictures(4)
    target, single = others(net, x), Wachter(steps=40, lr=0.02)
    result = Several(method=single, count=3)(net, x, target)
    assert result.info["answers_distinct"] == [1] * 4
    assert torch.equal(result.images, single(net, x, target).images)
    assert result.steps.tolist() == (3 * single(net, x, target).steps).tolist()
    result = Several(method=Wachter(steps=1), count=2)(net, x, Goal.criticism(target, 0.99))
    assert result.info["answers_found"] == [[False, False]] * 4
    assert result.info["answers_distinct"] == [0] * 4
    assert not result.success.any()


# What is better


def offer(best: Best, images: Tensor, note: str) -> list[bool]:
    count = len(images)
    none = torch.zeros(count, dtype=torch.long)
    found = SearchResult(images=images, steps=none, evaluations=none, info={"note": [note] * count})
    return best.offer(torch.arange(count), found).tolist()


@pytest.mark.shapes
def test_best_is_the_nearest_success_or_else_the_most_promising_attempt() -> None:
    x = torch.tensor([0.1, 0.2, 0.3]).view(-1, 1, 1, 1)
    gentle = two_classes([10.0], -5.0, (1, 1, 1))
    best = Best(gentle, x, Goal.criticism(torch.ones(3, dtype=torch.long)))
    assert offer(best, torch.tensor([0.9, 0.3, torch.nan]).view_as(x), "first") == [True, False, False]
    assert offer(best, torch.tensor([0.6, 0.4, 0.35]).view_as(x), "second") == [True, False, False]
    assert offer(best, torch.tensor([0.0, 0.2, 0.3]).view_as(x), "third") == [False, False, False]
    torch.testing.assert_close(best.images.flatten(), torch.tensor([0.6, 0.4, 0.35]))
    assert best.found().info == {"note": ["second"] * 3}
    assert offer(best, torch.tensor([1.0, 1.0, 1.0]).view_as(x), "last") == [True, True, True]
    assert best.found().info == {"note": ["second", "last", "last"]}
    assert best.evaluations.tolist() == [4, 4, 4]


def test_best_judges_the_8_bit_picture_and_leaves_nothing_but_nan_as_it_is() -> None:
    x = torch.zeros(2, 1, 1, 1)
    best = Best(two_classes([1000.0], -503.5, (1, 1, 1)), x, Goal.criticism(torch.ones(2, dtype=torch.long)))
    assert offer(best, torch.tensor([0.5036, 0.506]).view_as(x), "") == [False, True]
    assert torch.equal(on_grid(best.images), torch.tensor([128, 129]).view_as(x) / 255)
    x = torch.zeros(1, 1, 1, 1)
    best = Best(STEP, x, Goal.criticism(torch.ones(1, dtype=torch.long)))
    offer(best, torch.full_like(x, torch.nan), "")
    assert best.found().images.isnan().all()


# As settings


@pytest.mark.shapes
def test_nested_settings_come_back_at_any_depth() -> None:
    given = {"references": resources()[References]}
    method = Several(method=Minimal(method=Wachter(steps=7), steps=2, loose=0.5), count=2)
    plainly = json.loads(json.dumps(method.settings()))
    assert plainly["method"]["method"]["steps"] == 7
    assert build_method(plainly) == method
    needy = Several(method=example("nearest"))
    assert build_method({"name": "several", "method": "nearest"}, given).settings() == needy.settings()


def test_a_method_inside_may_be_given_by_its_name_alone() -> None:
    assert build_method({"name": "minimal", "method": "wachter"}) == Minimal(method=Wachter())


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        ({"name": "wachterr"}, "Did you mean wachter"),
        ({"name": "wachter", "step": 3}, "Did you mean steps"),
        ({"name": "wachter", "steps": 0}, "wachter.steps"),
        ({}, "no such name"),
        (3, "minimal.method"),
        (None, r"minimal\.method.*required"),
    ],
)
def test_a_wrong_setting_of_the_method_inside_is_named(inner: object, says: str) -> None:
    with pytest.raises(RatherError, match=says) as error:
        build_method({"name": "minimal"} | ({} if inner is None else {"method": inner}))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200
