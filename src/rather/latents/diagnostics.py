"""Diagnostics of the Clarity slides (Theobald, 2023): probabilities along a line, parts of uncertainty.

A search in a good space sees the target's probability rise all the way; one that looks for it in pixels walks
over plateaus and comes out where the members of an ensemble disagree. These functions show which of the two
happened. C. Theobald, "Clarity: an improved gradient method for producing quality visual counterfactual
explanations", 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rather.core import Classifier, Images, Labels
from rather.generators.autoencoder import Autoencoder, Latents
from rather.latents.classifiers import LatentClassifiers
from rather.search.losses import member_logits

#: Of points (n, ...): the logits of each of m classifiers, (m, n, k).
Ask = Callable[[Tensor], Tensor]
#: Left, right, bottom and top of a part of a two-dimensional latent space.
Window = tuple[float, float, float, float]
#: Where new points are put, to be asked about there; None for torch's default.
Device = torch.device | str | None


@final
@dataclass(frozen=True)
class Probabilities:
    """P(target) at points."""

    together: Float[Tensor, "*points"]  # of the ensemble, as `Classifier` has it: of the mean log-probabilities
    members: Float[Tensor, "m *points"]  # of each; of a single classifier, the same as together


@final
@dataclass(frozen=True)
class Uncertainty:
    """The uncertainty of an ensemble at points, in nats: total = aleatoric + epistemic."""

    total: Float[Tensor, "*points"]  # entropy of the mean of the members' probabilities
    aleatoric: Float[Tensor, "*points"]  # mean of the members' entropies: what they doubt, each for itself
    epistemic: Float[Tensor, "*points"]  # mutual information of class and member: what they disagree about


def line(
    first: Float[Tensor, "b *shape"], second: Float[Tensor, "b *shape"], count: int = 11
) -> Float[Tensor, "b t *shape"]:
    """Points (1 - t) first + t second, for `count` values of t, evenly from 0 to 1."""
    t = torch.linspace(0, 1, count, dtype=first.dtype, device=first.device)
    return torch.lerp(first[:, None], second[:, None], t.view(-1, *[1] * (first.ndim - 1)))


@torch.no_grad()
def asked(ask: Ask, points: Float[Tensor, "n *shape"], *, batch_size: int = 256) -> Float[Tensor, "m n k"]:
    """The logits of each member at points, `batch_size` of them in memory at a time, without gradients."""
    return torch.cat([ask(part) for part in points.split(batch_size)], dim=1)


def ask_decoded(classifier: Classifier, autoencoder: Autoencoder) -> Ask:
    """What the members of an image classifier say of latents: of the images that they decode to."""
    return lambda z: member_logits(classifier, autoencoder.decode(z).clamp(0, 1))


def target_probabilities(logits: Float[Tensor, "m *points k"], target: Int[Tensor, "*points"]) -> Probabilities:
    """P(target) of an ensemble and of each of its members, of their logits.

    >>> sure, unsure = torch.tensor([[4.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> p = target_probabilities(torch.stack([sure, unsure]), torch.tensor([0]))
    >>> [f"{each:.4f}" for each in [*p.members[:, 0], p.together[0]]]  # sigmoid of 4, 0, and 2
    ['0.9820', '0.5000', '0.8808']
    """
    log_p = logits.log_softmax(-1)

    def of_target(p: Tensor) -> Tensor:
        index = target[..., None].expand(*p.shape[:-1], 1)
        return p.gather(-1, index)[..., 0]

    return Probabilities(of_target(log_p.mean(0).softmax(-1)), of_target(log_p.exp()))


def uncertainty(logits: Float[Tensor, "m *points k"]) -> Uncertainty:
    """The parts of an ensemble's uncertainty, in nats; of a single classifier, none is epistemic.

    >>> disagree = torch.tensor([[[100.0, 0.0]], [[0.0, 100.0]]])
    >>> parts = uncertainty(disagree)
    >>> round(parts.aleatoric.item(), 6), round(parts.epistemic.item(), 6)  # ln 2
    (0.0, 0.693147)
    """
    p = logits.double().softmax(-1)  # the difference of two nearly equal entropies
    total = torch.special.entr(p.mean(0)).sum(-1)
    aleatoric = torch.special.entr(p).sum(-1).mean(0)
    epistemic = (total - aleatoric).clamp(min=0)
    return Uncertainty(*(part.to(logits.dtype) for part in (total, aleatoric, epistemic)))


def along_images(
    classifier: Classifier, first: Images, second: Images, target: Labels, *, count: int = 11, batch_size: int = 256
) -> Probabilities:
    """P(target) of the images (1 - t) first + t second, each (b, t): the interpolation in image space."""
    return _along(lambda x: member_logits(classifier, x), first, second, target, count=count, batch_size=batch_size)


def along_decoded(
    classifier: Classifier,
    autoencoder: Autoencoder,
    first: Images,
    second: Images,
    target: Labels,
    *,
    count: int = 11,
    batch_size: int = 256,
) -> Probabilities:
    """P(target | decode((1 - t) z1 + t z2)) of an image classifier, where z1 and z2 encode two images."""
    z1, z2 = _encoded(autoencoder, first, batch_size), _encoded(autoencoder, second, batch_size)
    return _along(ask_decoded(classifier, autoencoder), z1, z2, target, count=count, batch_size=batch_size)


def along_latents(
    latent: LatentClassifiers, first: Images, second: Images, target: Labels, *, count: int = 11, batch_size: int = 256
) -> Probabilities:
    """P(target | (1 - t) z1 + t z2) of latent classifiers, asked of the latents themselves."""
    z1, z2 = (_encoded(latent.autoencoder, x, batch_size) for x in (first, second))
    return _along(latent.logits, z1, z2, target, count=count, batch_size=batch_size)


def plane(
    ask: Ask, window: Window, *, size: int = 41, batch_size: int = 256, device: Device = None
) -> Float[Tensor, "v u k"]:
    """What an ensemble says of a plane of latents: P(class | z) on a grid, its lowest row first."""
    logits = asked(ask, lattice(window, size, device).flatten(0, 1), batch_size=batch_size)
    return logits.log_softmax(-1).mean(0).softmax(-1).view(size, size, -1)


def lattice(window: Window, size: int, device: Device = None) -> Float[Tensor, "v u 2"]:
    """The points of a grid over a window, its edges included, lowest row first."""
    left, right, bottom, top = window
    u, v = (torch.linspace(*ends, size, device=device) for ends in ((left, right), (bottom, top)))
    return torch.stack([u.expand(size, -1), v[:, None].expand(-1, size)], -1)


def _encoded(autoencoder: Autoencoder, x: Images, batch_size: int) -> Latents:
    with torch.no_grad():
        return torch.cat([autoencoder.encode(part) for part in x.split(batch_size)])


def _along(ask: Ask, first: Tensor, second: Tensor, target: Labels, *, count: int, batch_size: int) -> Probabilities:
    points = line(first, second, count)
    logits = asked(ask, points.flatten(0, 1), batch_size=batch_size).unflatten(1, points.shape[:2])
    return target_probabilities(logits, target[:, None].expand(-1, count))
