"""Losses: their gradients in double precision, their formulas written out slowly, one number per row."""

from collections.abc import Callable
from math import exp, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from analytic import spatial, two_classes
from rather.core import Classifier, Goal
from rather.search.losses import cross_entropy, goal_loss, l1, l1_sum, log_probability, member_logits

pytestmark = pytest.mark.shapes

TARGET = torch.tensor([0, 2, 1])


def double(*shape: int, seed: int = 0) -> Tensor:
    """Reproducible numbers in double precision, none of them near 0."""
    numbers = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (numbers + 0.1).requires_grad_()


class Mean(nn.Module):
    """The mean of the members' log-probabilities."""

    def __init__(self, members: list[Classifier]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([part(x).log_softmax(1) for part in self.parts]).mean(0)


def ensemble() -> Classifier:
    """Three linear classifiers that do not agree."""
    planes = ((1.0, 0.0), (-2.0, 0.3), (4.0, -1.0))
    members = [two_classes([a, 1.0, -1.0, 0.5], b, (1, 2, 2)) for a, b in planes]
    return Classifier(nn.Identity(), Mean(members), classes=("no", "yes"), shape=(1, 2, 2), members=members)


PER_ROW: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "cross_entropy": (lambda logits: cross_entropy(logits, TARGET), (double(2, 3, 4),)),
    "log_probability": (lambda logits: log_probability(logits, TARGET), (double(3, 4),)),
    "l1": (l1, (double(3, 1, 2, 2), -double(3, 1, 2, 2, seed=1).detach())),
    "l1_sum": (l1_sum, (double(3, 1, 2, 2), -double(3, 1, 2, 2, seed=1).detach())),
    "toward": (
        lambda z: goal_loss(ensemble().double(), z, Goal.criticism(torch.tensor([1, 0, 1])))[0],
        (double(3, 1, 2, 2),),
    ),
}


@pytest.mark.parametrize("name", PER_ROW)
def test_gradients(name: str) -> None:
    loss, points = PER_ROW[name]
    assert torch.autograd.gradcheck(loss, points)


@pytest.mark.parametrize("name", PER_ROW)
def test_one_number_per_row_that_no_other_row_moves(name: str) -> None:
    loss, points = PER_ROW[name]
    values = loss(*points)
    assert values.shape == (3,)
    (gradient,) = torch.autograd.grad(values[1], points[0])
    of_row = gradient.transpose(0, 1) if name == "cross_entropy" else gradient
    assert of_row[1].abs().sum() > 0
    assert not of_row[[0, 2]].any()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-20, 20)] * 3), min_size=1, max_size=4), st.integers(0, 2))
def test_cross_entropy_is_the_members_mean(logits: list[tuple[float, ...]], target: int) -> None:
    mine = cross_entropy(torch.tensor(logits, dtype=torch.float64)[:, None], torch.tensor([target]))
    each = [-log(exp(row[target]) / sum(exp(value) for value in row)) for row in logits]
    assert mine.item() == pytest.approx(sum(each) / len(each), abs=1e-9)
    one = log_probability(torch.tensor(logits[:1], dtype=torch.float64), torch.tensor([target]))
    assert one.item() == pytest.approx(-each[0], abs=1e-9)


def test_distances() -> None:
    z, x = torch.tensor([[[[0.0, 0.5]]], [[[1.0, 1.0]]]]), torch.tensor([[[[0.0, 0.0]]], [[[0.5, 0.25]]]])
    assert l1(z, x).tolist() == [0.25, 0.625]
    assert l1_sum(z, x).tolist() == [0.5, 1.25]


def test_member_logits_of_a_single_classifier_are_its_own() -> None:
    net, x = spatial(), torch.full((2, 1, 6, 6), 0.3)
    assert torch.equal(member_logits(net, x), net(x)[None])


def test_an_ensemble_is_judged_by_its_mean_and_lowered_by_its_members() -> None:
    net, x = ensemble(), torch.rand(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    goal = Goal.criticism(torch.ones(8, dtype=torch.long))
    loss, reached = goal_loss(net, x, goal)
    p = torch.stack([member(x).softmax(1)[:, 1] for member in net.members])
    torch.testing.assert_close(loss, -p.log().mean(0))
    assert reached.tolist() == goal.reached(net(x)).tolist()
    assert set(reached.tolist()) == {True, False}
