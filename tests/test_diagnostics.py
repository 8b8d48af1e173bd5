"""Diagnostics: closed forms of linear nets, identities of entropies, and what a row is told of them."""

import math
from functools import partial
from typing import Any, final

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from analytic import pictures, two_classes
from rather.core import Classifier, Counterfactuals, Method, SearchResult, ensemble
from rather.generators.autoencoder import Autoencoder
from rather.latents.classifiers import LatentClassifiers, LatentHeads
from rather.latents.curves import diagnose, latent_space
from rather.latents.diagnostics import (
    along,
    decoded_logits,
    encoded,
    lattice,
    line,
    plane,
    target_probabilities,
    uncertainty,
)
from rather.methods.several import Several
from rather.methods.wachter import Wachter
from rather.search.losses import member_logits

pytestmark = pytest.mark.shapes

SHAPE = (1, 6, 6)
T = torch.linspace(0, 1, 11)
logits = arrays(np.float32, st.tuples(*[st.integers(1, 4)] * 3), elements=st.floats(-30, 30, width=32))


def half_bright(seed: int = 0) -> Classifier:
    weight = np.random.default_rng(seed).normal(size=36).tolist()
    return two_classes(weight, 0.2, SHAPE)


def several(count: int = 3) -> Classifier:
    return ensemble([half_bright(seed) for seed in range(count)])


def pca(size: int) -> Autoencoder:
    """Projection onto orthonormal directions; with as many as there are pixels, nothing is lost."""
    directions, _ = torch.linalg.qr(torch.randn(36, size, generator=torch.Generator().manual_seed(0)))
    encoder, decoder = nn.Linear(36, size, bias=False), nn.Linear(size, 36)
    with torch.no_grad():
        encoder.weight.copy_(directions.T)
        decoder.weight.copy_(directions)
        decoder.bias.copy_(0.5 - directions @ directions.T @ torch.full((36,), 0.5))  # keeps mean grey
    return Autoencoder(
        nn.Sequential(nn.Flatten(), encoder), nn.Sequential(decoder, nn.Unflatten(1, SHAPE)), shape=SHAPE, size=size
    )


def of_latents(autoencoder: Autoencoder, classes: tuple[str, ...] = ("no", "yes")) -> LatentClassifiers:
    torch.manual_seed(0)
    return LatentClassifiers(autoencoder, LatentHeads(3, autoencoder.size, 4, len(classes)), classes)


def two() -> tuple[torch.Tensor, torch.Tensor]:
    x = pictures(8)
    return x[:4], x[4:]


# Lines


def test_a_line_has_its_ends_and_goes_straight() -> None:
    first, second = two()
    points = line(first, second, 5)
    assert torch.equal(points[:, 0], first)
    assert torch.equal(points[:, -1], second)
    torch.testing.assert_close(points[:, 1], 0.75 * first + 0.25 * second)


