"""Classifier, Goal, Noise, and the one guarded door."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from analytic import others, pictures, spatial, two_classes
from rather.config.errors import RatherError
from rather.core import Classifier, Counterfactuals, Goal, Images, Method, Noise, Resource, SearchResult, rows_of
from rather.methods.wachter import Wachter
from tolerance import assert_same_pictures

pytestmark = pytest.mark.shapes

quick = settings(max_examples=50, deadline=None)
names = st.lists(st.text(max_size=8), min_size=1, max_size=5, unique=True)
logit_rows = st.lists(st.tuples(*[st.floats(-30, 30, width=32)] * 3), min_size=1, max_size=6)


# Classifier


def test_the_classifier_normalises_and_is_cut_in_two() -> None:
    net = Classifier(
        nn.Identity(), nn.Flatten(), classes=("a", "b", "c", "d"), shape=(2, 1, 2), mean=[0.5, 0.25], std=[0.5, 0.25]
    )
    x = torch.tensor([[[[0.0, 0.5]], [[0.25, 1.0]]]])
    assert net.features(x).tolist() == [[[[-1.0, 0.0]], [[0.0, 3.0]]]]
    assert net(x).tolist() == [[-1.0, 0.0, 0.0, 3.0]]


def test_the_classifier_stays_in_evaluation_mode_and_frozen() -> None:
    net = Classifier(nn.Dropout(0.5), nn.Flatten(), classes=("a", "b"), shape=(1, 1, 2))
    x = torch.rand(3, 1, 1, 2)
    assert torch.equal(net.train()(x), x.flatten(1))
    assert not any(part.training for part in net.modules())
    assert not any(p.requires_grad for p in spatial().parameters())


def test_probabilities_do_not_depend_on_the_batch_size() -> None:
    net, x = spatial(), pictures(7)
    torch.testing.assert_close(net.probabilities(x, batch_size=3), net(x).softmax(1))
    assert not net.probabilities(x).requires_grad
    assert net.probabilities(x[:0]).shape == (0, 3)


def test_a_class_by_name_or_number() -> None:
    net = spatial()
    assert [net.class_index(name) for name in ("left", "0", "2")] == [1, 0, 2]
    with pytest.raises(RatherError, match="Did you mean bright") as error:
        net.class_index("brihgt")
    assert error.value.code == "CFG-CLASS"
    for wrong in ("3", "-1", ""):
        with pytest.raises(RatherError):
            net.class_index(wrong)


class Times(nn.Module):
    """Multiplies by what stands in an attribute, which is no number of the net."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) * self.by


def of_two(body: nn.Module, head: nn.Module, classes: str = "ab", *, wide: bool = False) -> Classifier:
    return Classifier(body, head, classes=classes, shape=(1, 1, 2) if wide else (1, 2, 1))


def test_fingerprints_tell_classifiers_apart() -> None:
    def mirrored(self: nn.Module, x: Tensor) -> Tensor:
        return x.flatten(1).flip(1)

    flat, code = nn.Flatten(), type("Flatten", (nn.Flatten,), {"forward": mirrored})
    nets = [
        of_two(nn.Identity(), flat),
        of_two(nn.Identity(), flat, wide=True),
        of_two(nn.Identity(), flat, "ac"),
        of_two(nn.Identity(), code()),
        of_two(nn.Identity(), Times(1.0)),
        of_two(nn.Identity(), Times(1.1)),
        Classifier(nn.Identity(), flat, classes="ab", shape=(1, 2, 1), mean=[0.1]),
    ]
    assert repr(nets[0]) == repr(nets[3])
    assert len({net.fingerprint() for net in nets}) == len(nets)
    assert of_two(nn.Identity(), nn.Flatten()).fingerprint() == nets[0].fingerprint()


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    code = "from analytic import spatial; print(spatial().fingerprint())"
    there = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, check=True, capture_output=True, text=True
    )
    assert there.stdout.strip() == spatial().fingerprint()


