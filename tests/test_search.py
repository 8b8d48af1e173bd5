"""Descent and bisection against closed forms, and that a row does not care about its batch."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rather.search.descend import Objective, adam, bisect, descend, linear_decay, on_grid, sgd, sign_sgd

floats = st.floats(-3, 3, width=32)
quick = settings(max_examples=25, deadline=None)


def valley(bottom: Tensor, near: float = 0.0, asked: list[int] | None = None) -> Objective:
    """|z - bottom|^2 / 2, done within `near` of the bottom; counts how often each row is asked."""

    def objective(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        if asked is not None:
            for row in rows.tolist():
                asked[row] += 1
        away = (z - bottom[rows]).flatten(1)
        return away.square().sum(1) / 2, away.detach().norm(dim=1) < near

    return objective


def test_sgd_on_a_quadratic_is_a_geometric_series_and_a_signed_step_is_as_long_as_the_learning_rate() -> None:
    path = descend(valley(torch.tensor([[2.0]])), torch.tensor([[0.0]]), steps=5, lr=0.25, optimizer=sgd)
    assert path.end.item() == pytest.approx(2 * (1 - 0.75**5))
    assert path.loss.item() == pytest.approx(2 * 0.75**10)
    assert path.steps.item() == 5
    assert path.evaluations.item() == 6
    assert path.frames == []
    start = torch.tensor([[0.0, 1.0, 5.0]])
    path = descend(valley(torch.tensor([[3.0, -3.0, 5.0]])), start, steps=2, lr=0.1, optimizer=sign_sgd)
    torch.testing.assert_close(path.end, torch.tensor([[0.2, 0.8, 5.0]]))


@pytest.mark.shapes
def test_adam_is_torch_s_adam() -> None:
    bottom, start = torch.tensor([[1.0, -2.0, 0.3]]), torch.tensor([[0.2, 0.1, 0.0]])
    z = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=0.05)
    for _ in range(40):
        optimiser.zero_grad()
        ((z - bottom).square().sum() / 2).backward()
        optimiser.step()
    path = descend(valley(bottom), start, steps=40, lr=0.05, optimizer=adam)
    torch.testing.assert_close(path.end, z.detach(), rtol=1e-5, atol=1e-6)


@quick
@given(st.lists(floats, min_size=1, max_size=4), st.sampled_from([adam, sign_sgd, sgd]), st.integers(0, 5))
def test_a_row_does_not_care_about_its_batch(bottoms: list[float], optimizer: object, patience: int) -> None:
    bottom = torch.tensor(bottoms)[:, None] * torch.ones(2)
    start = torch.zeros(len(bottoms), 2)
    options = {"steps": 20, "lr": 0.1, "optimizer": optimizer, "patience": patience, "frames": 3}
    together = descend(valley(bottom, 0.3), start, **options)
    for row in range(len(bottoms)):
        alone = descend(valley(bottom[[row]], 0.3), start[[row]], **options)
        assert torch.equal(alone.end[0], together.end[row])
        assert torch.equal(alone.frames[0], together.frames[row])
        assert alone.steps[0] == together.steps[row]
        assert alone.evaluations[0] == together.evaluations[row]


@quick
@given(st.lists(floats, max_size=6))
def test_rows_that_are_done_are_not_asked_again(bottoms: list[float]) -> None:
    bottom, asked = torch.tensor(bottoms).view(-1, 1), [0] * len(bottoms)
    path = descend(valley(bottom, 0.15, asked), torch.zeros(len(bottoms), 1), steps=40, lr=0.1, optimizer=sign_sgd)
    # From 0 by steps of 0.1 until nearer than 0.15: the first step count with |b| - 0.1 n < 0.15.
    wanted = [max(0, int(np.floor((abs(b) - 0.15) / 0.1 + 1 + 1e-4))) for b in bottoms]
    assert all(abs(n - m) <= 1 for n, m in zip(path.steps.tolist(), wanted, strict=True))
    assert path.evaluations.tolist() == asked == [n + 1 for n in path.steps.tolist()]
    assert ((path.end - bottom).abs() < 0.15).all()


@pytest.mark.shapes
def test_a_row_without_a_finite_gradient_stays_and_leaves() -> None:
    def objective(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        loss = z[:, 0] * torch.where(rows == 1, torch.nan, 1.0)
        return loss, torch.zeros(len(rows), dtype=torch.bool)

    path = descend(objective, torch.zeros(3, 1), steps=4, lr=1.0, optimizer=sgd)
    assert path.end[:, 0].tolist() == [-4, 0, -4]
    assert path.steps.tolist() == [4, 0, 4]
    assert path.evaluations.tolist() == [5, 1, 5]


def test_a_row_that_cannot_move_leaves() -> None:
    path = descend(
        valley(torch.tensor([[9.0], [-9.0]])),
        torch.tensor([[0.5], [0.5]]),
        steps=100,
        lr=0.125,
        optimizer=sign_sgd,
        project=lambda z: z.clamp(0, 1),
    )
    assert path.end[:, 0].tolist() == [1, 0]
    assert path.steps.tolist() == [4, 4]


def overshoot(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Goes up for ever and is done from 0.5 on."""
    del rows
    return -z[:, 0], z.detach()[:, 0] >= 0.5


