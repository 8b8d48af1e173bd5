"""Fast scores of all edits against asking the head about each, one by one, in float64."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rather.feature_cells import cell_editor as editors
from rather.feature_cells import edits as any_edits
from rather.feature_cells import linear_edits
from rather.feature_cells.cell_editor import cell_editor
from rather.feature_cells.edits import HAIR, AnyHead, Edits, Prescreened, first_best
from rather.feature_cells.linear_edits import LinearFirst, PooledLinear

D, U, V, K = 6, 2, 3, 5
N = U * V


class Halves(nn.Module):
    """Two heads of half the channels each, as an ensemble has them."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList(nn.Sequential(nn.Flatten(), nn.Linear(D * N // 2, K)) for _ in range(2))

    def forward(self, maps):
        log_p = [part(half).log_softmax(1) for part, half in zip(self.parts, maps.chunk(2, 1), strict=True)]
        return torch.stack(log_p).mean(0)


class Squared(nn.Linear):
    def forward(self, x):
        return super().forward(x) ** 2


def mlp(*middle):
    return nn.Sequential(nn.Flatten(), nn.Linear(D * N, 9), *middle, nn.Linear(9, K))


HEADS = {
    "digit": lambda: (mlp(nn.ReLU()), LinearFirst),
    "deep": lambda: (
        nn.Sequential(
            nn.AdaptiveAvgPool2d((U, V)),
            nn.Sequential(nn.Flatten(), nn.Linear(D * N, 12), nn.ReLU(inplace=True), nn.Dropout()),
            nn.Sequential(nn.Linear(12, 11, bias=False), nn.ReLU(inplace=True), nn.Dropout(), nn.Identity()),
            nn.Linear(11, K),
        ),
        LinearFirst,
    ),
    "tanh": lambda: (mlp(nn.Tanh()), LinearFirst),
    "no-relu": lambda: (mlp(), LinearFirst),
    "linear": lambda: (nn.Sequential(nn.Flatten(), nn.Linear(D * N, K, bias=False)), LinearFirst),
    "part-pooled": lambda: (nn.Sequential(nn.AvgPool2d((1, 2), 1), nn.Flatten(), nn.Linear(D * 4, K)), LinearFirst),
    "pooled": lambda: (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(D, K)), PooledLinear),
    "pooled-mlp": lambda: (
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(D, 9), nn.ReLU(), nn.Linear(9, K)),
        LinearFirst,
    ),
    "conv": lambda: (nn.Sequential(nn.Conv2d(D, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, K)), AnyHead),
    "max-pooled": lambda: (nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(D, K)), AnyHead),
    "normalised": lambda: (mlp(nn.BatchNorm1d(9)), AnyHead),
    "subclass": lambda: (mlp(nn.ReLU(), Squared(9, 9)), AnyHead),
    "ensemble": lambda: (Halves(), AnyHead),
}


