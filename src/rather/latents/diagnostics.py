"""Diagnostics of the Clarity slides (Theobald, 2023): probabilities along a line, parts of uncertainty.

In a good space the target's probability rises all along the search. A search in pixels crosses plateaus, and
ends where the members of an ensemble disagree. These functions show which of the two happened.
C. Theobald, "Clarity: an improved gradient method for producing quality visual counterfactual explanations",
2023.
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
from rather.search.losses import member_logits

#: (points (n, ...)) -> the logits of each of m classifiers, (m, n, k).
Logits = Callable[[Tensor], Tensor]
#: Left, right, bottom and top of a part of a two-dimensional latent space.
Window = tuple[float, float, float, float]
Device = torch.device | str | None


@final
@dataclass(frozen=True)
class Probabilities:
    """P(target) at points."""

    together: Float[Tensor, "*points"]  # of the ensemble: of the mean log-probabilities, as in `Classifier`
    members: Float[Tensor, "m *points"]  # of each member; of a single classifier, the same as together


@final
@dataclass(frozen=True)
class Uncertainty:
    """The uncertainty of an ensemble at points, in nats: total = aleatoric + epistemic."""

    total: Float[Tensor, "*points"]  # entropy of the mean of the members' probabilities
    aleatoric: Float[Tensor, "*points"]  # mean of the members' entropies: the doubt of each
    epistemic: Float[Tensor, "*points"]  # mutual information of class and member: their disagreement


def line(
    first: Float[Tensor, "b *shape"], second: Float[Tensor, "b *shape"], count: int = 11
) -> Float[Tensor, "b t *shape"]:
    """Points (1 - t) first + t second, for `count` values of t, evenly from 0 to 1."""
    t = torch.linspace(0, 1, count, dtype=first.dtype, device=first.device)
    return torch.lerp(first[:, None], second[:, None], t.view(-1, *[1] * (first.ndim - 1)))


@torch.no_grad()
def in_batches(logits: Logits, points: Float[Tensor, "n *shape"], *, batch_size: int = 256) -> Float[Tensor, "m n k"]:
    """The logits of each member at points, `batch_size` of them in memory at a time, without gradients."""
    return torch.cat([logits(part) for part in points.split(batch_size)], dim=1)


@torch.no_grad()
def encoded(autoencoder: Autoencoder, x: Images, batch_size: int = 256) -> Latents:
    """The latents of images, `batch_size` of them in memory at a time."""
    return torch.cat([autoencoder.encode(part) for part in x.split(batch_size)])


def decoded_logits(classifier: Classifier, autoencoder: Autoencoder) -> Logits:
    """The logits of an image classifier's members for latents: for the images that they decode to."""
    return lambda z: member_logits(classifier, autoencoder.decode(z).clamp(0, 1))


def target_probabilities(logits: Float[Tensor, "m *points k"], target: Int[Tensor, "*points"]) -> Probabilities:
    """P(target) of an ensemble and of each of its members, from their logits.

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
    p = logits.double().softmax(-1)  # in 64 bits, for the difference of two nearly equal entropies
    total = torch.special.entr(p.mean(0)).sum(-1)
    aleatoric = torch.special.entr(p).sum(-1).mean(0)
    epistemic = (total - aleatoric).clamp(min=0)
    return Uncertainty(*(part.to(logits.dtype) for part in (total, aleatoric, epistemic)))


def along(
    logits: Logits,
    first: Float[Tensor, "b *shape"],
    second: Float[Tensor, "b *shape"],
    target: Labels,
    *,
    count: int = 11,
    batch_size: int = 256,
) -> Probabilities:
    """P(target) at the points (1 - t) first + t second, each (b, t): images or latents, as `logits` takes them."""
    points = line(first, second, count)
    each = in_batches(logits, points.flatten(0, 1), batch_size=batch_size).unflatten(1, points.shape[:2])
    return target_probabilities(each, target[:, None].expand(-1, count))


def plane(
    logits: Logits, window: Window, *, size: int = 41, batch_size: int = 256, device: Device = None
) -> Float[Tensor, "v u k"]:
    """An ensemble's P(class | z) on a grid over a plane of latents, its lowest row first."""
    each = in_batches(logits, lattice(window, size, device).flatten(0, 1), batch_size=batch_size)
    return each.log_softmax(-1).mean(0).softmax(-1).view(size, size, -1)


def lattice(window: Window, size: int, device: Device = None) -> Float[Tensor, "v u 2"]:
    """The points of a grid over a window, its edges included, lowest row first."""
    left, right, bottom, top = window
    u, v = (torch.linspace(*ends, size, device=device) for ends in ((left, right), (bottom, top)))
    return torch.stack([u.expand(size, -1), v[:, None].expand(-1, size)], -1)