@pytest.mark.parametrize("kind", [list, torch.tensor, np.array, lambda m: torch.tensor(m).view(1, -1, 1, 1)])
def test_means_and_deviations_of_any_kind(kind: Callable[[list[float]], Any]) -> None:
    net = Classifier(
        nn.Identity(), nn.Flatten(), classes="ab", shape=(2, 1, 1), mean=kind([0.0, 0.5]), std=kind([1.0, 2.0])
    )
    assert net(torch.ones(1, 2, 1, 1)).tolist() == [[1.0, 0.25]]


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("MODEL-CLASSES", {"classes": ("a", "b", "a")}),
        ("MODEL-INPUT", {"mean": [0.5, 0.5]}),
        ("MODEL-INPUT", {"std": [0.5, 0.5]}),
        ("MODEL-INPUT", {"std": []}),
    ],
)
def test_a_classifier_of_no_sense_is_refused(code: str, options: dict[str, Any]) -> None:
    with pytest.raises(RatherError) as error:
        Classifier(nn.Identity(), nn.Flatten(), **{"classes": "ab", "shape": (1, 1, 2), **options})
    assert error.value.code == code


# Goal


@pytest.mark.parametrize("confidence", [2.0, -0.1, math.nan])
def test_a_confidence_is_a_probability(confidence: float) -> None:
    for make in (
        lambda: Goal.criticism(torch.tensor([1]), confidence),
        lambda: Goal.prototype(torch.ones(1, 2), confidence),
    ):
        with pytest.raises(RatherError) as error:
            make()
        assert error.value.code == "CFG-SETTING"


@quick
@given(logit_rows, st.integers(0, 2), st.floats(0, 1))
def test_a_goal_is_the_first_choice_with_enough_confidence(
    rows: list[tuple[float, ...]], target: int, confidence: float
) -> None:
    reached = Goal.criticism(torch.full((len(rows),), target), confidence).reached(torch.tensor(rows))
    for row, mine in zip(rows, reached.tolist(), strict=True):
        p = math.exp(row[target] - max(row)) / sum(math.exp(value - max(row)) for value in row)
        if abs(p - confidence) > 1e-5 and max(row) - sorted(row)[-2] > 1e-5:
            assert mine == (row[target] == max(row) and p >= confidence)


@quick
@given(logit_rows, st.floats(0, 1))
def test_a_prototype_wants_more_of_what_it_is(rows: list[tuple[float, ...]], confidence: float) -> None:
    logits = torch.tensor(rows)
    goal, top = Goal.prototype(logits, confidence), logits.softmax(1).max(1)
    assert torch.equal(goal.target, top.indices)
    assert (goal.confidence >= confidence).all()
    assert not (goal.reached(logits) & (top.values < 0.999999)).any()


def test_nan_is_no_goal() -> None:
    logits = torch.tensor([[math.nan, 0.0], [math.nan, math.nan], [0.0, 1.0]])
    for target in (0, 1):
        reached = Goal.criticism(torch.full((3,), target)).reached(logits)
        assert reached.tolist() == [False, False, target == 1]


def test_goals_of_some_rows() -> None:
    goal = Goal(torch.tensor([0, 1, 2]), torch.tensor([0.1, 0.2, 0.3]))
    assert goal[torch.tensor([2, 0])].target.tolist() == [2, 0]
    assert len(goal[torch.tensor([True, False, True])]) == 2


# Noise


@quick
@given(names, st.integers(0, 2**70), st.data())
def test_a_row_s_numbers_are_its_own(ids: list[str], seed: int, data: st.DataObject) -> None:
    together = Noise(seed, ids).normal(2, 3)
    order = data.draw(st.permutations(range(len(ids))))
    some = order[: data.draw(st.integers(1, len(ids)))]
    assert torch.equal(Noise(seed, [ids[row] for row in some]).normal(2, 3), together[some])
    assert torch.equal(Noise(seed, ids)[torch.tensor(some)].normal(2, 3), together[some])


@quick
@given(names, st.integers(0, 2**40))
def test_streams_differ(ids: list[str], seed: int) -> None:
    one = Noise(seed, ids)
    noises = [one, Noise(seed + 1, ids), *one.split(3), *one.split(2)[1].split(2)]
    draws = torch.cat([noise.uniform(2) for noise in noises])
    assert len(draws.unique(dim=0)) == len(draws)


