"""What a flip is worth: whether the truth followed, and whether it survives."""

from itertools import product

import pytest
import torch
from torch import nn

from rather.config.errors import RatherError
from rather.core import Classifier, Goal
from rather.metrics import (
    as_jpeg,
    causal_flip,
    noncausal_flip,
    robustness_filter,
    robustness_jpeg,
    sce,
    survives,
    trivial_flip,
)


@pytest.mark.shapes
def test_flips_are_told_apart_over_all_answers_and_truths_of_three_classes():
    every = torch.tensor(list(product(range(3), repeat=4))).unbind(1)
    found = [metric(*every).tolist() for metric in (noncausal_flip, causal_flip, trivial_flip, sce)]
    for before, after, was, is_, noncausal, causal, trivial, tells in zip(
        *(column.tolist() for column in every), *found, strict=True
    ):
        agree = before == was and after == is_
        flipped, misses = before != after, before == after and was != is_
        assert tells == ((flipped or misses) and not agree)
        assert causal == misses
        assert noncausal == (flipped and was == is_)
        assert trivial == (flipped and agree)
        assert noncausal + causal + trivial <= 1
        assert tells >= (noncausal or causal)


def test_the_flip_rate_counts_what_teaches_nothing():
    before, after = torch.tensor([0, 0, 0]), torch.tensor([1, 1, 1])
    truth, became = torch.tensor([0, 0, 0]), torch.tensor([1, 1, 0])
    assert (before != after).float().mean() == 1
    assert sce(before, after, truth, became).tolist() == [False, False, True]
    assert trivial_flip(before, after, truth, became).tolist() == [True, True, False]


def bright():
    """Whether one pixel is brighter than its neighbour: no change that survives a blur."""
    net = nn.Linear(64, 2)
    with torch.no_grad():
        net.weight.zero_()
        net.weight[1, 27], net.weight[1, 28] = 50.0, -50.0
        net.bias[:] = torch.tensor([0.0, -5.0])
    return Classifier(nn.Identity(), nn.Sequential(nn.Flatten(), net), classes=("a", "b"), shape=(1, 8, 8))


@pytest.mark.shapes
def test_a_flip_of_one_pixel_survives_neither_a_jpeg_nor_a_blur():
    images, classifier = torch.full((3, 1, 8, 8), 0.5), bright()
    images[1, 0, 3, 3] = 0.75  # one pixel alone
    images[2, 0] = torch.tensor([0.9] * 4 + [0.1] * 4)  # an edge
    goal = Goal.criticism(torch.ones(3, dtype=torch.long))
    assert goal.reached(classifier(images)).tolist() == [False, True, True]
    assert survives(images, goal, classifier, lambda x: x).tolist() == [False, True, True]
    assert robustness_jpeg(images, goal, classifier).tolist() == [False, False, True]
    blur = lambda x: nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)  # noqa: E731
    assert survives(images, goal, classifier, blur).tolist() == [False, False, True]
    assert robustness_filter(images, goal, classifier, blur).tolist() == [False, False, True]
    assert robustness_jpeg(images[:0], goal[torch.zeros(3, dtype=torch.bool)], classifier).shape == (0,)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_is_nearer_with_more_quality(channels):
    x = torch.rand(4, channels, 16, 24, generator=torch.Generator().manual_seed(0))
    assert as_jpeg(x.double()).dtype == torch.float64
    far = [(as_jpeg(x, quality) - x).abs().mean().item() for quality in (10, 50, 95)]
    assert far == sorted(far, reverse=True)
    assert far[-1] > 0.5 / 255 / 2  # more than the rounding
    smooth = torch.linspace(0, 1, 24).expand(2, channels, 16, 24)
    assert (as_jpeg(smooth, 95) - smooth).abs().max() < 0.03
    assert as_jpeg(x[:0]).shape == (0, channels, 16, 24)
    for quality in (0, 101):
        with pytest.raises(RatherError, match="quality"):
            as_jpeg(x, quality)
