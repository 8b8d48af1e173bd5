"""Which latents a classifier heeds, by their Fisher information, and which of them it heeds together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rather.core import Classifier, Logits
from rather.generators.autoencoder import Autoencoder, Latents
from rather.search.losses import refuse_without_gradient

_AT_ONCE: Final = 32  # points, with the graph of their gradients
_ROUNDS: Final = 100


def fisher_information(logits: Callable[[Latents], Logits], points: Latents) -> Float[Tensor, "l l"]:
    """The mean over points of E_{y ~ p(y|z)} [g g'], g the gradient of log p(y | z) by z; all classes count.

    Args:
        logits: what the classifier says of latents.
        points: latents to take the mean over; one whose gradient is not finite is left out.
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
    """The Fisher information of a generator's latents, about what a classifier says of their images.

    Raises:
        RatherError: MODEL-GRADIENT if the classifier's answer has none.
    """

    def logits(z: Latents) -> Logits:
        said: Logits = classifier(generator.decode(z))
        refuse_without_gradient(classifier, z, said)
        return said

    return fisher_information(logits, points)


def spectral_clusters(affinity: Float[Tensor, "l l"], count: int) -> Int[Tensor, " l"]:
    """`count` groups of things with large affinities within, none of them empty; count <= l.

    A. Ng, M. Jordan, Y. Weiss, "On spectral clustering: analysis and an algorithm", NIPS 2001: k-means on the
    rows of the first eigenvectors of D^-1/2 A D^-1/2, scaled to length 1. Without chance: k-means starts from
    points that lie far apart, the first of them the thing with the largest sum of affinities.
    """
    a = affinity.double().abs()
    a = a - torch.diag(a.diagonal())
    degree = a.sum(1)
    scale = torch.where(degree > 0, degree, torch.inf).rsqrt()
    _, vectors = torch.linalg.eigh(scale[:, None] * a * scale)
    points = torch.nn.functional.normalize(vectors[:, -count:], dim=1)
    return _k_means(points, count, first=int(degree.argmax()))


def _k_means(points: Float[Tensor, "l d"], count: int, *, first: int) -> Int[Tensor, " l"]:
    chosen = [first]
    while len(chosen) < count:
        near = torch.cdist(points, points[chosen]).amin(1)
        near[chosen] = -1  # among things that are all alike, too, no two starts are the same thing
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