def test_without_patience_the_first_success_is_the_end() -> None:
    path = descend(overshoot, torch.tensor([[0.0], [0.25]]), steps=9, lr=0.25, optimizer=sign_sgd)
    assert path.end[:, 0].tolist() == [0.5, 0.5]
    assert path.steps.tolist() == [2, 1]


def test_an_end_that_is_not_judged_costs_nothing_and_is_no_success() -> None:
    start = torch.tensor([[0.0], [0.25], [-9.0]])
    path = descend(overshoot, start, steps=2, lr=0.25, optimizer=sign_sgd, frames=3, judge_end=False)
    assert path.end[:, 0].tolist() == [0.5, 0.5, -8.5]
    assert path.steps.tolist() == [2, 1, 2]
    assert path.evaluations.tolist() == [2, 2, 2]
    assert path.loss.tolist() == [-0.25, -0.5, 8.75]
    assert [frames[:, 0].tolist() for frames in path.frames[:2]] == [[0, 0.25, 0.5], [0.25, 0.5]]


def test_with_patience_the_nearest_success_is_the_end() -> None:
    asked: list[float] = []

    def far_first(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Away from 0 at first, then back: successes are at 2, 1.5, 1 and 0.5."""
        asked.append(z.item())
        going = len(asked) <= 4
        return (-z if going else z)[:, 0], torch.tensor([not going])

    path = descend(far_first, torch.zeros(1, 1), steps=7, lr=0.5, optimizer=sign_sgd, patience=1, frames=9)
    assert asked == [0, 0.5, 1, 1.5, 2, 1.5, 1, 0.5]
    assert path.end.item() == 0.5
    assert path.steps.item() == 7
    assert path.frames[0][:, 0].tolist() == asked


def test_falling_steps_get_shorter_and_end_at_nothing() -> None:
    path = descend(
        lambda z, _: (-z[:, 0], torch.zeros(1, dtype=torch.bool)),
        torch.zeros(1, 1),
        steps=9,
        lr=1.0,
        optimizer=linear_decay(sign_sgd, 4),
        frames=9,
    )
    assert path.frames[0][:, 0].tolist() == [0, 1, 1.75, 2.25, 2.5]
    assert path.steps.item() == 4  # the fifth would be of length 0


@pytest.mark.shapes
def test_patience_ends_when_nothing_nearer_comes() -> None:
    path = descend(overshoot, torch.zeros(1, 1), steps=50, lr=0.25, optimizer=sign_sgd, patience=3, frames=4)
    assert path.end.item() == 0.5
    assert path.steps.item() == 2 + 3
    assert path.frames[0][:, 0].tolist() == [0, 0.25, 0.5]  # the way to the end, not what came after it


@quick
@given(st.integers(1, 7), st.integers(0, 60))
def test_frames_are_evenly_spread_and_their_number_is_bounded(frames: int, steps: int) -> None:
    far = valley(torch.tensor([[99.0]]))
    path = descend(far, torch.zeros(1, 1), steps=steps, lr=1.0, optimizer=sign_sgd, frames=frames)
    places = path.frames[0][:, 0].tolist()
    assert min(frames, steps + 1) <= len(places) <= 2 * frames
    assert places[0] == 0
    assert places[-1] == steps
    strides = {b - a for a, b in pairwise(places[:-1])}
    assert len(strides) <= 1


def test_the_start_is_left_alone() -> None:
    start = torch.zeros(2, 3, requires_grad=True)
    path = descend(valley(torch.ones(2, 3)), start, steps=3, lr=0.1)
    assert torch.equal(start, torch.zeros(2, 3))
    assert start.grad is None
    assert not path.end.requires_grad


@pytest.mark.shapes
@quick
@given(st.lists(st.floats(-0.5, 1.5), max_size=5), st.integers(1, 20))
def test_bisection_finds_the_threshold(thresholds: list[float], steps: int) -> None:
    limit, asked = torch.tensor(thresholds, dtype=torch.float64), [0] * len(thresholds)

    def test(value: Tensor, rows: Tensor) -> Tensor:
        for row in rows.tolist():
            asked[row] += 1
        return value <= limit[rows]

    low = torch.zeros_like(limit)
    found = bisect(test, low, low + 1, steps=steps)
    wanted = limit.clamp(0, 1)
    assert (found <= wanted).all()
    assert (wanted - found <= 0.5**steps).all()
    assert asked == [1 if t >= 1 else steps + 1 for t in thresholds]
    assert torch.equal(low, torch.zeros_like(limit))


@pytest.mark.shapes
@quick
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_on_grid_is_the_8_bit_picture_with_the_gradient_of_the_identity(values: list[float]) -> None:
    z = torch.tensor(values, requires_grad=True)
    on_grid(z).sum().backward()
    levels = np.round(np.float32(values) * np.float32(255)).astype(np.uint8)
    assert torch.equal(on_grid(z).detach(), torch.from_numpy(levels).float() / 255)
    assert torch.equal(z.grad, torch.ones_like(z))