def test_a_branch_is_not_a_larger_seed() -> None:
    ids = ["a"]
    large = [Noise(5 + branch * 2**32, ids).uniform(4) for branch in (1, 2)]
    split = [noise.uniform(4) for noise in Noise(5, ids).split(3)]
    assert not any(torch.equal(one, other) for one in large for other in split)


def test_splitting_does_not_depend_on_what_was_drawn() -> None:
    fresh, used = Noise(0, ["a", "b"]), Noise(0, ["a", "b"])
    used.normal(5)
    assert torch.equal(fresh.split(2)[1].normal(3), used.split(2)[1].normal(3))


def test_rows_of_a_noise_go_on_where_they_are() -> None:
    noise = Noise(0, ["a", "b", "c"])
    whole = Noise(0, ["a", "b", "c"]).uniform(2)
    assert torch.equal(noise.uniform(1), whole[:, :1])
    by_mask = noise[torch.tensor([False, True, True])]
    assert by_mask.ids == ("b", "c")
    assert torch.equal(by_mask.uniform(1), whole[1:, 1:])
    assert len(noise[torch.tensor([], dtype=torch.long)]) == 0


def test_distributions() -> None:
    noise = Noise(0, [str(row) for row in range(50)])
    normal, uniform = noise.normal(400), noise.uniform(400)
    assert abs(normal.mean()) < 0.05
    assert abs(normal.std() - 1) < 0.05
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.02
    draws = torch.stack([noise.choice(torch.full((50,), 3)) for _ in range(40)])
    assert draws.unique().tolist() == [0, 1, 2]


# The door


@final
class Stub(Method):
    """Answers with a given picture and asks nothing."""

    answer: object
    """What to answer with: pictures, one or one for each row."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Nothing to search for."""
        torch.rand(3), np.testing.assert_equal(len(noise), len(x))
        none = torch.zeros(len(x), dtype=torch.long)
        return SearchResult(images=self.answer.expand_as(x), steps=none, evaluations=none)


def plane(bias: float = -0.5) -> Classifier:
    """Class 1 where the one pixel is above -bias."""
    return two_classes([1000.0], 1000 * bias, (1, 1, 1))


def pixel(*values: float) -> Tensor:
    """Pictures of one pixel."""
    return torch.tensor(values).view(-1, 1, 1, 1)


def ask(answer: Tensor, x: Tensor, classifier: Classifier | None = None) -> Counterfactuals:
    return Stub(answer=answer)(classifier or plane(), x, 1)


def test_the_door_judges_each_row_itself() -> None:
    result = ask(pixel(1.0, 0.4, math.nan, math.inf), pixel(0.0, 0.1, 0.2, 0.3))
    assert result.success.tolist() == [True, False, False, False]
    assert result.failure == ("", "BUDGET", "NONFINITE", "NONFINITE")
    assert (result.images.flatten() * 255).round().tolist() == [255, 102, 51, 76]
    assert result.before.argmax(1).tolist() == [0, 0, 0, 0]
    assert result.after.argmax(1).tolist() == [1, 0, 0, 0]


def test_the_door_clamps_and_rounds_to_8_bits() -> None:
    result = ask(pixel(7.0, -3.0, 0.4999), pixel(0.0, 0.1, 0.2))
    assert (result.images.flatten() * 255).tolist() == [255, 0, 127]


def test_what_only_the_rounding_undoes_has_a_name() -> None:
    # 0.5036 is above 0.5035, but the nearest grey level, 128 / 255 = 0.5020, is not.
    result = ask(pixel(0.5036), pixel(0.0), plane(-0.5035))
    assert result.failure == ("LOST-IN-SAVING",)
    assert not result.success.any()


def test_a_search_that_draws_from_torch_s_stream_leaves_no_trace() -> None:
    net, before = plane(), torch.get_rng_state()
    ask(pixel(1.0), pixel(0.0), net)
    assert torch.equal(torch.get_rng_state(), before)


def test_target_as_number_as_labels_or_as_goal() -> None:
    net, x = spatial(), pictures(3)
    target = others(net, x)
    by_labels = Wachter()(net, x, target)
    by_goal = Wachter()(net, x, Goal.criticism(target))
    by_number = Wachter()(net, x[:1], int(target[0]))
    assert torch.equal(by_labels.images, by_goal.images)
    assert_same_pictures(by_labels.images[:1], by_number.images)  # which was a batch of its own


