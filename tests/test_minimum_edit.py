"""The exact minimum-edit method: its certificate, against brute force and against the greedy method."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rather.core import Classifier, Goal
from rather.feature_cells.edits import edited
from rather.methods.goyal import Goyal
from rather.methods.minimum_edit import MinimumEdit
from rather.search.references import References
from test_fewest import brute_force

pytestmark = pytest.mark.shapes


def random_classifier(seed, *, grid=(2, 2), classes=3, linear=False):
    """Of pictures that are their own features: 2 channels, a cell a pixel."""
    torch.manual_seed(seed)
    n = grid[0] * grid[1]
    layers = [nn.Linear(2 * n, classes)] if linear else [nn.Linear(2 * n, 6), nn.ReLU(), nn.Linear(6, classes)]
    head = nn.Sequential(nn.Flatten(), *layers)
    for p in head.parameters():
        nn.init.normal_(p)
    names = [str(k) for k in range(classes)]
    return Classifier(nn.Identity(), head, classes=names, shape=(2, *grid), mean=[0.5, 0.5], std=[0.2, 0.2])


def question(classifier, count):
    """Queries, a target that each is not, and references; None if the classifier says one thing only."""
    x, others = torch.rand(count, *classifier.shape), torch.rand(60, *classifier.shape)
    references = References(others, tuple(map(str, range(60))))
    there = references.classes(classifier).unique()
    said = classifier.probabilities(x).argmax(1)
    if len(there) < 2:
        return None
    target = torch.tensor([next(int(k) for k in there.tolist() if k != mine) for mine in said.tolist()])
    return x, target, references


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("distractor", ["random", "nearest"])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=4, deadline=None)
def test_the_certificate_is_true_and_the_greedy_method_has_no_fewer_edits(reuse, distractor, seed):
    classifier = random_classifier(seed)
    asked = question(classifier, 3)
    if asked is None:
        return
    x, target, references = asked
    found = MinimumEdit(references=references, reuse=reuse, distractor=distractor)(classifier, x, target)
    greedy = Goyal(references=references, reuse=reuse, distractor=distractor)(classifier, x, target)
    assert found.info["distractor"] == greedy.info["distractor"]
    for row, fact in enumerate(found.info["minimum"]):
        query = classifier.features(x[[row]])
        other = classifier.features(references.images[[int(found.info["distractor"][row])]])
        goal = Goal.criticism(target[[row]])
        truth = brute_force(classifier.head, query, other, goal, reuse=reuse)
        assert fact["proved"]
        assert fact["size"] == fact["lower_bound"] == len(fact["edits"]) == truth
        assert goal.reached(classifier.head(edited(query, other, [fact["edits"]])))
        assert found.info["edits"][row] == fact["edits"]
        assert int(found.steps[row]) == truth
        if greedy.info["flipped_in_features"][row]:
            assert int(greedy.steps[row]) >= truth


@given(st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_greedy_is_minimal_where_edits_add_up(seed):
    # Two classes, one linear layer, distractor cells as often as needed: the best edits are the largest ones.
    classifier = random_classifier(seed, grid=(2, 3), classes=2, linear=True)
    asked = question(classifier, 4)
    if asked is None:
        return
    x, target, references = asked
    found = MinimumEdit(references=references, reuse=True)(classifier, x, target)
    greedy = Goyal(references=references, reuse=True)(classifier, x, target)
    assert torch.equal(found.steps, greedy.steps)
    assert found.info["edits"] == [list(map(tuple, edits)) for edits in greedy.info["edits"]]
    for mine, theirs in zip(found.info["log_probability"], greedy.info["log_probability"], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


@pytest.fixture
def trap():
    """Two edits do, but not after the best one: it takes the distractor cell that the second would need.

    Cell a gains 5 by the distractor's cell 1 and 4 by its cell 0, cell b 4.5 by 1 and nothing by 0.
    """
    gains = torch.tensor([[4.0, 0.0, 1.0, 1.0], [5.0, 4.5, 1.0, 1.0]])  # by channel, by query cell
    head = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
    with torch.no_grad():
        head[1].weight.copy_(torch.stack([torch.zeros(8), gains.flatten()]))
        head[1].bias.copy_(torch.tensor([7.9, 0.0]))
    classifier = Classifier(nn.Identity(), head, classes=("no", "yes"), shape=(2, 2, 2))
    other = torch.zeros(1, 2, 2, 2)
    other[0, 0, 0, 0] = other[0, 1, 0, 1] = 1
    return classifier, torch.zeros(1, 2, 2, 2), References(other, ("it",))


def test_finds_what_the_greedy_search_misses(trap):
    classifier, x, references = trap
    greedy = Goyal(references=references)(classifier, x, 1)
    assert greedy.info["edits"][0][0] == (0, 1)
    assert greedy.info["flipped_in_features"] == [False]
    found = MinimumEdit(references=references)(classifier, x, 1)
    (fact,) = found.info["minimum"]
    assert sorted(fact["edits"]) == [(0, 0), (1, 1)]
    assert (fact["size"], fact["lower_bound"], fact["proved"]) == (2, 2, True)
    assert found.info["flipped_in_features"] == [True]
    before, half, after = found.info["confidence"][0]
    assert before < half < 0.5 < after


def test_keeps_the_best_known_set_when_it_gives_up(trap):
    classifier, x, references = trap
    (fact,) = MinimumEdit(references=references, nodes=1)(classifier, x, 1).info["minimum"]
    assert sorted(fact["edits"]) == [(k, k) for k in range(4)]  # the whole distractor
    assert (fact["size"], fact["lower_bound"], fact["proved"]) == (4, 1, False)


def test_proves_that_nothing_does(trap):
    # The distractor cell that cell b needs is worth less to a goal that asks for more than both edits give.
    classifier, x, references = trap
    goal = Goal.criticism(torch.tensor([1]), confidence=0.99)
    found = MinimumEdit(references=references)(classifier, x, goal)
    (fact,) = found.info["minimum"]
    assert (fact["size"], fact["lower_bound"], fact["proved"]) == (None, 5, True)
    assert found.info["flipped_in_features"] == [False]
    assert not found.success[0]
