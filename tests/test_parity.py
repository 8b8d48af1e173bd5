"""Every metric against an independent reference, and the faults of public code as variants that fail.

References are SciPy's, or the formula of the paper in NumPy, slowly, on 200 random inputs in 64 bits. The metrics of
the theme `causes` have theirs in `test_causes`.
"""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from scipy import linalg, special, stats
from scipy.spatial import distance
from torch import nn

from rather.core import Classifier, Goal
from rather.metrics import (
    attributes_changed,
    cardinality,
    causal_flip,
    cell_agreement,
    confidence,
    correlation_difference,
    cout,
    diversity,
    frechet,
    frechet_distance,
    frechet_of_features,
    hoyer,
    identity,
    im1,
    im2,
    inside_object,
    kid,
    kid_of_features,
    l1,
    l2,
    list_metrics,
    near_key_point,
    noncausal_flip,
    robustness_filter,
    s3,
    same_key_point,
    sce,
    share_changed,
    similarity,
    split_frechet,
    survives,
    transfer,
    trivial_flip,
)

SHAPE = 2, 4, 5
INPUTS = 200


class Net(nn.Module):
    """Two layers of features, which a loop over pixels can compute as well."""

    def __init__(self) -> None:
        super().__init__()
        draw = np.random.default_rng(0)
        self.first, self.second = (torch.tensor(draw.normal(size=shape)) for shape in ((3, 2), (4, 3)))

    def layers(self, x):
        first = torch.einsum("dc,bchw->bdhw", self.first, x)
        return [first, torch.einsum("dc,bchw->bdhw", self.second, first.relu())]

    def forward(self, x):
        return self.layers(x)[-1]


class Logits(nn.Module):
    """Of the pooled features."""

    def forward(self, maps):
        return 3 * maps.mean((2, 3))[:, :3]


NET = Net()
CLASSIFIER = Classifier(NET, Logits(), classes="abc", shape=SHAPE).double()


def slow_layers(image):
    """Of one picture, cell by cell."""
    first = np.zeros((3, *image.shape[1:]))
    second = np.zeros((4, *image.shape[1:]))
    for cell in np.ndindex(image.shape[1:]):
        seen = NET.first.numpy() @ image[(slice(None), *cell)]
        first[(slice(None), *cell)] = seen
        second[(slice(None), *cell)] = NET.second.numpy() @ np.maximum(seen, 0)
    return first, second


def slow_features(images):
    return np.stack([slow_layers(image)[1].mean((1, 2)) for image in images])


def slow_probabilities(images):
    return special.softmax(3 * slow_features(images)[:, :3], axis=1)


def tensors(*arrays):
    return [torch.tensor(array) for array in arrays]


# ---------------------------------------------------------------- references


def slow_frechet(x, y):
    s, t = np.cov(x.T), np.cov(y.T)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s + t - 2 * linalg.sqrtm(s @ t).real)


