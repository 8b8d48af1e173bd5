"""Every metric against a slow derivation in NumPy float64, and its value where nothing changed."""

from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rather.core import Goal
from rather.metrics import list_metrics, proximity, sparsity, validity

SLOW = {
    "l1": lambda a, b: np.abs(a - b).mean(),
    "l2": lambda a, b: np.sqrt(((a - b) ** 2).sum()),
    "share_changed": lambda a, b: (np.abs(a - b).max(0) > 0.5 / 255).mean(),
    "hoyer": lambda a, b: (
        (np.sqrt(a.size) - np.abs(a - b).sum() / np.sqrt(((a - b) ** 2).sum())) / (np.sqrt(a.size) - 1)
    ),
}


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([1, 3]), st.integers(2, 6))
def test_distances_agree_with_their_definition_row_by_row(seed, rows, channels, side):
    draw = torch.Generator().manual_seed(seed)
    shape = rows, channels, side, side
    a, b = (torch.randint(0, 256, shape, generator=draw).double() / 255 for _ in range(2))
    b = torch.where(torch.rand(shape, generator=draw) < 0.5, a, b)
    b[:, 0, 0, 0] = (a[:, 0, 0, 0] + 0.5) % 1  # something always differs
    for metric in (proximity.l1, proximity.l2, sparsity.share_changed, sparsity.hoyer):
        slow = [SLOW[metric.__name__](*pair) for pair in zip(a.numpy(), b.numpy(), strict=True)]
        np.testing.assert_allclose(metric(a, b).numpy(), slow, atol=1e-6)


def test_no_change_is_no_distance():
    x = torch.rand(3, 1, 5, 5)
    for metric in (proximity.l1, proximity.l2, sparsity.share_changed):
        assert metric(x, x).abs().sum() == 0
    assert (sparsity.hoyer(x, x) == 1).all()


def test_validity_asks_for_class_and_confidence():
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.1]])
    goal = Goal.criticism(torch.tensor([1, 1, 1]), 0.8)
    assert validity.reached(logits, goal).tolist() == [False, True, False]
    torch.testing.assert_close(validity.confidence(logits, goal.target), logits.softmax(1)[:, 1])


@pytest.mark.parametrize(("name", "text"), list_metrics().items())
def test_every_metric_says_what_it_is_and_which_way_is_better(name, text):
    home = text.rpartition("[")[2][:-1]
    assert callable(getattr(import_module(f"rather.metrics.{home}"), name))
    assert " is better)" in text
