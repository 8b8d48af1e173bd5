"""Which latents each of several answers may move: DiVE's masks, (count, l) for a row, 1 where it may."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rather.latents.fisher import spectral_clusters

FisherMask = Literal["fisher-chunk", "fisher-range", "fisher-spectral", "fisher-spectral-inverse"]


def all_but_a_part(order: Int[Tensor, "b l"], count: int) -> Float[Tensor, "b count l"]:
    """Of an order of the latents: the k-th answer leaves the k-th of `count` parts alone."""
    part = order.argsort(1) * count // order.shape[1]
    return (part[:, None] != torch.arange(count, device=order.device)[:, None]).float()


def fisher_masks(kind: FisherMask, fisher: Float[Tensor, "l l"], count: int) -> Float[Tensor, "count l"]:
    """By what the classifier heeds; `count` is at most l.

    Args:
        kind: leave alone the k-th part of the latents in the order of their information (chunk), or the first
            k of them (range, k from 0 on); move one spectral cluster alone, or all of the others (inverse).
        fisher: the information matrix of the latents.
        count: of answers.
    """
    order = fisher.diagonal().argsort(descending=True)
    if kind == "fisher-chunk":
        return all_but_a_part(order[None], count)[0]
    if kind == "fisher-range":
        return (order.argsort() >= torch.arange(count, device=order.device)[:, None]).float()
    own = F.one_hot(spectral_clusters(fisher, count), count).T.float()
    return own if kind == "fisher-spectral" else 1 - own
