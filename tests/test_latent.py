"""Classifiers of latents, and the autoencoder that they see through."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from rather.config.errors import RatherError
from rather.core import Classifier, Goal
from rather.generators.autoencoder import Autoencoder
from rather.latents.classifiers import LatentClassifiers, LatentHeads
from rather.methods.revise import REVISE
from rather.search.losses import goal_loss, member_logits

SHAPE = (1, 4, 4)
X = torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(1))


def identity(**more: object) -> Autoencoder:
    decoder = nn.Unflatten(1, SHAPE)
    return Autoencoder(nn.Flatten(), decoder, shape=SHAPE, size=16, **more)


def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), shape=SHAPE)


def heads(members: int = 4) -> LatentHeads:
    torch.manual_seed(0)
    return LatentHeads(members, 16, 8, 3)


def test_heads_are_perceptrons() -> None:
    many = heads()
    z = X.flatten(1)
    for m in range(4):
        h = z
        for n, (weight, bias) in enumerate(zip(many.weights, many.biases, strict=True)):
            h = h @ weight[m] + bias[m]
            h = h.relu() if n < 2 else h
        torch.testing.assert_close(many(z)[m], h)
    torch.testing.assert_close(many(z.expand(4, -1, -1)), many(z))


def test_latent_classifier_is_the_ensemble_of_its_members() -> None:
    latent = LatentClassifiers(identity(), heads(), ["a", "b", "c"])
    net = latent.classifier()
    assert len(net.members) == 4
    log_p = torch.stack([member(X).log_softmax(1) for member in net.members])
    torch.testing.assert_close(net(X), log_p.mean(0))
    torch.testing.assert_close(latent.logits(X.flatten(1)).log_softmax(-1), log_p)
    assert LatentClassifiers.of(net) is latent
    alone = LatentClassifiers.of(net.members[2])
    assert alone is not None
    torch.testing.assert_close(alone.logits(X.flatten(1))[0], net.members[2](X))
    assert LatentClassifiers.of(classifier()) is None


def test_members_share_the_encoder_and_are_asked_in_one_go() -> None:
    latent = LatentClassifiers(identity(), heads(10), ["a", "b", "c"])
    net, calls = latent.classifier(), {"encoder": 0, "heads": 0}

    def count(name: str) -> Callable[..., None]:
        def one_more(*_: object) -> None:
            calls[name] += 1

        return one_more

    latent.autoencoder.encoder.register_forward_hook(count("encoder"))
    latent.heads.register_forward_hook(count("heads"))
    each = torch.stack([member(X) for member in net.members])
    calls.update(encoder=0, heads=0)
    assert torch.equal(member_logits(net, X), each)
    assert calls == {"encoder": 1, "heads": 1}
    goal_loss(net, X.clone().requires_grad_(), Goal.criticism(torch.zeros(9, dtype=torch.long)))
    assert calls == {"encoder": 2, "heads": 2}


def test_a_member_alone_leaves_no_trace() -> None:
    latent = LatentClassifiers(identity(), heads(), ["a", "b", "c"])
    state, sums = torch.get_rng_state(), [p.sum().item() for p in latent.parameters()]
    alone = latent.member(2)
    assert LatentClassifiers.of(latent.classifier().members[1]) is not None
    assert torch.equal(torch.get_rng_state(), state)
    for weight in alone.heads.parameters():
        assert not weight.requires_grad
        weight.zero_()
    assert [p.sum().item() for p in latent.parameters()] == sums


def test_pixels_of_other_ranges() -> None:
    seen = []

    class Look(nn.Flatten):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return super().forward(x)

    wide = Autoencoder(Look(), nn.Unflatten(1, SHAPE), shape=SHAPE, size=16, pixels=(-1, 1))
    torch.testing.assert_close(wide(X), X)
    torch.testing.assert_close(seen[0], 2 * X - 1)


def test_preflight_is_content_with_what_fits() -> None:
    assert identity().preflight(classifier(), X) == []


def made_of(*last: nn.Module, shape: tuple[int, int, int] = SHAPE, size: int = 16) -> Autoencoder:
    """One whose decoder may be odd."""
    return Autoencoder(nn.Flatten(), nn.Sequential(*last), shape=shape, size=size)


def encoded_by(encoder: nn.Module) -> Autoencoder:
    """One whose encoder may be odd."""
    return Autoencoder(encoder, nn.Unflatten(1, SHAPE), shape=SHAPE, size=16)


class Both(nn.Flatten):
    """Mean and logarithm of the variance, as encoders of VAEs often give them."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override] # what it is here for
        return super().forward(x), super().forward(x)


FLAT, OTHER = nn.Unflatten(1, SHAPE), nn.Unflatten(1, (1, 2, 8))


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        (made_of(OTHER, shape=(1, 2, 8)), "GEN-SIZE", "(1, 4, 4)"),
        (made_of(FLAT, size=8), "GEN-SIZE", "size 8"),
        (made_of(OTHER), "GEN-SIZE", "decoder gives (8, 1, 2, 8)"),
        (encoded_by(Both()), "GEN-SIZE", "encoder (it gives a tuple, not one tensor)"),
        (made_of(FLAT, Both()), "GEN-SIZE", "decoder (it gives a tuple, not one tensor)"),
        (encoded_by(nn.Sequential(nn.Flatten(), nn.Linear(9, 16))), "GEN-SIZE", "encoder fails (for (8, 1, 4,"),
        (made_of(nn.Linear(9, 16), FLAT), "GEN-SIZE", "decoder fails (for (8, 16): RuntimeError: mat1"),
        (made_of(nn.Hardtanh(-1, -0.5), FLAT), "GEN-RANGE", "pixels=(-1, 1)"),
        (made_of(nn.Threshold(9, 255), FLAT), "GEN-RANGE", "pixels=(0, 255)"),
        (made_of(nn.Threshold(9, torch.nan), FLAT), "GEN-NONFINITE", "NaN"),
    ],
)
def test_preflight_refuses(wrong: Autoencoder, code: str, said: str) -> None:
    with pytest.raises(RatherError) as caught:
        wrong.preflight(classifier(), X)
    assert caught.value.code == code
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tuple_is_refused_without_a_preflight() -> None:
    with pytest.raises(RatherError, match="tuple") as caught:
        REVISE(generator=encoded_by(Both()))(classifier(), X, "2")
    assert caught.value.code == "GEN-SIZE"


def test_preflight_tells_of_flips_by_reconstruction() -> None:
    black = made_of(nn.Threshold(9, 0), FLAT)
    net = classifier()
    said = net.probabilities(X[:8]).argmax(1)
    flips = int((net.probabilities(torch.zeros(8, *SHAPE)).argmax(1) != said).sum())
    assert flips
    (note,) = black.preflight(net, X)
    assert note.startswith(f"GEN-RECONSTRUCTION: {flips} of 8 images")


def test_fingerprint_is_of_what_it_does() -> None:
    assert identity().fingerprint() == identity().fingerprint()
    assert identity().fingerprint() != identity(pixels=(-1, 1)).fingerprint()
