"""What a flip is worth: whether the truth followed, whether it survives, whether the classifier mattered."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from rather.config.errors import RatherError
from rather.core import Classifier, Goal
from rather.hub.classifiers import load_classifier
from rather.metrics._handling import as_jpeg, as_png
from rather.metrics._shuffled import shuffled
from rather.metrics.oracle import causal_flip, noncausal_flip, telling, trivial_flip
from rather.metrics.sanity import change_correlation
from rather.metrics.survival import survives


@pytest.mark.shapes
def test_flips_are_told_apart_over_all_answers_and_truths_of_three_classes():
    every = torch.tensor(list(product(range(3), repeat=4))).unbind(1)
    found = [metric(*every).tolist() for metric in (noncausal_flip, causal_flip, trivial_flip, telling)]
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
    said, after = torch.tensor([0, 0, 0]), torch.tensor([1, 1, 1])
    truth, became = torch.tensor([0, 0, 0]), torch.tensor([1, 1, 0])
    assert (said != after).float().mean() == 1
    assert telling(said, after, truth, became).tolist() == [False, False, True]
    assert trivial_flip(said, after, truth, became).tolist() == [True, True, False]


def bright():
    """Whether one pixel is brighter than its neighbour: no change that survives a blur."""
    net = nn.Linear(64, 2)
    with torch.no_grad():
        net.weight.zero_()
        net.weight[1, 27], net.weight[1, 28] = 50.0, -50.0
        net.bias[:] = torch.tensor([0.0, -5.0])
    return Classifier(nn.Identity(), nn.Sequential(nn.Flatten(), net), classes=("a", "b"), shape=(1, 8, 8))


@pytest.mark.shapes
def test_a_flip_survives_saving_and_not_a_blur():
    images, classifier = torch.full((3, 1, 8, 8), 0.5), bright()
    images[1, 0, 3, 3] = 0.75  # one pixel alone
    images[2, 0] = torch.tensor([0.9] * 4 + [0.1] * 4)  # an edge
    goal = Goal.criticism(torch.ones(3, dtype=torch.long))
    assert goal.reached(classifier(images)).tolist() == [False, True, True]
    assert survives(images, goal, classifier, as_png).tolist() == [False, True, True]
    blur = lambda x: nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)  # noqa: E731
    assert survives(images, goal, classifier, blur).tolist() == [False, False, True]
    assert survives(images[:0], goal[torch.zeros(3, dtype=torch.bool)], classifier, as_png).shape == (0,)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_that_were_saved_are_rounded_or_a_little_other(channels):
    x = torch.rand(4, channels, 16, 24, generator=torch.Generator().manual_seed(0))
    assert torch.equal(as_png(x), (x * 255).round() / 255)
    assert as_png(x.double()).dtype == torch.float64
    far = [(as_jpeg(x, quality) - x).abs().mean().item() for quality in (10, 50, 95)]
    assert far == sorted(far, reverse=True)
    assert far[-1] > 0.5 / 255 / 2  # more than the rounding
    smooth = torch.linspace(0, 1, 24).expand(2, channels, 16, 24)
    assert (as_jpeg(smooth, 95) - smooth).abs().max() < 0.03
    assert as_jpeg(x[:0]).shape == (0, channels, 16, 24)
    for quality in (0, 101):
        with pytest.raises(RatherError, match="quality"):
            as_jpeg(x, quality)


@pytest.mark.shapes
def test_changes_are_compared_and_not_pictures():
    draw = torch.Generator().manual_seed(0)
    queries, one, other = torch.rand(3, 20, 3, 4, 4, generator=draw).double()
    a, b = queries + 0.01 * one, queries + 0.01 * other
    found = change_correlation(a, b, queries)
    slow = [np.corrcoef(x.flatten(), y.flatten())[0, 1] for x, y in zip(one.numpy(), other.numpy(), strict=True)]
    np.testing.assert_allclose(found.numpy(), np.abs(slow), atol=1e-9)
    pictures = [np.corrcoef(x.flatten(), y.flatten())[0, 1] for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert np.mean(pictures) > 0.99 > np.abs(slow).max()
    torch.testing.assert_close(change_correlation(a, queries + 3 * (a - queries), queries), torch.ones(20).double())
    torch.testing.assert_close(change_correlation(a, 2 * queries - a, queries), torch.ones(20).double())
    assert change_correlation(queries, a, queries).isnan().all()


def test_a_shuffled_classifier_has_the_same_numbers_in_other_places():
    classifier = load_classifier("digits")
    before = classifier.fingerprint()
    copy = shuffled(classifier, 3)
    assert classifier.fingerprint() == before
    assert copy.fingerprint() == shuffled(classifier, 3).fingerprint() != shuffled(classifier, 4).fingerprint()
    for mine, theirs in zip(classifier.parameters(), copy.parameters(), strict=True):
        assert torch.equal(mine.flatten().sort().values, theirs.flatten().sort().values)
        assert mine.numel() < 3 or not torch.equal(mine, theirs)
        assert not theirs.requires_grad
    assert (copy.classes, copy.shape, copy.training) == (classifier.classes, classifier.shape, False)
    assert copy.name == "digits, shuffled"