@pytest.mark.parametrize(
    "target",
    [
        1,
        "yes",
        "1",
        np.int64(1),
        np.array([1, 1]),
        torch.tensor(1),
        torch.tensor([1, 1], dtype=torch.int32),
        [1, 1],
        ["yes", 1],
        (np.int64(1), "yes"),
    ],
)
def test_a_target_in_any_notation(target: Any) -> None:
    result = Stub(answer=pixel(1.0))(plane(), pixel(0.0, 0.1), target)
    assert result.goal.target.tolist() == [1, 1]
    assert result.success.all()


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_images_of_other_precision_are_taken(kind: torch.dtype) -> None:
    net, x = spatial(), (pictures(3) * 4).round() / 4
    target = others(net, x)
    result = Wachter()(net, x.to(kind), target)
    assert result.queries.dtype == result.images.dtype == torch.float32
    assert torch.equal(result.images, Wachter()(net, x, target).images)


def test_works_in_inference_mode() -> None:
    net, x = spatial(), pictures(3)
    target = others(net, x)
    outside = Wachter()(net, x, target)
    with torch.inference_mode():
        for goal in (target.clone(), Goal.criticism(target)):
            assert torch.equal(Wachter()(net, x.clone(), goal).images, outside.images)
            assert torch.is_inference_mode_enabled()


def test_a_result_shows_itself_in_a_line() -> None:
    result = ask(pixel(1.0, 0.4, math.nan, 0.3), pixel(0.0, 0.1, 0.2, 0.3))
    assert repr(result) == "<Counterfactuals: 1 of 4 found; 2 BUDGET; 1 NONFINITE>"


# Settings


@final
class Plain(Method):
    """Has settings of a kind that no method has so far."""

    numbers: list[int] = [1, 2]  # noqa: RUF012 - pydantic copies it
    table: dict[str, object] = {"a": (1.5, None)}  # noqa: RUF012 - pydantic copies it
    lr: float = 0.1
    other: object = None

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Nothing to search for."""
        raise NotImplementedError


def test_lists_and_tables_are_settings_too() -> None:
    plainly = {"name": "plain", "numbers": [1, 2], "table": {"a": (1.5, None)}, "lr": 0.1}
    assert Plain().settings() == plainly | {"other": None}
    assert Plain(other=Wachter(steps=3)).settings()["other"]["steps"] == 3
    assert Plain(other=Resource()).settings() == plainly


@pytest.mark.parametrize("lost", [torch.zeros(1), [{"deep": torch.zeros(1)}]])
def test_a_setting_is_never_dropped_in_silence(lost: object) -> None:
    with pytest.raises(TypeError, match=r"plain\.other.*Tensor"):
        Plain(other=lost).settings()


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"stepz": 3}, "Did you mean steps"), ({"lr": math.inf}, "finite"), ({"lr": math.nan}, r"wachter\.lr")],
)
def test_a_wrong_setting_is_refused_in_one_line(settings: dict[str, Any], says: str) -> None:
    for make in (Wachter, lambda **given: Wachter.of(given)):
        with pytest.raises(RatherError, match=says) as error:
            make(**settings)
        assert error.value.code == "CFG-SETTING"
        assert "\n" not in str(error.value)


def test_a_sure_goal_is_asked_for_and_met() -> None:
    net, x = spatial(), pictures(6)
    goal = Goal.criticism(others(net, x), 0.9)
    result = Wachter()(net, x, goal)
    assert result.success.all()
    assert (result.after.gather(1, goal.target[:, None]) >= 0.9).all()
    assert not Wachter(steps=1)(net, x, goal).success.any()


def test_a_prototype_is_a_goal_too() -> None:
    net, x = spatial(), pictures(6)
    goal = Goal.prototype(net(x))
    result = Wachter()(net, x, goal)
    assert result.success.all()
    assert torch.equal(result.after.argmax(1), result.before.argmax(1))
    assert (result.after.max(1).values > result.before.max(1).values).all()


def test_a_row_of_pictures_and_facts() -> None:
    assert dict(rows_of({"a": [1, 2], "b": [3, 4]}, 1)) == {"a": 2, "b": 4}
