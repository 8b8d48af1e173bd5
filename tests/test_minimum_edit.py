"""The minimum edit, solved exactly: its bound, its search against brute force, and the method's certificate."""

from itertools import combinations, pairwise, permutations, product

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import nn

from rather.core import Classifier, Goal
from rather.feature_cells.bounds import upper_line
from rather.feature_cells.edits import edited
from rather.feature_cells.fewest import fewest_edits
from rather.methods.goyal import Goyal
from rather.methods.minimum_edit import MinimumEdit
from rather.search.references import References

pytestmark = pytest.mark.shapes


# The bound: the upper line of a ReLU network, against points of the box


def network(seed, sizes):
    torch.manual_seed(seed)
    layers = [nn.Linear(a, b, dtype=torch.float64) for a, b in pairwise(sizes)]
    for layer in layers:
        layer.requires_grad_(requires_grad=False)
    return layers


def output(layers, h):
    for layer in layers:
        h = layer(h.relu())
    return h


@pytest.mark.parametrize("sizes", [(5,), (5, 3), (5, 6, 3), (4, 6, 5, 3)])
@given(seed=st.integers(0, 10**6), width=st.floats(0, 3))
@settings(max_examples=8, deadline=None)
def test_no_point_of_the_box_lies_above_it(sizes, seed, width):
    layers = network(seed, sizes)
    centre = torch.randn(4, sizes[0], dtype=torch.float64)
    spread = width * torch.rand_like(centre)
    weight = torch.randn(4, sizes[-1], dtype=torch.float64)
    slope, constant = upper_line(layers, centre - spread, centre + spread, weight)
    for _ in range(50):
        corner = torch.randint(-1, 2, centre.shape) * torch.rand(()).sign()
        h = centre + spread * torch.where(torch.rand(centre.shape) < 0.5, corner, 2 * torch.rand(centre.shape) - 1)
        value = (weight * output(layers, h)).sum(1)
        assert (value <= (slope * h).sum(1) + constant + 1e-9).all()


@given(st.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_it_is_the_function_where_no_unit_changes_its_sign(seed):
    layers = network(seed, (5, 3))
    centre = torch.randn(4, 5, dtype=torch.float64)
    spread = 0.9 * centre.abs()
    weight = torch.randn(4, 3, dtype=torch.float64)
    slope, constant = upper_line(layers, centre - spread, centre + spread, weight)
    h = centre + spread * (2 * torch.rand_like(centre) - 1)
    torch.testing.assert_close((slope * h).sum(1) + constant, (weight * output(layers, h)).sum(1))


def test_one_unit_by_hand():
    # relu(h) on [-1, 3] lies below its chord (3 h + 3) / 4, and -relu(h) below -h.
    layer = network(0, (1, 1))[0]
    layer.weight.fill_(1.0)
    layer.bias.fill_(0.0)
    low, high = torch.tensor([[-1.0]]).double(), torch.tensor([[3.0]]).double()
    slope, constant = upper_line([layer], low, high, torch.ones(1, 1).double())
    assert (slope.item(), constant.item()) == (0.75, 0.75)
    slope, constant = upper_line([layer], low, high, -torch.ones(1, 1).double())
    assert (slope.item(), constant.item()) == (-1, 0)


# The search


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
                if goal.reached(head(edited(query, distractor, [[*zip(cells, others, strict=True)]]))):
                    return size
    return None


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
    assert goal.reached(head(edited(query, distractor, [found.edits])))


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
    unknown = nn.Sequential(head, nn.Softshrink(0.0))  # the same answers, of an unknown structure
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


# The method


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
    """Queries, a target that each is not, and references; None if the classifier predicts one class only."""
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
