"""Every metric against a slow derivation in NumPy float64, and its value where nothing changed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rather import metrics
from rather.config.errors import RatherError
from rather.core import Classifier, Goal
from rather.metrics import (
    cardinality,
    confidence,
    cout,
    diversity,
    found,
    frechet_distance,
    frechet_of_features,
    hoyer,
    im1,
    im2,
    l1,
    l2,
    list_metrics,
    load_metrics,
    share_changed,
    split_frechet,
    transfer,
)
from rather.metrics.registry import THEMES


def test_no_change_is_no_distance():
    x = torch.rand(3, 1, 5, 5)
    for metric in (l1, l2, share_changed):
        assert metric(x, x).abs().sum() == 0
    assert (hoyer(x, x) == 1).all()


def test_validity_asks_for_class_and_confidence():
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.1]])
    goal = Goal.criticism(torch.tensor([1, 1, 1]), 0.8)
    assert goal.reached(logits).tolist() == [False, True, False]
    torch.testing.assert_close(confidence(logits, goal.target), logits.softmax(1)[:, 1])
    assert found(["failed", "found", "not_found"]).tolist() == [False, True, False]


def test_transfer_asks_for_the_class_alone():
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.1], [torch.nan, 1.0]])
    assert transfer(logits, torch.tensor([1, 1, 1])).tolist() == [False, True, False]


SHAPE = 1, 4, 4


def test_im1_is_below_one_where_the_target_autoencoder_repeats_the_picture_better():
    x, classes = torch.rand(2, *SHAPE), torch.tensor([0, 1])
    values = im1(x, classes, classes.flip(0), [lambda z: z, lambda z: z + 0.1])
    assert values[0] > 1
    assert values[1] == 0
    assert im2(torch.zeros_like(x), classes, [lambda z: z] * 2, lambda z: z).tolist() == [0, 0]


def seen_as(body):
    return Classifier(body, nn.Identity(), classes=("a", "b"), shape=SHAPE, mean=[0.3], std=[0.4])


def test_the_same_answer_again_is_no_diversity_and_one_answer_has_none():
    net = seen_as(nn.Conv2d(1, 3, 2, stride=2))
    same = torch.rand(2, 1, *SHAPE).expand(-1, 4, -1, -1, -1)
    assert diversity(same, net).tolist() == [0, 0]
    assert diversity(same[:, :1], net).isnan().all()


def test_cardinality_counts_no_failure_no_opposite_and_nothing_twice():
    more, other = torch.eye(3)[:2]
    changes = torch.stack([more, -2 * more, other, more + 0.1 * other, torch.zeros(3), torch.eye(3)[2]])
    successful = torch.tensor([True, True, True, True, True, False])
    assert cardinality(changes[None], successful[None]).tolist() == [2]
    assert cardinality(changes[None], ~successful[None]).tolist() == [1]
    assert cardinality(changes[None, :0], successful[None, :0]).tolist() == [0]


def gaussian(mean, deviations):
    """Pictures of 1 x 1 pixels with exactly this mean and exactly these deviations, uncorrelated."""
    d = len(mean)
    points = torch.cat([torch.eye(d), -torch.eye(d)]) * torch.tensor(deviations) * ((2 * d - 1) / 2) ** 0.5
    return (points + torch.tensor(mean))[:, :, None, None]


def plain(channels):
    return Classifier(nn.Identity(), nn.Flatten(), classes=tuple("abcd")[:channels], shape=(channels, 1, 1))


@pytest.mark.shapes
def test_frechet_distance_of_diagonal_gaussians_is_the_closed_form():
    mean, other = [0.1, 0.5, -0.3], [0.4, 0.5, 1.7]
    deviations, others = [1.0, 0.2, 0.0], [0.5, 0.7, 0.3]
    closed = sum((a - b) ** 2 for a, b in zip(mean + deviations, other + others, strict=True))
    found = frechet_distance(gaussian(mean, deviations), gaussian(other, others), plain(3))
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(closed, rel=1e-6)


def test_frechet_distance_pools_refuses_a_single_picture_and_says_nan_of_nan():
    torch.manual_seed(0)
    net = seen_as(nn.Conv2d(1, 3, 2, stride=2))
    x = torch.rand(9, *SHAPE)
    assert frechet_distance(x, x.flip(3), net) > 1e-6  # other cells
    cells = x.unfold(2, 2, 2).unfold(3, 2, 2).flip(2)  # the same cells, elsewhere
    moved = cells.permute(0, 1, 2, 4, 3, 5).reshape(x.shape)
    assert frechet_distance(x, moved, net).item() == pytest.approx(0, abs=1e-9)
    with pytest.raises(RatherError, match="two pictures"):
        frechet_distance(x, x[:1], net)
    x[0] = torch.nan
    assert frechet_distance(x, moved, net).isnan()


@pytest.mark.parametrize("rows", [(5, 9), (40, 30)])
def test_frechet_distance_is_its_formula_with_fewer_and_with_more_rows_than_features(rows):
    draw = np.random.default_rng(0)
    x, y = (draw.random((count, 12)) for count in rows)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ np.cov(y.T) @ root).clip(0)).sum()
    wanted = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(np.cov(x.T)) + np.trace(np.cov(y.T)) - 2 * shared
    found = frechet_of_features(torch.tensor(x), torch.tensor(y))
    assert found.item() == pytest.approx(wanted, abs=1e-6)


def halves_of(rows, repeats=200):
    draw = torch.Generator().manual_seed(0)
    return torch.stack([torch.randperm(rows, generator=draw) < rows // 2 for _ in range(repeats)], 1)


def test_split_frechet_is_fair_to_pictures_that_are_nearly_their_queries():
    x = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    assert frechet_of_features(x, x) < 1e-9
    assert split_frechet(x, x, halves_of(20, 10)) > 1e-3  # as far apart as two halves of real ones are
    with pytest.raises(RatherError, match="two pictures"):
        split_frechet(x[:3], x[:3], halves_of(3, 2))


class Shares(nn.Module):
    """Logits whose softmax is a weighted sum of the pixels, and what is left of 1."""

    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(weights.flatten())

    def forward(self, x):
        share = x.flatten(1) @ self.weights
        return torch.stack([1 - share, share], 1).log()


def sums(weights):
    return Classifier(nn.Identity(), Shares(weights), classes=("a", "b"), shape=tuple(weights.shape)).double()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_cout_of_a_sum_of_pixels_is_the_closed_form(seed, height, width):
    draw = torch.Generator().manual_seed(seed)
    n = height * width
    images, queries, weights = torch.rand(3, 1, height, width, generator=draw).double()
    weights = weights / weights.sum()
    change = (images - queries).flatten()
    place = (-change.abs()).argsort().argsort().double()
    share = (weights.flatten() * queries.flatten()).sum()
    share = share + (weights.flatten() * change * (n - place - 0.5) / n).sum()
    zero, one = torch.tensor([0]), torch.tensor([1])
    found = cout(images[None], queries[None], zero, one, sums(weights), steps=n)
    assert found.item() == pytest.approx(2 * share.item() - 1, abs=1e-9)


def test_cout_is_near_one_where_one_pixel_decides_and_near_minus_one_where_it_comes_last():
    weights = torch.zeros(1, 11, 11)
    weights[0, 5, 5] = 1
    images, queries = torch.full((2, 1, 11, 11), 0.5).double(), torch.zeros(2, 1, 11, 11).double()
    images[:, 0, 5, 5] = 1
    queries[1] = -0.6  # so that the pixel that decides is the one that changed least
    queries[1, 0, 5, 5] = 0
    zero, one = torch.zeros(2, dtype=torch.long), torch.ones(2, dtype=torch.long)
    found = cout(images, queries, zero, one, sums(weights), steps=121)
    np.testing.assert_allclose(found.numpy(), [1 - 1 / 121, 1 / 121 - 1], atol=1e-9)


def test_cout_weighs_a_last_step_of_fewer_pixels_and_knows_pictures_without_a_change():
    always = sums(torch.zeros(1, 11, 11))  # p(a) = 1; 121 pixels are 60 steps of 2, and one
    images, queries = torch.rand(2, 3, 1, 11, 11).double()
    zero, one = torch.zeros(3, dtype=torch.long), torch.ones(3, dtype=torch.long)
    np.testing.assert_allclose(cout(images, queries, one, zero, always).numpy(), 1, atol=1e-12)  # not 122 / 121
    mean = sums(torch.full((1, 11, 11), 1 / 121))
    same = cout(queries, queries, zero, one, mean)
    torch.testing.assert_close(same, 2 * queries.mean((1, 2, 3)) - 1)


def test_cout_of_a_row_is_that_of_the_row_alone_and_memory_is_bounded():
    seen = []
    body = nn.Identity()
    body.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    net = Classifier(body, Shares(torch.full((1, 8, 8), 1 / 64)), classes="ab", shape=(1, 8, 8)).double()
    images, queries = torch.rand(2, 9, 1, 8, 8).double()
    images[2] = torch.nan
    zero, one = torch.zeros(9, dtype=torch.long), torch.ones(9, dtype=torch.long)
    found = cout(images, queries, zero, one, net)
    assert sum(seen) == 9 * 65
    assert max(seen) <= 64
    alone = [cout(images[n, None], queries[n, None], zero[:1], one[:1], net)[0] for n in range(9)]
    torch.testing.assert_close(found, torch.stack(alone), equal_nan=True)
    assert found.isnan().nonzero()[:, 0].tolist() == [2]
    assert cout(images[:0], queries[:0], zero[:0], one[:0], net).shape == (0,)
    with pytest.raises(RatherError, match="steps 0"):
        cout(images, queries, zero, one, net, steps=0)


def test_cout_asks_about_no_picture_twice():
    seen = []
    body = nn.Identity()
    body.register_forward_hook(lambda _, given, __: seen.extend(given[0]))
    net = Classifier(body, Shares(torch.full((1, 8, 8), 1 / 64)), classes="ab", shape=(1, 8, 8)).double()
    queries = torch.rand(2, 1, 8, 8).double()
    images = queries.clone()
    images[0, 0, 3, 2:5] += 0.1  # three pixels, and none of the other
    zero, one = torch.zeros(2, dtype=torch.long), torch.ones(2, dtype=torch.long)
    cout(images, queries, zero, one, net)
    assert len(seen) == 4 + 1
    assert len({picture.numpy().tobytes() for picture in seen}) == len(seen)


@pytest.mark.parametrize("name", list_metrics())
def test_the_list_that_imports_nothing_is_the_registry(name):
    assert list_metrics()[name] == load_metrics()[name]
    assert getattr(metrics, name) is load_metrics()[name].function


@pytest.mark.parametrize("metric", list_metrics().values(), ids=lambda metric: metric.name)
def test_every_metric_says_what_it_is(metric):
    assert metric.what.endswith(".")
    assert metric.theme in THEMES
    assert all((metric.title, metric.unit, metric.source))
    assert not any(text.endswith(".") for text in (metric.title, metric.unit, metric.source))
    assert str(metric) == f"{metric.what[:-1]} ({metric.better} is better). [{metric.home}]"
