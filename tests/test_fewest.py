"""The exact minimum-edit search against brute force over all sets of edits."""

from itertools import combinations, permutations, product

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import nn

from rather.core import Goal
from rather.feature_cells.fewest import fewest_edits

pytestmark = pytest.mark.shapes

HEADS = ["relu", "deep", "linear", "pooled", "convolution"]


def head_of(kind, d, grid, classes, seed):
    torch.manual_seed(seed)
    n = grid[0] * grid[1]
    layers = {
        "relu": [nn.Flatten(), nn.Linear(d * n, 6), nn.ReLU(), nn.Linear(6, classes)],
        "deep": [nn.Flatten(), nn.Linear(d * n, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, classes)],
        "linear": [nn.Flatten(), nn.Linear(d * n, classes)],
        "pooled": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(d, 6), nn.ReLU(), nn.Linear(6, classes)],
        "convolution": [nn.Conv2d(d, 4, 2), nn.Tanh(), nn.Flatten(1), nn.LazyLinear(classes)],
    }[kind]
    head = nn.Sequential(*layers).eval()
    head(torch.zeros(1, d, *grid))
    for p in head.parameters():
        nn.init.normal_(p)
    return head.requires_grad_(requires_grad=False)


def pair(kind, seed, *, grid=(2, 2), classes=4, confidence=0.0):
    """Maps of which the head calls the second the target, and not the first."""
    head = head_of(kind, 2, grid, classes, seed)
    maps = torch.randn(200, 2, *grid)
    said = head(maps).argmax(1)
    other = (said != said[0]).nonzero()[:, 0]
    if not len(other):  # a head may say one thing only
        reject()
    query, distractor = maps[:1], maps[other[:1]]
    return head, query, distractor, Goal.criticism(said[other[:1]], confidence)


def brute_force(head, query, distractor, goal, *, reuse):
    """The least size of a set of edits that reaches the goal; None if there is none."""
    n = query[0, 0].numel()
    for size in range(1, n + 1):
        for cells in combinations(range(n), size):
            for others in product(range(n), repeat=size) if reuse else permutations(range(n), size):
                if goal.reached(head(edited(query, distractor, zip(cells, others, strict=True)))):
                    return size
    return None


def edited(query, distractor, edits):
    result = query.clone()
    for i, j in edits:
        result.flatten(2)[0, :, i] = distractor.flatten(2)[0, :, j]
    return result


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("kind", HEADS)
@given(seed=st.integers(0, 10**6), confidence=st.sampled_from([0.0, 0.4, 0.9]))
@settings(max_examples=6, deadline=None)
def test_is_the_minimum(kind, reuse, seed, confidence):
    head, query, distractor, goal = pair(kind, seed, confidence=confidence)
    truth = brute_force(head, query, distractor, goal, reuse=reuse)
    found = fewest_edits(head, query, distractor, goal, reuse=reuse)
    if truth is None:
        assert found.edits is None
        assert found.lower_bound == 5
        return
    assert found.edits is not None
    assert len(found.edits) == found.lower_bound == truth
    cells, others = zip(*found.edits, strict=True)
    assert len(set(cells)) == truth
    assert reuse or len(set(others)) == truth
    assert goal.reached(head(edited(query, distractor, found.edits)))


@pytest.mark.parametrize("kind", ["relu", "convolution"])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=6, deadline=None)
def test_is_the_minimum_on_a_larger_grid(kind, seed):
    head, query, distractor, goal = pair(kind, seed, grid=(2, 3), classes=3)
    found = fewest_edits(head, query, distractor, goal)
    assert found.edits is not None  # all six cells of the distractor are the distractor
    assert len(found.edits) == found.lower_bound
    if found.lower_bound < 5:  # brute force would take a minute beyond
        assert found.lower_bound == brute_force(head, query, distractor, goal, reuse=False)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_only_smaller_sets_than_the_known_one_are_looked_for(seed):
    head, query, distractor, goal = pair("relu", seed)
    truth = brute_force(head, query, distractor, goal, reuse=False)
    same = fewest_edits(head, query, distractor, goal, known=truth)
    assert (same.edits, same.lower_bound) == (None, truth)
    larger = fewest_edits(head, query, distractor, goal, known=truth + 1)
    assert larger.edits is not None
    assert larger.lower_bound == truth


@pytest.mark.parametrize("kind", ["relu", "convolution"])
@given(seed=st.integers(0, 10**6), nodes=st.integers(1, 400))
@settings(max_examples=10, deadline=None)
def test_what_it_says_when_it_gives_up_is_true(kind, seed, nodes):
    head, query, distractor, goal = pair(kind, seed)
    truth = brute_force(head, query, distractor, goal, reuse=False)
    found = fewest_edits(head, query, distractor, goal, nodes=nodes)
    assert found.lower_bound <= truth
    assert found.edits is None or len(found.edits) == truth
    assert found.nodes <= 2 * nodes + 16


def test_a_linear_head_needs_no_look_at_any_set_that_is_too_small():
    # The second class wins with four cells of ones, so that three edits are never enough.
    head = nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).requires_grad_(requires_grad=False)
    head[1].weight.copy_(torch.tensor([[0.0], [1.0]]).expand(2, 6))
    head[1].bias.copy_(torch.tensor([3.5, 0.0]))
    query, distractor = torch.zeros(1, 1, 2, 3), torch.ones(1, 1, 2, 3)
    goal = Goal.criticism(torch.tensor([1]))
    bounded = fewest_edits(head, query, distractor, goal, known=4)
    assert (bounded.edits, bounded.lower_bound, bounded.nodes) == (None, 4, 3)
    unknown = nn.Sequential(head, nn.Softshrink(0.0))  # the same answers, of a structure that nobody knows
    blind = fewest_edits(unknown, query, distractor, goal, known=4)
    unfinished, whole = 3 + 30 + 24 + 300, 36 + 15 * 30 + 20 * 120
    assert (blind.edits, blind.lower_bound, blind.nodes) == (None, 4, unfinished + whole)


def test_an_edit_can_cure_a_cell_that_is_not_finite():
    head, query, distractor, goal = pair("relu", 3)
    query[0, :, 1, 0] = torch.nan
    truth = brute_force(head, query, distractor, goal, reuse=False)
    found = fewest_edits(head, query, distractor, goal)
    assert found.edits is not None
    assert len(found.edits) == found.lower_bound == truth
    assert 2 in dict(found.edits)
