"""Highlights and composites against nets whose fields are known."""

from functools import partial

import torch
from torch import nn

from rather.core import Classifier, Goal
from rather.feature_cells.cell_editor import CellEditor
from rather.feature_cells.composite import PictureEdits, attention, composite, highlights
from rather.feature_cells.sequential import sequential_search


def patches(size: int = 4) -> Classifier:
    body = nn.Conv2d(1, 3, size, stride=size)
    head = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    return Classifier(body, head, classes="ab", shape=(1, 8, 8))


def test_a_cell_is_highlighted_within_its_receptive_field_and_nowhere_else():
    torch.manual_seed(0)
    light = highlights(patches(), torch.zeros(1, 1, 8, 8))
    assert light.shape == (4, 8, 8)
    assert (light[1, :4, 4:] > 0).all()
    assert light[1].sum() == light[1, :4, 4:].sum()
    assert torch.equal(light.flatten(1).amax(1), torch.ones(4))


def test_an_edit_of_full_intensity_copies_the_aligned_region():
    x, distractor = torch.zeros(1, 4, 4), torch.arange(16.0).view(1, 4, 4) / 16
    light = torch.zeros(4, 4, 4)
    light[0, :2, :2] = 1
    made = composite(x, distractor, [(0, 3)], light, (2, 2))
    assert torch.equal(made[0, :2, :2], distractor[0, 2:, 2:])
    assert made[0, 2:].sum() == made[0, :, 2:].sum() == 0


def test_no_edit_is_the_query_and_later_edits_lie_above():
    x, distractor = torch.rand(3, 4, 4), torch.rand(3, 4, 4)
    light = torch.ones(4, 4, 4)
    assert torch.equal(composite(x, distractor, [], light, (2, 2)), x)
    assert torch.equal(composite(x, distractor, [(1, 0), (2, 2)], light, (2, 2)), distractor)


def test_attention_is_the_union_of_the_highlights():
    light = torch.rand(4, 3, 3)
    assert torch.equal(attention([0, 2], light)[0], torch.maximum(light[0], light[2]))
    assert attention([], light).sum() == 0


def test_edits_are_scored_by_the_picture_that_they_make():
    torch.manual_seed(0)
    net, x, other = patches(), torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    light = highlights(net, x)
    target, open_edits = torch.tensor([0, 1]), torch.rand(2, 4, 4) < 0.7
    scores = PictureEdits(net, light, (2, 2), x, other).scores(target, open_edits)
    for row, i, j in open_edits.nonzero().tolist():
        picture = composite(x[row], other[row], [(i, j)], light, (2, 2))
        saved = (picture * 255).round() / 255
        slow = net(saved[None]).log_softmax(1)[0, target[row]]
        torch.testing.assert_close(scores[row, i, j], slow)
    assert scores[~open_edits].isneginf().all()


def test_a_search_by_pictures_ends_when_the_picture_is_at_its_goal():
    torch.manual_seed(3)
    net, x, other = patches(), torch.rand(40, 1, 8, 8), torch.rand(40, 1, 8, 8)
    said, theirs = net(x).argmax(1), net(other).argmax(1)
    rows = said != theirs
    x, other, goal = x[rows], other[rows], Goal.criticism(theirs[rows])
    assert len(x) > 5
    light = highlights(net, x)
    how = CellEditor(partial(PictureEdits, net, light, (2, 2)), at_once=8)
    trail = sequential_search(how, x, other, goal, cells=4)
    for row, count in enumerate(trail.count.tolist()):
        path = [x[row]]
        for edit in trail.edits[row, :count].tolist():
            path.append(composite(path[-1], other[row], [edit], light, (2, 2)))
        reached = [int(net(((p * 255).round() / 255)[None]).argmax()) == int(goal.target[row]) for p in path]
        assert reached == [False] * count + [bool(trail.flipped[row])]
