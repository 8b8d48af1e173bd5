"""The relaxed best edit against heads for which the right answer is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rather.feature_cells.relaxation import relaxed_best_edit

pytestmark = pytest.mark.shapes

SETTINGS = {"steps": 100, "lr": 0.3, "entropy": 0.01}


def problem(seed, *, rows=3, d=2, grid=(2, 2), classes=3):
    g = torch.Generator().manual_seed(seed)
    u, v = grid
    query, distractor = torch.randn(2, rows, d, u, v, generator=g)
    linear = nn.Linear(d * u * v, classes)
    with torch.no_grad():
        for p in linear.parameters():
            p.copy_(torch.randn(p.shape, generator=g))
    head = nn.Sequential(nn.Flatten(), linear).requires_grad_(requires_grad=False)
    target = torch.randint(classes, (rows,), generator=g)
    return head, query, distractor, target, g


def scores(head, query, distractor, target):
    """log p(target) of every single edit, one by one."""
    rows, n = len(query), query[0, 0].numel()
    out = torch.zeros(rows, n, n)
    for r in range(rows):
        for i in range(n):
            for j in range(n):
                z = query[r].flatten(1).clone()
                z[:, i] = distractor[r].flatten(1)[:, j]
                out[r, i, j] = head(z.view_as(query[r : r + 1])).log_softmax(1)[0, target[r]]
    return out


@given(st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_finds_the_best_edit_of_a_pooled_two_class_head(seed):
    # Its score of (i, j) is w (f'_j - f_i): two independent choices.
    _, query, distractor, target, g = problem(seed, grid=(2, 3), classes=2)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        head[2].weight.copy_(torch.randn(2, 2, generator=g))
    head.requires_grad_(requires_grad=False)
    found = relaxed_best_edit(head, query, distractor, target, torch.ones(3, 6, 6, dtype=torch.bool), **SETTINGS)
    best = scores(head, query, distractor, target).flatten(1).argmax(1)
    assert (found[:, 0] * 6 + found[:, 1]).tolist() == best.tolist()


@pytest.mark.parametrize("fixed", ["query cell", "distractor cells"])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_with_one_choice_left_it_is_the_exhaustive_search(seed, fixed):
    # Gradient flow on the simplex keeps the order of linear scores, so the largest wins.
    head, query, distractor, target, g = problem(seed, classes=2)
    still_open = torch.zeros(3, 4, 4, dtype=torch.bool)
    choice = torch.randint(4, (3, 4), generator=g)
    if fixed == "query cell":
        still_open[torch.arange(3), choice[:, 0]] = True
    else:
        still_open.scatter_(2, choice[:, :, None], value=True)
    found = relaxed_best_edit(head, query, distractor, target, still_open, **SETTINGS)
    # Compared by score: where log p saturates at 0, several edits are the best.
    score = scores(head, query, distractor, target).masked_fill(~still_open, -torch.inf).flatten(1)
    mine = score.gather(1, (found[:, 0] * 4 + found[:, 1])[:, None])[:, 0]
    torch.testing.assert_close(mine, score.amax(1), rtol=0, atol=1e-6)


@given(st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_chooses_open_edits_only(seed):
    head, query, distractor, target, g = problem(seed)
    still_open = torch.rand(3, 4, 4, generator=g) < 0.3
    still_open[:, 3, 2] = True
    found = relaxed_best_edit(head, query, distractor, target, still_open, steps=20, lr=0.3, entropy=0.1)
    assert still_open[torch.arange(3), found[:, 0], found[:, 1]].all()


def test_a_row_does_not_look_at_its_batch():
    head, query, distractor, target, _ = problem(3, rows=6, grid=(3, 3))
    every = torch.ones(6, 9, 9, dtype=torch.bool)
    together = relaxed_best_edit(head, query, distractor, target, every, **SETTINGS)
    for r in range(6):
        row = slice(r, r + 1)
        alone = relaxed_best_edit(head, query[row], distractor[row], target[row], every[row], **SETTINGS)
        assert alone.tolist() == together[row].tolist()


def test_never_beats_the_exhaustive_search_and_moves_towards_it():
    head, query, distractor, target, _ = problem(0, rows=40, d=3, grid=(2, 3), classes=4)
    every = torch.ones(40, 6, 6, dtype=torch.bool)
    all_scores = scores(head, query, distractor, target).flatten(1)
    found = relaxed_best_edit(head, query, distractor, target, every, **SETTINGS)
    reached = all_scores.gather(1, (found[:, 0] * 6 + found[:, 1])[:, None])[:, 0]
    assert (reached <= all_scores.amax(1) + 1e-6).all()
    assert reached.mean() > (all_scores.amax(1).mean() + all_scores.mean()) / 2
