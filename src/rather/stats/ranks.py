"""Ranks: what a Spearman correlation is made of."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def mid_ranks(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The place of each value when they are in order, from 1 on; equal ones share the middle of theirs."""
    _, group, count = values.unique(return_inverse=True, return_counts=True)
    middle = count.cumsum(0) - (count - 1) / 2
    ranks: Tensor = middle[group].double()
    return ranks


def rank_correlation(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Spearman's rank correlation, from -1 to 1, in 64 bits.

    C. Spearman, "The proof and measurement of association between two things", 1904: Pearson's correlation of
    the ranks. NaN where there is no order to agree on: all of one side are equal, or a value is NaN.
    """
    if a.isnan().any() or b.isnan().any():
        return torch.full((), torch.nan, dtype=torch.float64)
    one, other = (ranks - ranks.mean() for ranks in (mid_ranks(a), mid_ranks(b)))
    correlation: Tensor = (one @ other) / (one.norm() * other.norm())
    return correlation