def slow_kid(x, y):
    def kernel(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    within = [np.mean([kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]) for z in (x, y)]
    return sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def slow_curves(image, query, steps):
    """p after 0, 1, ... steps, and after how many pixels."""
    pixels = image[0].size
    stride = max(1, pixels // steps)
    change = np.abs(image - query).sum(0)
    order = sorted(np.ndindex(change.shape), key=lambda at: -change[at])
    mixed, stages, counts = query.copy(), [query.copy()], [0]
    for n, (i, j) in enumerate(order, 1):
        mixed[:, i, j] = image[:, i, j]
        if n % stride == 0 or n == pixels:
            stages.append(mixed.copy())
            counts.append(n)
    return slow_probabilities(np.stack(stages)), np.array(counts), stride


def slow_diversity(row, layers):
    far = []
    for a, b in combinations([slow_layers(answer) for answer in row], 2):
        total = 0
        for layer in layers:
            cells = [
                ((u / np.linalg.norm(u) - v / np.linalg.norm(v)) ** 2).sum()
                for u, v in zip(
                    a[layer].reshape(len(a[layer]), -1).T, b[layer].reshape(len(b[layer]), -1).T, strict=True
                )
            ]
            total += np.mean(cells)
        far.append(total)
    return np.mean(far)


def slow_correlation(a, b):
    return 0 if np.ptp(a) == 0 or np.ptp(b) == 0 else stats.pearsonr(a, b).statistic


# ------------------------------------------------ random inputs: what is found, and what is right


def pair_of_pictures(draw, rows=3):
    x, y = draw.integers(0, 256, (2, rows, *SHAPE)) / 255
    return x, np.where(draw.random(x.shape) < 0.7, x, y)


def by_row(metric, slow):
    def case(draw):
        after, before = pair_of_pictures(draw)
        return metric(*tensors(after, before)), [slow(a, b) for a, b in zip(after, before, strict=True)]

    return case


def of_logits(metric, slow):
    def case(draw):
        logits, target, wanted = draw.normal(size=(5, 3)), draw.integers(0, 3, 5), draw.random(5)
        p = special.softmax(logits, axis=1)
        return metric(*tensors(logits, target, wanted)), [slow(*row) for row in zip(p, target, wanted, strict=True)]

    return case


def of_vectors(metric, slow):
    def case(draw):
        a, b = draw.normal(size=(2, 6, 3))
        return metric(*tensors(a, b)), [slow(*row) for row in zip(a, b, strict=True)]

    return case


def of_sets(metric, slow, *, pictures):
    def case(draw):
        if pictures:
            x, y = draw.random((9, *SHAPE)), draw.random((8, *SHAPE))
            return metric(*tensors(x, y), CLASSIFIER), slow(slow_features(x), slow_features(y))
        x, y = draw.normal(size=(12, 4)), draw.normal(size=(9, 4)) + 0.5
        return metric(*tensors(x, y)), slow(x, y)

    return case


def of_pairs(metric, slow):
    """Of counterfactuals and their own queries."""

    def case(draw):
        after, before = draw.normal(size=(2, 12, 4))
        return metric(*tensors(after, before)), slow(after, before)

    return case


def slow_paired_kid(x, y):
    def mean(a, b):
        return np.mean([((p @ q) / len(p) + 1) ** 3 for i, p in enumerate(a) for j, q in enumerate(b) if i != j])

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def split_features(draw):
    after, before = draw.normal(size=(2, 13, 3))
    halves = np.stack([draw.permutation(13) < 6 for _ in range(2)])
    slow = [(slow_frechet(before[a], after[~a]) + slow_frechet(before[~a], after[a])) / 2 for a in halves]
    return split_frechet(*tensors(after, before, halves.T)), np.mean(slow)


def of_cout(metric, area):
    def case(draw):
        (image, query), steps = draw.random((2, *SHAPE)), int(draw.integers(1, 25))
        p, counts, stride = slow_curves(image, query, steps)
        classes = tensors(np.array([0]), np.array([2]))
        found = metric(*tensors(image[None], query[None]), *classes, CLASSIFIER, steps=steps)
        return found, [area(p[:, 2], counts, stride) - area(p[:, 0], counts, stride)]

    return case


def trapezoids(p, counts, _stride):
    shares = counts / counts[-1]
    return sum((b - a) * (p[n] + p[n + 1]) / 2 for n, (a, b) in enumerate(pairwise(shares)))


def of_diversity(draw):
    answers = draw.random((2, 3, *SHAPE))
    return diversity(torch.tensor(answers), CLASSIFIER), [slow_diversity(row, [1]) for row in answers]


def autoencoders(draw):
    factors, whole = draw.uniform(0.2, 1.8, 3), draw.uniform(0.2, 1.8)
    x, classes = draw.random((4, *SHAPE)), draw.integers(0, 3, (2, 4))
    return x, classes, factors, whole


def of_im1(draw):
    x, (predicted, target), factors, _ = autoencoders(draw)
    nets = [lambda z, f=f: f * z for f in factors]
    slow = [
        ((r - factors[t] * r) ** 2).sum() / (((r - factors[p] * r) ** 2).sum() + 1e-7)
        for r, p, t in zip(x, predicted, target, strict=True)
    ]
    return im1(*tensors(x, predicted, target), nets), slow


def of_im2(draw):
    x, (_, target), factors, whole = autoencoders(draw)
    nets = [lambda z, f=f: f * z for f in factors]
    slow = [
        ((factors[t] * r - whole * r) ** 2).sum() / (np.abs(r).sum() + 1e-7) for r, t in zip(x, target, strict=True)
    ]
    return im2(*tensors(x, target), nets, lambda z: whole * z), slow


def of_attributes(draw):
    before, after = draw.random((2, 5, 4))
    slow = [sum((a > 0.5) != (b > 0.5) for a, b in zip(*row, strict=True)) for row in zip(before, after, strict=True)]
    return attributes_changed(*tensors(before, after)), slow


def of_correlation(draw):
    (before, after), labels = draw.random((2, 12, 4)), draw.random((30, 4)) < 0.5
    change = (after > 0.5).astype(float) - (before > 0.5)
    pairs = [
        (slow_correlation(change[:, a], change[:, 1]), slow_correlation(labels[:, a] * 1.0, labels[:, 1] * 1.0))
        for a in range(4)
    ]
    return correlation_difference(*tensors(before, after), 1, torch.tensor(labels)), sum(abs(r - s) for r, s in pairs)


def of_s3(draw):
    after, before = draw.random((2, 4, *SHAPE))
    slow = [1 - distance.cosine(a, b) for a, b in zip(slow_features(after), slow_features(before), strict=True)]
    return s3(*tensors(after, before), lambda x: NET(x).mean((2, 3))), slow


def of_flips(metric, slow):
    def case(draw):
        columns = draw.integers(0, 3, (4, 9))
        return metric(*tensors(*columns)), [slow(*row) for row in columns.T]

    return case


def of_survival(metric):
    def case(draw):
        images, target = draw.random((4, *SHAPE)), draw.integers(0, 3, 4)
        slow = slow_probabilities(images[..., ::-1] ** 2).argmax(1) == target
        goal = Goal.criticism(torch.tensor(target))
        return metric(torch.tensor(images), goal, CLASSIFIER, lambda x: x.flip(3) ** 2), slow

    return case


def of_cells(metric, slow):
    """The mean over edits of what is measured of each."""

    def case(draw):
        query, other = draw.random((2, 3, 4, 6)) < 0.3
        edits = [draw.integers(0, 6, (draw.integers(1, 4), 2)).tolist() for _ in range(3)]
        query[:, 0, 0] = other[:, 0, 0] = True  # each picture shows one
        if metric is inside_object:
            query, other = query[:, 0], other[:, 0]
        expected = [np.mean([slow(query[row], other[row], i, j) for i, j in pairs]) for row, pairs in enumerate(edits)]
        return metric(edits, tensors(query, other)), expected

    return case


def of_sets_of_changes(draw):
    changes, successful = draw.normal(size=(3, 7, 4)), draw.random((3, 7)) < 0.8
    changes[:, 1], changes[:, 2] = -2 * changes[:, 0], 0
    threshold = draw.uniform(0.1, 0.9)

    def apart(a, b):
        return abs(a @ b) < threshold * np.linalg.norm(a) * np.linalg.norm(b)

    expected = [
        max(
            size
            for size in range(8)
            for some in combinations([c for c, s in zip(row, counts, strict=True) if s and c.any()], size)
            if all(apart(a, b) for a, b in combinations(some, 2))
        )
        for row, counts in zip(changes, successful, strict=True)
    ]
    return cardinality(*tensors(changes, successful), threshold), expected


def of_agreement(draw):
    cells = draw.integers(0, 3, (4, 5))
    edits = [[[(cell, 0)] for cell in row] for row in cells]
    return cell_agreement(edits), [np.mean([a == b for a, b in combinations(row, 2)]) for row in cells]


def agree(before, after, was, is_):
    return before == was and after == is_


CASES = {
    "l1": by_row(l1, lambda a, b: np.abs(a - b).mean()),
    "l2": by_row(l2, lambda a, b: distance.euclidean(a.ravel(), b.ravel())),
    "share_changed": by_row(share_changed, lambda a, b: (a != b).any(0).mean()),
    "hoyer": by_row(
        hoyer,
        lambda a, b: (
            (np.sqrt(a.size) - distance.cityblock(a.ravel(), b.ravel()) / distance.euclidean(a.ravel(), b.ravel()))
            / (np.sqrt(a.size) - 1)
        ),
    ),
    "confidence": of_logits(lambda z, t, _: confidence(z, t), lambda p, t, _: p[t]),
    "transfer": of_logits(lambda z, t, _: transfer(z, t), lambda p, t, _: p.argmax() == t),
    "similarity": of_vectors(similarity, lambda a, b: 1 - distance.cosine(a, b)),
    "identity": of_vectors(identity, lambda a, b: 1 - distance.cosine(a, b) > 0.5),
    "s3": of_s3,
    "frechet_distance": of_sets(frechet_distance, slow_frechet, pictures=True),
    "frechet_of_features": of_sets(frechet_of_features, slow_frechet, pictures=False),
    "frechet": of_pairs(frechet, slow_frechet),
    "split_frechet": split_features,
    "kid": of_pairs(kid, slow_paired_kid),
    "kid_of_features": of_sets(kid_of_features, slow_kid, pictures=False),
    "cout": of_cout(cout, trapezoids),
    "diversity": of_diversity,
    "cardinality": of_sets_of_changes,
    "im1": of_im1,
    "im2": of_im2,
    "attributes_changed": of_attributes,
    "correlation_difference": of_correlation,
    "noncausal_flip": of_flips(noncausal_flip, lambda f, g, o, p: f != g and o == p),
    "causal_flip": of_flips(causal_flip, lambda f, g, o, p: f == g and o != p),
    "trivial_flip": of_flips(trivial_flip, lambda f, g, o, p: f != g and agree(f, g, o, p)),
    "sce": of_flips(sce, lambda f, g, o, p: (f != g or o != p) and not agree(f, g, o, p)),
    "survives": of_survival(survives),
    "robustness_filter": of_survival(robustness_filter),
    "near_key_point": of_cells(near_key_point, lambda q, d, i, j: (any(q[:, i]) + any(d[:, j])) / 2),
    "same_key_point": of_cells(
        same_key_point, lambda q, d, i, j: any(a and b for a, b in zip(q[:, i], d[:, j], strict=True))
    ),
    "inside_object": of_cells(inside_object, lambda q, d, i, j: (int(q[i]) + int(d[j])) / 2),
    "cell_agreement": of_agreement,
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_its_reference_in_64_bits(name):
    furthest = 0.0
    for seed in range(INPUTS):
        found, slow = CASES[name](np.random.default_rng(seed))
        assert found.dtype in {torch.float64, torch.bool}
        furthest = max(furthest, np.abs(found.double().numpy() - np.asarray(slow, float)).max())
    assert furthest <= 1e-6


def test_every_metric_has_a_reference():
    stored = {"found", "edits", "evaluations", "denoiser_calls", "seconds", "memory"}  # by the run
    elsewhere = {name for name, metric in list_metrics().items() if metric.theme == "causes"} | {"robustness_jpeg"}
    assert list_metrics().keys() - stored - elsewhere <= CASES.keys()


# ---------------------------------------------------------------- the faults of public code


def pictures(seed, rows=6):
    draw = np.random.default_rng(seed)
    return tensors(*draw.random((2, rows, *SHAPE)))


def test_fault_cosine_distance_counts_the_failures_as_the_same_person():
    same, stranger = torch.tensor([[1.0, 0.1]]), torch.tensor([[-1.0, 0.2]])
    query = torch.tensor([[1.0, 0.0]])
    faulty = [distance.cosine(a[0], query[0]) > 0.5 for a in (same, stranger)]
    assert [identity(a, query).item() for a in (same, stranger)] == [True, False]
    assert faulty == [False, True]


def test_fault_a_softmax_over_the_batch():
    logits, target = torch.tensor([[2.0, 0.0], [9.0, 1.0]]), torch.tensor([0, 0])
    faulty = logits.softmax(0)[:, 0]
    right = special.softmax(logits.numpy(), axis=1)[:, 0]
    np.testing.assert_allclose(confidence(logits, target).numpy(), right, atol=1e-6)
    assert np.abs(faulty.numpy() - right).max() > 0.5


def test_fault_a_frechet_distance_to_the_own_queries_praises_what_changes_nothing():
    draw = np.random.default_rng(0)
    features = torch.tensor(draw.normal(size=(200, 3)))
    strangers = torch.tensor(draw.normal(size=(200, 3)))
    halves = torch.tensor(np.stack([draw.permutation(200) < 100 for _ in range(10)]))
    assert frechet_of_features(features, features).item() == pytest.approx(0, abs=1e-9)
    unchanged = split_frechet(features, features, halves.T)
    fresh = frechet_of_features(features[:100], strangers[:100])
    assert 0.2 < unchanged / fresh < 5  # as far as other real pictures are, and not 0
    # One split without a seed is as good as any number of the spread.
    one = torch.stack([split_frechet(features, features, half[:, None]) for half in halves])
    assert one.max() > 1.3 * one.min()


def test_fault_a_frechet_distance_falls_with_the_number_of_rows_and_an_unbiased_one_does_not():
    draw = np.random.default_rng(0)

    def mean(distance_, rows):
        sets = draw.normal(size=(60, 2, rows, 8))
        return np.array([distance_(*tensors(*pair)).item() for pair in sets])

    few, many = mean(frechet_of_features, 12), mean(frechet_of_features, 60)
    assert few.mean() > 3 * many.mean()
    few, many = mean(kid_of_features, 12), mean(kid_of_features, 60)
    for found in (few, many):  # of one kind: 0, within what chance allows
        assert abs(found.mean()) < 4 * found.std() / 60**0.5
    assert (few < 0).any()

    def biased(x, y):
        k = lambda a, b: ((a @ b.T / 8 + 1) ** 3).mean()  # noqa: E731
        return k(x, x) + k(y, y) - 2 * k(x, y)

    few, many = mean(biased, 12), mean(biased, 60)
    assert few.min() > 0
    assert few.mean() > 3 * many.mean()
    assert few.mean() > 4 * few.std() / 60**0.5  # of one kind, and not 0


def test_fault_negative_estimates_cut_off_at_zero():
    draw = np.random.default_rng(0)
    found = np.array([kid_of_features(*tensors(*draw.normal(size=(2, 10, 4)))).item() for _ in range(300)])
    error = found.std() / 300**0.5
    assert abs(found.mean()) < 4 * error
    assert found.clip(min=0).mean() > 4 * error


def test_fault_a_root_of_a_singular_matrix():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(5, 40))  # of rank 4
    right = frechet_of_features(*tensors(x, x + 1))
    assert right.item() == pytest.approx(40, abs=1e-9)  # another mean, the same covariance
    s = np.cov(x.T)
    values, vectors = np.linalg.eig(s @ s)
    faulty = 40 + 2 * np.trace(s) - 2 * np.trace((vectors * np.sqrt(values)) @ np.linalg.inv(vectors))
    padded = 40 + 2 * np.trace(s) - 2 * np.trace(linalg.sqrtm((s + 1e-6 * np.eye(40)) @ (s + 1e-6 * np.eye(40))).real)
    assert not abs(faulty - 40) <= 1e-9  # NaN, or off
    assert abs(padded - 40) > 1e-6  # what public code adds to the diagonal


def test_fault_pictures_normalised_twice_on_their_way_to_the_oracle():
    x = torch.tensor([0.2, 0.4, 0.55, 0.7]).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    after = x + 0.15

    def oracle(pictures_):  # normalises itself
        return torch.sigmoid(20 * (2 * pictures_ - 1)).mean((2, 3))

    right = attributes_changed(oracle(x), oracle(after))
    faulty = attributes_changed(oracle(2 * x - 1), oracle(2 * after - 1))
    assert right.tolist() == [0, 1, 0, 0]
    assert faulty.tolist() == [0, 0, 0, 1]


def test_fault_a_correlation_of_what_never_varies_is_no_number():
    before, after = torch.zeros(4, 3), torch.zeros(4, 3)
    before[0, 0] = after[1, 0] = after[2, 1] = 1  # the third attribute never changes
    labels = torch.tensor([[1.0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]])
    with np.errstate(invalid="ignore"):
        faulty = np.corrcoef((after - before).numpy().T)[0]
    assert np.isnan(faulty).any()
    change = (after - before).numpy()
    slow = sum(
        abs(slow_correlation(change[:, a], change[:, 0]) - slow_correlation(labels[:, a].numpy(), labels[:, 0].numpy()))
        for a in range(3)
    )
    assert correlation_difference(before, after, 0, labels).item() == pytest.approx(slow)


def test_fault_a_target_that_depends_on_whether_the_query_was_right():
    logits = torch.tensor([[0.0, 2.0], [0.0, 2.0], [2.0, 0.0]])
    asked, truth = torch.tensor([1, 1, 0]), torch.tensor([0, 0, 1])  # the last query was misclassified as 1
    flips = Goal.criticism(asked).reached(logits).double().mean()
    assert flips == 1
    stray = torch.where(torch.tensor([False, False, True]), truth, asked)
    assert Goal.criticism(stray).reached(logits).double().mean() < flips


def test_fault_means_over_the_batch_make_rows_depend_on_each_other():
    images, queries = pictures(0)
    for metric in (l1, l2, hoyer, share_changed):
        alone = torch.cat([metric(images[[n]], queries[[n]]) for n in range(6)])
        torch.testing.assert_close(metric(images, queries), alone)
    faulty = (images - queries).norm()
    assert faulty > 2 * l2(images, queries).max()


def test_fault_channels_counted_as_pixels():
    x, y = torch.zeros(2, 1, 3, 4, 4).double()
    y[0, 0, 0, 0] = 1
    assert share_changed(y, x).item() == 1 / 16
    assert (y != x).double().mean() == 1 / 48
    assert share_changed(x + 1e-4, x).item() == 0  # no step of 8 bits


def test_fault_hoyer_of_no_change_is_no_number():
    x = torch.rand(1, 3, 4, 4).double()
    change = (x - x).flatten()
    assert (change.abs().sum() / change.norm()).isnan()
    assert hoyer(x, x).item() == 1
