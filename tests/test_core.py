"""Classifier, Goal, Noise, and the one guarded door."""

import math
from typing import final

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from analytic import others, pictures, spatial, two_classes
from rather.core import Classifier, Counterfactuals, Found, Goal, Images, Method, Noise, rows_of
from rather.errors import RatherError
from rather.methods.wachter import Wachter

pytestmark = pytest.mark.shapes

quick = settings(max_examples=50, deadline=None)
names = st.lists(st.text(max_size=8), min_size=1, max_size=5, unique=True)
logit_rows = st.lists(st.tuples(*[st.floats(-30, 30, width=32)] * 3), min_size=1, max_size=6)


# Classifier


def test_the_classifier_normalises_and_is_cut_in_two() -> None:
    net = Classifier(
        nn.Identity(),
        nn.Flatten(),
        classes=("a", "b", "c", "d"),
        shape=(2, 1, 2),
        mean=[0.5, 0.25],
        std=[0.5, 0.25],
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


# Goal


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

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> Found:
        """Nothing to search for."""
        torch.rand(3), np.testing.assert_equal(len(noise), len(x))
        none = torch.zeros(len(x), dtype=torch.long)
        return Found(images=self.answer.expand_as(x), steps=none, evaluations=none)


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
    assert result.found.tolist() == [True, False, False, False]
    assert result.why == ("", "BUDGET", "NONFINITE", "NONFINITE")
    assert (result.images.flatten() * 255).round().tolist() == [255, 102, 51, 76]
    assert result.before.argmax(1).tolist() == [0, 0, 0, 0]
    assert result.after.argmax(1).tolist() == [1, 0, 0, 0]


def test_the_door_clamps_and_rounds_to_8_bits() -> None:
    result = ask(pixel(7.0, -3.0, 0.4999), pixel(0.0, 0.1, 0.2))
    assert (result.images.flatten() * 255).tolist() == [255, 0, 127]


def test_what_only_the_rounding_undoes_has_a_name() -> None:
    # 0.5036 is above 0.5035, but the nearest grey level, 128 / 255 = 0.5020, is not.
    result = ask(pixel(0.5036), pixel(0.0), plane(-0.5035))
    assert result.why == ("LOST-IN-SAVING",)
    assert not result.found.any()


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
    assert torch.equal(by_labels.images[:1], by_number.images)


def test_a_sure_goal_is_asked_for_and_met() -> None:
    net, x = spatial(), pictures(6)
    goal = Goal.criticism(others(net, x), 0.9)
    result = Wachter()(net, x, goal)
    assert result.found.all()
    assert (result.after.gather(1, goal.target[:, None]) >= 0.9).all()
    assert not Wachter(steps=1)(net, x, goal).found.any()


def test_a_prototype_is_a_goal_too() -> None:
    net, x = spatial(), pictures(6)
    goal = Goal.prototype(net(x))
    result = Wachter()(net, x, goal)
    assert result.found.all()
    assert torch.equal(result.after.argmax(1), result.before.argmax(1))
    assert (result.after.max(1).values > result.before.max(1).values).all()


def test_a_row_of_pictures_and_facts() -> None:
    assert dict(rows_of({"a": [1, 2], "b": [3, 4]}, 1)) == {"a": 2, "b": 4}
