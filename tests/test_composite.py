"""Highlights and composites against nets whose fields are known."""

import torch
from torch import nn

from rather.composite import attention, composite, highlights
from rather.core import Classifier


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
