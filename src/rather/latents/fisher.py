"""Which latents a classifier is sensitive to, by their Fisher information, and DiVE's masks of latents by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rather.core import Classifier, Logits
from rather.generators.autoencoder import Autoencoder, Latents
from rather.search.losses import require_gradient

_AT_ONCE: Final = 32  # points, with the graph of their gradients
_ROUNDS: Final = 100

FisherMask = Literal["fisher-chunk", "fisher-range", "fisher-spectral", "fisher-spectral-inverse"]


def fisher_information(logits: Callable[[Latents], Logits], points: Latents) -> Float[Tensor, "l l"]:
    """The mean over points of E_{y ~ p(y|z)} [g g'], g the gradient of log p(y | z) by z; all classes count.

    Args:
        logits: the classifier's, of latents.
        points: latents to average over; one whose gradient is not finite is left out.
    """
    total, count = points.new_zeros(points.shape[1], points.shape[1], dtype=torch.float64), 0
    for part in points.split(_AT_ONCE):
        with torch.enable_grad():
            z = part.detach().requires_grad_()
            log_p = logits(z).log_softmax(1)
            each = [torch.autograd.grad(one.sum(), z, retain_graph=True)[0] for one in log_p.unbind(1)]
        root = torch.stack(each, 1).double() * (log_p.detach().double() / 2).exp()[:, :, None]
        root = root[root.flatten(1).isfinite().all(1)]
        total, count = total + torch.einsum("nki,nkj->ij", root, root), count + len(root)
    return total / max(count, 1)


def latent_information(classifier: Classifier, generator: Autoencoder, points: Latents) -> Float[Tensor, "l l"]:
    """The Fisher information of a generator's latents about the prediction for their images.

    Raises:
        RatherError: MODEL-GRADIENT if the classifier's output has no gradient.
    """

    def logits(z: Latents) -> Logits:
        output: Logits = classifier(generator.decode(z))
        require_gradient(classifier, z, output)
        return output

    return fisher_information(logits, points)


def spectral_clusters(affinity: Float[Tensor, "l l"], count: int) -> Int[Tensor, " l"]:
    """`count` non-empty groups of items with large affinities within a group; count <= l.

    A. Ng, M. Jordan, Y. Weiss, "On spectral clustering: analysis and an algorithm", NIPS 2001: k-means on the
    rows of the first eigenvectors of D^-1/2 A D^-1/2, scaled to length 1. Deterministic: k-means starts from
    points that lie far apart, the first of them the item with the largest sum of affinities.
    """
    a = affinity.double().abs()
    a = a - torch.diag(a.diagonal())
    degree = a.sum(1)
    scale = torch.where(degree > 0, degree, torch.inf).rsqrt()
    _, vectors = torch.linalg.eigh(scale[:, None] * a * scale)
    points = F.normalize(vectors[:, -count:], dim=1)
    return _k_means(points, count, first=int(degree.argmax()))


def _k_means(points: Float[Tensor, "l d"], count: int, *, first: int) -> Int[Tensor, " l"]:
    chosen = [first]
    while len(chosen) < count:
        near = torch.cdist(points, points[chosen]).amin(1)
        near[chosen] = -1  # no item is chosen twice, even where all are alike
        chosen.append(int(near.argmax()))
    centres, group = points[chosen], torch.full((len(points),), -1, device=points.device)
    for _ in range(_ROUNDS):
        distance = torch.cdist(points, centres)
        now = distance.argmin(1)
        for empty in set(range(count)) - set(now.tolist()):
            shared = torch.bincount(now, minlength=count)[now] > 1
            apart = distance.gather(1, now[:, None])[:, 0].masked_fill(~shared, -1)
            now[apart.argmax()] = empty
        if torch.equal(now, group):
            break
        group = now
        centres = torch.stack([points[group == one].mean(0) for one in range(count)])
    return group


def all_but_a_part(order: Int[Tensor, "b l"], count: int) -> Float[Tensor, "b count l"]:
    """1 where an answer may move a latent: the k-th leaves the k-th of `count` parts of an order alone."""
    part = order.argsort(1) * count // order.shape[1]
    return (part[:, None] != torch.arange(count, device=order.device)[:, None]).float()


def fisher_masks(kind: FisherMask, fisher: Float[Tensor, "l l"], count: int) -> Float[Tensor, "count l"]:
    """DiVE's masks: 1 where an answer may move a latent, chosen by the classifier's sensitivity to it.

    Args:
        kind: leave alone the k-th part of the latents in the order of their information (chunk), or the first
            k of them (range, k from 0 on); move one spectral cluster alone, or all of the others (inverse).
        fisher: the information matrix of the latents.
        count: number of answers, at most l.
    """
    order = fisher.diagonal().argsort(descending=True)
    if kind == "fisher-chunk":
        return all_but_a_part(order[None], count)[0]
    if kind == "fisher-range":
        return (order.argsort() >= torch.arange(count, device=order.device)[:, None]).float()
    own = F.one_hot(spectral_clusters(fisher, count), count).T.float()
    return own if kind == "fisher-spectral" else 1 - own
