"""Algorithm 1 against a loop that follows the paper to the letter, and the method around it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from analytic import others, pictures, spatial
from rather.config.errors import RatherError
from rather.core import Classifier, Goal
from rather.feature_cells.cell_editor import cell_editor
from rather.feature_cells.composite import composite, highlights
from rather.feature_cells.edits import first_best
from rather.feature_cells.sequential import sequential_search
from rather.hub.methods import build_method
from rather.methods.goyal import Goyal
from rather.methods.minimal import Minimal
from rather.runs.defaults import default_plan
from rather.search.references import References
from refusing import code_of

D, N, K = 4, 4, 3
REFERENCES = References(pictures(24, seed=1), tuple(f"picture-{i}" for i in range(24)))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(D * N, 8), nn.ReLU(), nn.Linear(8, K))


def pooled():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(D, K))


def conv():
    return nn.Sequential(nn.Conv2d(D, 8, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, K))


def head_and_pairs(seed, make=mlp, rows=5):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = make()
        for weight in head.parameters():
            nn.init.normal_(weight, std=0.4)
        query, distractor = torch.randn(2, rows, D, 2, 2).relu()
    head.eval().requires_grad_(requires_grad=False)
    return head, query, distractor, Goal.criticism((head(query).argmax(1) + 1) % K)


def algorithm_1(head, query, distractor, goal, *, at_most=N, reuse=False):
    """One pair, one edit, one evaluation after the other. Gives edits, log p after each, and the features."""
    cells, other = query.flatten(1).clone(), distractor.flatten(1)
    edits, path = [], []
    while True:
        logits = head(cells.view(1, D, 2, 2))
        path.append(float(logits.log_softmax(1)[0, goal.target[0]]))
        free = [(i, j) for i in range(N) for j in range(N) if i not in {e[0] for e in edits}]
        if not reuse:
            free = [(i, j) for i, j in free if j not in {e[1] for e in edits}]
        if goal.reached(logits)[0] or len(edits) == at_most or not free:
            return edits, path, cells
        scores, may = torch.zeros(1, N, N), torch.zeros(1, N, N, dtype=torch.bool)
        for i, j in free:
            changed = cells.clone()
            changed[:, i] = other[:, j]
            scores[0, i, j] = head(changed.view(1, D, 2, 2)).log_softmax(1)[0, goal.target[0]]
            may[0, i, j] = True
        i, j = first_best(scores, may)[0].tolist()
        cells[:, i] = other[:, j]
        edits.append((i, j))


def rows_of(trail):
    return [
        (
            [tuple(edit) for edit in trail.edits[row, :count].tolist()],
            trail.log_probability[row, : count + 1].tolist(),
            bool(trail.flipped[row]),
        )
        for row, count in enumerate(trail.count.tolist())
    ]


@pytest.mark.shapes
@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("screen", ["none", "bf16"])
@pytest.mark.parametrize("make", [mlp, pooled, conv])
@given(seed=st.integers(0, 10**6), at_most=st.integers(1, N))
@settings(max_examples=5, deadline=None)
def test_edits_are_those_of_the_literal_loop(make, reuse, screen, seed, at_most):
    head, query, distractor, goal = head_and_pairs(seed, make)
    goal = Goal.criticism(goal.target, 0.5 * (seed % 2))
    trail = sequential_search(
        cell_editor(head, (D, 2, 2), screen), query, distractor, goal, at_most=at_most, reuse=reuse
    )
    for row, (edits, log_p, flipped) in enumerate(rows_of(trail)):
        one = goal[torch.tensor([row])]
        truth, path, cells = algorithm_1(head, query[row], distractor[row], one, at_most=at_most, reuse=reuse)
        assert edits == truth
        assert log_p == pytest.approx(path, abs=1e-5)
        assert flipped == bool(one.reached(head(cells.view(1, D, 2, 2)))[0])


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_a_row_alone_is_edited_as_in_a_batch(seed):
    head, query, distractor, goal = head_and_pairs(seed)
    how = cell_editor(head, (D, 2, 2))
    together = rows_of(sequential_search(how, query, distractor, goal))
    for row in range(len(goal)):
        part = torch.tensor([row])
        ((edits, log_p, flipped),) = rows_of(sequential_search(how, query[part], distractor[part], goal[part]))
        assert (edits, flipped) == (together[row][0], together[row][2])
        assert log_p == pytest.approx(together[row][1], abs=1e-5)


def test_a_goal_that_is_out_of_reach_ends_when_all_cells_are_edited():
    head, query, distractor, goal = head_and_pairs(0)
    trail = sequential_search(cell_editor(head, (D, 2, 2)), query, distractor, Goal.criticism(goal.target, 0.999))
    assert trail.count.tolist() == [N] * 5
    assert not trail.flipped.any()
    for edits, _, _ in rows_of(trail):
        assert sorted(i for i, _ in edits) == sorted(j for _, j in edits) == list(range(N))


def explained(**settings):
    classifier, x = spatial(), pictures(6)
    target = others(classifier, x)
    return classifier, x, target, Goyal(references=REFERENCES, **settings)(classifier, x, target, seed=3)


@pytest.mark.parametrize("solver", ["exhaustive", "relaxed"])
def test_what_is_told_of_the_edits_is_true_of_the_features(solver):
    classifier, x, target, found = explained(solver=solver)
    shown = REFERENCES.ids.index
    for row, edits in enumerate(found.info["edits"]):
        query = classifier.features(x[[row]]).flatten(2)
        other = classifier.features(REFERENCES.images[[shown(found.info["distractor"][row])]]).flatten(2)
        told = iter(found.info["log_probability"][row])
        for step in [None, *edits]:
            if step is not None:
                query[..., step[0]] = other[..., step[1]]
            logits = classifier.head(query.view(1, 3, 3, 3))
            assert next(told) == pytest.approx(float(logits.log_softmax(1)[0, target[row]]), abs=1e-5)
        assert found.info["flipped_in_features"][row] == (int(logits.argmax()) == int(target[row]))
        confidence = found.info["confidence"][row][-1]
        assert confidence == pytest.approx(float(logits.softmax(1)[0, target[row]]), abs=1e-5)
        assert found.steps[row] == len(edits) == len({i for i, _ in edits}) == len({j for _, j in edits})


def test_the_distractor_is_of_the_target_class_and_the_same_for_the_same_seed():
    classifier, x, target, found = explained()
    called = dict(zip(REFERENCES.ids, REFERENCES.classes(classifier).tolist(), strict=True))
    assert [called[name] for name in found.info["distractor"]] == target.tolist()
    again = Goyal(references=REFERENCES)(classifier, x, target, seed=3)
    assert again.info == found.info
    others_ = Goyal(references=REFERENCES)(classifier, x, target, seed=4)
    assert others_.info["distractor"] != found.info["distractor"]


def test_pictures_show_the_edits():
    classifier, x, _, found = explained()
    light = highlights(classifier, x)
    for row, edits in enumerate(found.info["edits"]):
        distractor = found.artifacts["distractor"][row]
        path = found.artifacts["path"][row]
        assert torch.equal(path[0], x[row])
        assert len(path) == len(edits) + 1
        made = composite(x[row], distractor, [tuple(edit) for edit in edits], light, (3, 3))
        torch.testing.assert_close(path[-1], made)
        torch.testing.assert_close(found.images[row], (made * 255).round() / 255)
        mine, theirs = found.artifacts["query_attention"][row], found.artifacts["distractor_attention"][row]
        assert torch.equal(mine, light[[i for i, _ in edits]].amax(0, keepdim=True))
        assert torch.equal(theirs, light[[j for _, j in edits]].amax(0, keepdim=True))


class Mirror(nn.Module):
    def forward(self, maps):
        return maps.flip(3)


def test_success_in_the_features_and_on_the_picture_are_told_apart():
    # Cells are not where the net says they are: then the composite shows the wrong places.
    classifier, x = spatial(body=lambda conv: nn.Sequential(conv, Mirror())), pictures(12)
    found = Goyal(references=REFERENCES)(classifier, x, others(classifier, x))
    assert all(found.info["flipped_in_features"])
    assert not found.success.all()


def test_evaluations_are_counted_as_the_paper_counts_them():
    # Before any edit, after each, and of the edited features at the end; and all open edits of each step.
    plain = {0: 2, 1: 3, 2: 4}
    _, _, _, found = explained(max_edits=2)
    scored = {0: 0, 1: 81, 2: 81 + 64}
    assert found.evaluations.tolist() == [plain[n] + scored[n] for n in found.steps.tolist()]
    _, _, _, found = explained(max_edits=2, reuse=True)
    scored = {0: 0, 1: 81, 2: 81 + 72}
    assert found.evaluations.tolist() == [plain[n] + scored[n] for n in found.steps.tolist()]
    _, _, _, found = explained(max_edits=2, solver="relaxed", steps=7)
    assert found.evaluations.tolist() == [plain[n] + 8 * n for n in found.steps.tolist()]


def test_settings_have_bounds_and_survive_a_round_trip():
    with pytest.raises(RatherError, match=r"goyal\.edits"):
        Goyal.of({"references": REFERENCES, "edits": 0})
    method = Goyal(references=REFERENCES, max_edits=3, reuse=True, prescreen="bf16")
    assert build_method(method.settings(), {"references": REFERENCES}) == method


@pytest.mark.parametrize("wrong", [{"solver": "relaxed"}, {"score_on": "picture"}])
def test_a_prescreen_of_another_solver_or_score_is_refused(wrong):
    with pytest.raises(RatherError, match="prescreen needs"):
        Goyal.of({"references": REFERENCES, "prescreen": "bf16"} | wrong)


def test_a_shortlist_scores_fewer_edits_and_one_of_all_is_the_same():
    classifier, x = spatial(), pictures(4)
    target = others(classifier, x)
    every = Goyal(references=REFERENCES, score_on="picture")(classifier, x, target)
    same = Goyal(references=REFERENCES, score_on="picture", shortlist=81)(classifier, x, target)
    few = Goyal(references=REFERENCES, score_on="picture", shortlist=5)(classifier, x, target)
    assert torch.equal(same.images, every.images)
    assert few.success.all()
    assert (few.evaluations == 2 + few.steps * (1 + 2 + 5)).all()


def test_without_a_gradient_a_shortlist_copies_cells_to_their_own_places():
    spatial_net = spatial()
    blind = Classifier(spatial_net.body, Blind(spatial_net.head), classes=spatial_net.classes, shape=spatial_net.shape)
    x = pictures(4)
    found = Goyal(references=REFERENCES, score_on="picture", shortlist=9)(blind, x, others(blind, x))
    assert found.success.all()
    assert all(i == j for pairs in found.info["edits"] for i, j in pairs)


class Blind(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x):
        return self.net(x)


def by_hand(side):
    return Classifier(nn.Identity(), nn.Flatten(), classes=[str(n) for n in range(side**2)], shape=(1, side, side))


def test_a_map_of_too_many_cells_is_refused_before_the_first_row():
    method = Goyal(references=REFERENCES)
    for one in (method, Minimal(method=method, setting="entropy")):
        assert code_of(one.check, by_hand(21)) == "MODEL-LAYER"
        one.check(by_hand(20))


def test_without_a_name_a_method_is_taken_that_the_classifier_allows():
    plan, notes = default_plan(by_hand(21), {})
    assert plan == {"name": "nearest"}
    assert "400 cells" in notes[0]
    assert code_of(default_plan, by_hand(21), {"max_edits": 3}) == "MODEL-LAYER"
    plan, notes = default_plan(by_hand(6), {"max_edits": 3})
    assert plan == {"name": "goyal", "score_on": "picture", "distractor": "nearest", "max_edits": 3}
    assert notes == []


def test_of_large_images_not_every_edit_is_scored_by_default():
    net = nn.Sequential(nn.Conv2d(1, 3, 32, stride=32), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = Classifier(net, shape=(1, 224, 224))
    assert default_plan(classifier, {})[0]["shortlist"] == 20
    assert default_plan(classifier, {"shortlist": 3})[0]["shortlist"] == 3
    assert "shortlist" not in default_plan(classifier, {"score_on": "features"})[0]