def test_a_linear_classifier_says_the_sigmoid_of_a_straight_line() -> None:
    net, (first, second) = half_bright(), two()
    p = along(partial(member_logits, net), first, second, torch.ones(4, dtype=torch.long))
    ends = [net(x)[:, 1] - net(x)[:, 0] for x in (first, second)]
    expected = torch.sigmoid(ends[0][:, None] * (1 - T) + ends[1][:, None] * T)
    torch.testing.assert_close(p.together, expected)
    torch.testing.assert_close(p.members[0], expected)
    of_no = along(partial(member_logits, net), first, second, torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(of_no.together, 1 - expected)


def test_an_ensemble_says_what_it_and_each_member_say_alone() -> None:
    net, (first, second) = several(), two()
    target = torch.tensor([0, 1, 0, 1])
    p = along(partial(member_logits, net), first, second, target, count=3, batch_size=2)
    assert p.members.shape == (3, 4, 3)
    for m, member in enumerate(net.members):
        torch.testing.assert_close(
            p.members[m], along(partial(member_logits, member), first, second, target, count=3).together
        )
    middle = net.probabilities((first + second) / 2)
    torch.testing.assert_close(p.together[:, 1], middle.gather(1, target[:, None])[:, 0])


def test_a_lossless_linear_autoencoder_makes_both_interpolations_the_same() -> None:
    net, (first, second), target = several(), two(), torch.tensor([0, 1, 0, 1])
    images = along(partial(member_logits, net), first, second, target)
    ends = [encoded(pca(36), x) for x in (first, second)]
    latents = along(decoded_logits(net, pca(36)), *ends, target)
    torch.testing.assert_close(latents.together, images.together, atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.members, images.members, atol=1e-4, rtol=0)


def test_latent_classifiers_are_asked_of_the_latents_themselves() -> None:
    latent, (first, second) = of_latents(pca(36)), two()
    net, target = latent.classifier(), torch.tensor([0, 1, 0, 1])
    p = along(latent.logits, *(encoded(latent.autoencoder, x) for x in (first, second)), target)
    # The encoder is linear, so that the classifier of images sees the same latents.
    torch.testing.assert_close(p.members, along(partial(member_logits, net), first, second, target).members)


# Uncertainty


@given(logits)
def test_the_total_is_the_sum_of_its_parts_and_no_part_is_negative(values: np.ndarray) -> None:
    parts = uncertainty(torch.from_numpy(values))
    p = torch.from_numpy(values).double().softmax(-1)
    of_the_mean = -(p.mean(0) * p.mean(0).clamp(min=1e-300).log()).sum(-1)
    torch.testing.assert_close(parts.total.double(), of_the_mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(parts.aleatoric + parts.epistemic, parts.total, atol=1e-6, rtol=0)
    assert (parts.aleatoric >= 0).all()
    assert (parts.epistemic >= 0).all()
    assert (parts.epistemic <= math.log(len(values)) + 1e-6).all()
    assert (parts.total <= math.log(values.shape[-1]) + 1e-6).all()


@given(logits, st.integers(1, 4))
def test_members_that_agree_leave_nothing_epistemic(values: np.ndarray, count: int) -> None:
    same = torch.from_numpy(values[:1]).expand(count, -1, -1)
    assert uncertainty(same).epistemic.abs().max() < 1e-7


def test_certain_members_that_disagree_are_epistemic_and_members_that_toss_a_coin_are_aleatoric() -> None:
    for certain in (100.0, math.inf):
        parts = uncertainty(torch.tensor([[[0.0, -certain]], [[-certain, 0.0]]]))
        assert parts.total.item() == pytest.approx(math.log(2))
        assert parts.epistemic.item() == pytest.approx(math.log(2))
        assert parts.aleatoric.item() == pytest.approx(0, abs=1e-12)
    parts = uncertainty(torch.zeros(5, 1, 2))
    assert parts.aleatoric.item() == pytest.approx(math.log(2))
    assert parts.epistemic.item() == pytest.approx(0, abs=1e-12)


@given(logits)
def test_the_probabilities_of_all_classes_are_one(values: np.ndarray) -> None:
    said = torch.from_numpy(values)
    each = [target_probabilities(said, torch.full(said.shape[1:2], k)) for k in range(said.shape[-1])]
    torch.testing.assert_close(sum(p.together for p in each), torch.ones(said.shape[1]))
    torch.testing.assert_close(sum(p.members for p in each), torch.ones(said.shape[:2]))


# A plane of latents


def test_a_plane_is_asked_where_its_axes_say() -> None:
    z = lattice((-1.0, 3.0, 0.0, 2.0), 3)
    assert z[0].tolist() == [[-1, 0], [1, 0], [3, 0]]
    assert z[:, 0].tolist() == [[-1, 0], [-1, 1], [-1, 2]]

    def right_of_one(z: torch.Tensor) -> torch.Tensor:
        return torch.stack([1 - z[:, 0], z[:, 0] - 1], 1)[None]

    p = plane(right_of_one, (-1.0, 3.0, 0.0, 2.0), size=3, batch_size=4)
    expected = torch.sigmoid(torch.tensor([-4.0, 0.0, 4.0])).expand(3, -1)
    torch.testing.assert_close(p[..., 1], expected)


def test_points_are_made_where_they_are_asked_about() -> None:
    assert lattice((-1.0, 3.0, 0.0, 2.0), 3, "meta").device.type == "meta"
    weight = torch.ones(2, 3, device="meta")  # a net on another device than torch's default
    assert plane(lambda z: (z @ weight)[None], (-1.0, 3.0, 0.0, 2.0), device="meta").shape == (41, 41, 3)


def test_decoded_latents_are_asked_as_images() -> None:
    net, autoencoder, z = several(), pca(2), torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    said = decoded_logits(net, autoencoder)(z)
    torch.testing.assert_close(said, member_logits(net, autoencoder.decode(z).clamp(0, 1)))


# What a run's rows are told


@final
class Straight(Method):
    """Goes straight to the other picture of its class; has whatever beside it."""

    generator: Autoencoder | None = None
    latent: LatentClassifiers | None = None
    frames: int = 4

    def search(self, classifier: Classifier, x: Any, goal: Any, noise: Any) -> SearchResult:
        ends = (0.5 - x).sign() * 0.2 + 0.5
        ones = torch.ones(len(x), dtype=torch.long)
        path = {"path": [*line(x, ends, self.frames)]} if self.frames else {}
        return SearchResult(images=ends, steps=ones, evaluations=ones, artifacts=path)


def answers_of(method: Method, net: Classifier) -> Counterfactuals:
    x = pictures(5)
    return method(net, x, 1 - net.probabilities(x).argmax(1))


def test_a_search_path_is_told_as_its_pictures_are_asked() -> None:
    net = several()
    method = Straight()
    answers = answers_of(method, net)
    for n, row in enumerate(diagnose(method, net, answers)):
        assert row.trajectory is None
        assert row.curves.keys() == {"search path"}
        told, target = row.curves["search path"], answers.goal.target[n]
        frames = (answers.artifacts["path"][n] * 255).round() / 255
        assert told["probability"]["together"] == pytest.approx(net.probabilities(frames)[:, target].tolist(), abs=6e-5)
        members = torch.stack([member.probabilities(frames) for member in net.members])
        assert np.array(told["probability"]["members"]) == pytest.approx(members[..., target].numpy(), abs=6e-5)
        total = torch.special.entr(members.mean(0)).sum(-1)
        sums = np.add(told["uncertainty"]["aleatoric"], told["uncertainty"]["epistemic"])
        assert sums == pytest.approx(total.numpy(), abs=2e-4)


def test_a_single_classifier_has_no_epistemic_part_and_no_members() -> None:
    net, method = half_bright(), Straight()
    told = diagnose(method, net, answers_of(method, net))[0].curves["search path"]
    assert told["uncertainty"].keys() == {"aleatoric"}
    assert told["probability"]["members"] == []


def test_the_interpolation_is_told_in_each_space_there_is() -> None:
    net, latent = several(), of_latents(pca(36))
    seen = latent.classifier()
    cases: list[tuple[Method, Classifier, set[str]]] = [
        (Straight(frames=0), net, set()),
        (Straight(frames=0, generator=pca(36)), net, {"image space", "latent space"}),
        (Several(method=Straight(frames=0, generator=pca(36))), net, {"image space", "latent space"}),
        (Straight(frames=0, latent=latent), net, {"image space", "latent space", "latent classifiers"}),
        (Straight(frames=0, latent=latent), seen, {"image space", "latent space"}),
        (Straight(frames=0), seen, {"image space", "latent space"}),
        (Straight(frames=0, generator=latent.autoencoder), seen.members[1], {"image space", "latent space"}),
    ]
    for method, judge, spaces in cases:
        answers = answers_of(method, judge)
        for n, row in enumerate(diagnose(method, judge, answers)):
            told = row.curves.get("interpolation", {})
            assert told.keys() == spaces
            for name, series in told.items():
                if name != "latent classifiers":  # of a lossless autoencoder all are the same
                    assert series == told["image space"] or np.array(series["together"]) == pytest.approx(
                        np.array(told["image space"]["together"]), abs=2e-4
                    )
            if told:
                ends = [p[n, answers.goal.target[n]].item() for p in (answers.before, answers.after)]
                assert told["image space"]["together"][:: len(T) - 1] == pytest.approx(ends, abs=1e-4)


def test_latent_classifiers_are_asked_by_the_names_of_their_classes_if_they_have_them() -> None:
    net = several()
    method = Straight(latent=of_latents(pca(2), classes=("yes", "perhaps")))
    row = diagnose(method, net, answers_of(method, net))[0]
    assert row.curves["interpolation"].keys() == {"image space", "latent space"}
    assert row.trajectory is not None
    latent = of_latents(pca(36), classes=("yes", "no"))
    method = Straight(latent=latent, frames=0)
    answers = answers_of(method, net)
    told = diagnose(method, net, answers)[0].curves["interpolation"]["latent classifiers"]["together"]
    other_way = 1 - answers.goal.target
    ends = [encoded(latent.autoencoder, x) for x in (answers.queries, answers.images)]
    p = along(latent.logits, *ends, other_way).together[0]
    assert told == pytest.approx(p.tolist(), abs=6e-5)


def test_the_space_of_a_method_comes_before_that_of_the_classifier() -> None:
    own, theirs = pca(2), of_latents(pca(36))
    found = latent_space(Several(method=Straight(generator=own)), theirs.classifier())
    assert found is not None
    assert found.autoencoder is own
    assert found.latent is None
    seen = latent_space(Wachter(), theirs.classifier())
    assert seen is not None
    assert seen.latent is theirs
    assert latent_space(Wachter(), half_bright()) is None


@pytest.mark.parametrize("frames", [0, 4])
def test_a_plane_of_latents_is_drawn_and_no_larger_space(frames: int) -> None:
    net = several()
    method = Straight(latent=of_latents(pca(2)), frames=frames)
    rows = diagnose(method, net, answers_of(method, net))
    for row in rows:
        assert row.trajectory is not None
        assert row.trajectory.shape[0] == 3
        assert 0 <= row.trajectory.min() <= row.trajectory.max() <= 1
        assert row.trajectory[:, 0, 0].tolist() == [1, 1, 1]  # on white
    assert not torch.equal(rows[0].trajectory, rows[1].trajectory)  # type: ignore[arg-type] # the loop above says that they are there
    solid = Straight(generator=pca(3))
    assert all(row.trajectory is None for row in diagnose(solid, net, answers_of(solid, net)))


class Broken(nn.Module):
    """Raises at whatever it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(f"no {x.ndim} dimensions today")


def test_a_diagnostic_that_fails_says_why_and_the_others_stay() -> None:
    net = several()
    method = Straight(generator=Autoencoder(Broken(), Broken(), shape=SHAPE, size=2))
    for row in diagnose(method, net, answers_of(method, net)):
        assert row.curves["interpolation"] == "RuntimeError: no 4 dimensions today"
        assert row.curves["trajectory"] == "RuntimeError: no 4 dimensions today"
        assert row.curves["search path"].keys() == {"probability", "uncertainty"}
        assert row.trajectory is None


def test_what_is_not_finite_is_not_told() -> None:
    class Nan(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x), 2), torch.nan)

    net = several()
    method = Straight(generator=Autoencoder(Nan(), pca(2).decoder, shape=SHAPE, size=2))
    for row in diagnose(method, net, answers_of(method, net)):
        assert row.curves["interpolation"].keys() == {"image space"}
        assert row.trajectory is None