def problem(seed, make, rows=3):
    """A random head, what should score its edits, and pairs of sparse maps with blank cells among them."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head, kind = make()
        for weight in head.parameters():
            nn.init.normal_(weight)
        query, distractor = torch.randn(2, rows, D, U, V).relu()
        query[:, :, 0, 0] = distractor[:, :, 0, 1] = distractor[:, :, 1, 0] = 0
        target = torch.randint(K, (rows,))
    return head.eval().requires_grad_(requires_grad=False), kind, query, distractor, target


def naive(head, query, distractor, target):
    """Log p(target) after each edit: the head, asked about one edited map after the other."""
    head = copy.deepcopy(head).double()
    out = torch.zeros(len(query), N, N, dtype=torch.float64)
    for row in range(len(query)):
        for i in range(N):
            for j in range(N):
                cells = query[row].flatten(1).double()
                cells[:, i] = distractor[row].flatten(1)[:, j].double()
                out[row, i, j] = head(cells.view(1, D, U, V)).log_softmax(1)[0, target[row]]
    return out


def is_best(edit, truth, may):
    """No open edit is better by more than rounding; of the two blank cells, the first is taken."""
    chosen = truth.flatten(1).gather(1, (edit[:, :1] * N + edit[:, 1:]))[:, 0]
    best = truth.masked_fill(~may, -torch.inf).flatten(1).amax(1)
    return bool((chosen >= best - 2 * HAIR * best.abs().clamp(min=1)).all()) and bool((edit[:, 1] != V).all())


def edited(query, distractor, edit):
    cells = query.flatten(2).clone()
    for row, (i, j) in enumerate(edit.tolist()):
        cells[row, :, i] = distractor.flatten(2)[row, :, j]
    return cells.view_as(query)


def everything(rows=3):
    return torch.ones(rows, N, N, dtype=torch.bool)


@pytest.fixture(autouse=True)
def _no_pair_is_too_small(monkeypatch):
    monkeypatch.setattr(linear_edits, "_LARGE", 0)  # to look for dead units


@pytest.mark.shapes
@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
@given(seed=st.integers(0, 10**6), rows=st.sampled_from([1, 3]))
@settings(max_examples=6, deadline=None)
def test_scores_are_those_of_asking_the_head_about_every_edit_before_and_after_edits(make, seed, rows):
    head, kind, query, distractor, target = problem(seed, make, rows)
    maps = cell_editor(head, (D, U, V)).start(query, distractor)
    assert type(maps) is kind
    may = everything(rows)
    for _ in range(3):
        torch.testing.assert_close(maps.logits().float(), head(query), rtol=1e-4, atol=1e-4)
        truth, scores = naive(head, query, distractor, target), maps.scores(target, may).double()
        torch.testing.assert_close(scores[may], truth[may], rtol=1e-4, atol=1e-4)
        best = maps.best(target, may)
        assert is_best(best, truth, may)
        maps.apply(best)
        query = edited(query, distractor, best)
        may[torch.arange(rows), best[:, 0]] = False


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_maps_that_stay_do_not_notice_that_others_leave(make, seed):
    head, _, query, distractor, target = problem(seed, make)
    how = cell_editor(head, (D, U, V))
    maps, stay = how.start(query, distractor), torch.tensor([False, True, True])
    edit = maps.best(target, everything())
    maps.apply(edit)
    maps.keep(stay)
    alone = how.start(edited(query, distractor, edit)[2:], distractor[2:])
    may = everything(2)
    may[torch.arange(2), edit[stay, 0]] = False
    here, there = maps.scores(target[stay], may)[1], alone.scores(target[2:], may[1:])[0]
    torch.testing.assert_close(here[may[1]], there[may[1]], rtol=1e-4, atol=1e-4)


def test_a_head_that_may_do_more_than_it_seems_to_is_asked_itself():
    head = mlp(nn.ReLU()).eval()
    assert isinstance(cell_editor(head, (D, U, V)).start(*torch.rand(2, 1, D, U, V)), LinearFirst)
    unlike = [mlp(nn.ReLU(), nn.Dropout()).train(), nn.Sequential(nn.Flatten(2), *mlp()[1:]).eval()]
    hooked = copy.deepcopy(head)
    hooked[1].register_forward_hook(lambda module, args, out: out + 1)
    parametrised = copy.deepcopy(head)
    nn.utils.parametrizations.weight_norm(parametrised[1])
    for other in (*unlike, hooked, parametrised):
        assert isinstance(cell_editor(other, (D, U, V)).start(*torch.rand(2, 1, D, U, V)), AnyHead)


def test_a_table_that_would_not_fit_is_not_made(monkeypatch):
    monkeypatch.setattr(editors, "_TABLE", 9 * N * N - 1)
    assert isinstance(cell_editor(mlp(nn.ReLU()).eval(), (D, U, V)).start(*torch.rand(2, 1, D, U, V)), AnyHead)


def test_the_size_of_the_blocks_changes_nothing(monkeypatch):
    head, _, query, distractor, target = problem(3, HEADS["conv"])
    whole = AnyHead(head, query, distractor).scores(target, everything())
    monkeypatch.setattr(any_edits, "BLOCK", 7 * D * N)
    torch.testing.assert_close(AnyHead(head, query, distractor).scores(target, everything()), whole)


@pytest.mark.parametrize("scale", [1e3, 1e5])
def test_a_pooled_linear_head_of_huge_logits_underflows_nowhere(scale):
    head, _, query, distractor, target = problem(1, HEADS["pooled"])
    head[2].weight *= scale
    scores = PooledLinear(editors.linear_head(head, (D, U, V)), query, distractor).scores(target, everything())
    truth = naive(head, query, distractor, target)
    assert truth.min() < -700  # its probability is below what float64 can hold
    torch.testing.assert_close(scores, truth, rtol=1e-5, atol=1e-3)


@given(seed=st.integers(0, 10**6), scale=st.floats(-2, 4))
@settings(max_examples=40, deadline=None)
def test_a_pooled_linear_head_is_as_exact_before_its_float32_underflows_as_after(seed, scale):
    head, _, query, distractor, target = problem(seed, HEADS["pooled"])
    head[2].weight *= 10**scale
    maps = PooledLinear(editors.linear_head(head, (D, U, V)), query, distractor)
    for i in range(2):
        truth, scores = naive(head, query, distractor, target), maps.scores(target, everything()).double()
        torch.testing.assert_close(scores[:, i:], truth[:, i:], rtol=1e-5, atol=1e-5 * max(1, 10**scale))
        edit = torch.tensor([[i, 2 - i]] * 3)
        maps.apply(edit)
        query = edited(query, distractor, edit)


@pytest.mark.parametrize("bad", [torch.nan, 1e6])
def test_a_pair_of_a_pooled_linear_head_does_not_notice_that_others_are_nan_or_underflow(bad):
    head, _, query, distractor, target = problem(2, HEADS["pooled"])
    known = editors.linear_head(head, (D, U, V))
    alone = PooledLinear(known, query, distractor).scores(target, everything())
    query[0] *= bad
    query[2] *= 1e6
    scores = PooledLinear(known, query, distractor).scores(target, everything())
    torch.testing.assert_close(scores[1].float(), alone[1].float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        scores[2:].double(), naive(head, query[2:], distractor[2:], target[2:]), rtol=1e-5, atol=1
    )


class Given(Edits):
    """Scores that were thought up."""

    def __init__(self, scores):
        self.given, self.asked = scores, torch.zeros_like(scores)

    def scores(self, target, open_edits):
        self.asked[open_edits] += 1
        return torch.where(open_edits, self.given, torch.nan)

    def logits(self):
        raise NotImplementedError

    def apply(self, edit):
        raise NotImplementedError

    def keep(self, rows):
        raise NotImplementedError


def test_of_equal_scores_the_first_wins_and_closed_ones_and_nan_never():
    scores = torch.tensor([[[torch.nan, 1.0, 3.0], [2.0 + 1e-7, 2.0, 0.0], [2.0, torch.inf, 2.0]]])
    may = torch.ones(1, 3, 3, dtype=torch.bool)
    may[0, 2, 1] = False
    assert first_best(scores, may).tolist() == [[0, 2]]
    may[0, :, 2] = False
    assert first_best(scores, may).tolist() == [[1, 0]]
    may[0, :, 0] = False
    assert first_best(scores, may).tolist() == [[1, 1]]
    impossible = torch.full((1, 3, 3), -torch.inf)
    impossible[0, 0, 1] = torch.nan
    assert first_best(impossible, may).tolist() == [[0, 1]]


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_difference_that_is_more_than_rounding_is_no_tie(seed):
    scores = torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(seed)).double()
    may = torch.ones(4, 5, 5, dtype=torch.bool)
    i, j = first_best(scores, may).T
    assert torch.equal(i * 5 + j, scores.flatten(1).argmax(1))


@pytest.mark.shapes
@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_the_screen_makes_the_same_edits(make, seed):
    head, kind, query, distractor, target = problem(seed, make)
    screened = cell_editor(head, (D, U, V), "bf16").start(query, distractor)
    assert isinstance(screened, PooledLinear if kind is PooledLinear else Prescreened)
    exact, may = AnyHead(head, query, distractor), everything()
    for _ in range(3):
        best = screened.best(target, may)
        assert is_best(best, exact.scores(target, may), may)
        screened.apply(best)
        exact.apply(best)
        may[torch.arange(3), best[:, 0]] = False
        torch.testing.assert_close(screened.logits().float(), exact.logits(), rtol=1e-4, atol=1e-4)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.01, 0.3, 10.0]))
@settings(max_examples=20, deadline=None)
def test_a_screen_checks_the_more_the_less_it_knows_and_is_right_in_the_end(seed, noise):
    g = torch.Generator().manual_seed(seed)
    truth = torch.randn(2, 9, 9, generator=g)
    # Errors of one size: then four times the largest one seen covers all, and the certificate is a proof.
    rough = truth + noise * torch.randn(2, 9, 9, generator=g).sign()
    may = torch.rand(2, 9, 9, generator=g) < 0.9
    exact, target = Given(truth), torch.zeros(2, dtype=torch.long)
    assert torch.equal(Prescreened(exact, Given(rough)).best(target, may), first_best(truth, may))
    assert exact.asked.max() == 1
    checked = int(exact.asked.sum())
    assert checked == (2 * any_edits.CHECKED if noise == 0 else checked)
    assert checked == (int(may.sum()) if noise == 10 else checked)


def test_a_screen_of_nothing_but_impossible_or_missing_scores_checks_them_all():
    truth = torch.full((1, 9, 9), -torch.inf)
    truth[0, 8, 8] = -3
    exact, may = Given(truth), torch.ones(1, 9, 9, dtype=torch.bool)
    screened = Prescreened(exact, Given(torch.full((1, 9, 9), torch.nan)))
    assert screened.best(torch.zeros(1, dtype=torch.long), may).tolist() == [[8, 8]]
