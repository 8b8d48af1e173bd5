"""Measures of sets, of many samples of their rows at once: what intervals and tests are made of.

A sample is how often it has each row: of a bootstrap's any number of times, of a jackknife's once or never.
Each function gives what the metric of its name gives of the rows so repeated, sample by sample.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

Weights = Float[Tensor, "s n"]
Of = Float[Tensor, " s"]
_NUMBERS: Final = 8_000_000  # of a table in memory
_FEWEST: Final = 2  # rows that have a covariance
_HALF: Final = 0.5  # above which an oracle says that an attribute is there


def split_frechet(
    after: Float[Tensor, "n d"], before: Float[Tensor, "n d"], halves: Float[Tensor, "n r"], weights: Weights
) -> Of:
    """`split_frechet_of_features`, the mean over the splits."""
    one = halves.T.double()[None] * weights[:, None]  # (s, r, n)
    other = weights[:, None] - one
    there = frechet(before, after, one.flatten(0, 1), other.flatten(0, 1))
    back = frechet(before, after, other.flatten(0, 1), one.flatten(0, 1))
    return ((there + back) / 2).view(len(weights), -1).mean(1)


def frechet(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], of_x: Weights, of_y: Weights) -> Float[Tensor, " s"]:
    """`frechet_of_features` of samples of two sets; NaN of a sample that has no covariance."""
    together = torch.cat([x, y])
    if not together.isfinite().all():
        return of_x.new_full(of_x.shape[:1], torch.nan)
    if x.shape[1] > len(together):  # distances do not change where all rows are written in a base of their own
        together = torch.linalg.qr(together.T, mode="r").R.T
        x, y = together.split(len(x))
    size = max(1, _NUMBERS // x.numel())
    parts = zip(of_x.split(size), of_y.split(size), strict=True)
    return torch.cat([_frechet(x, y, one, other) for one, other in parts])


def _frechet(x: Tensor, y: Tensor, of_x: Weights, of_y: Weights) -> Of:
    (mean, root), (mean2, root2) = _gaussians(x, of_x), _gaussians(y, of_y)
    spread = root.square().sum((1, 2)) + root2.square().sum((1, 2))
    shared = torch.linalg.svdvals(_short(root) @ _short(root2).mT).sum(1)
    found: Tensor = ((mean - mean2).square().sum(1) + spread - 2 * shared).clamp(min=0)
    return found.masked_fill((of_x.sum(1) < _FEWEST) | (of_y.sum(1) < _FEWEST), torch.nan)


def _gaussians(x: Tensor, weights: Weights) -> tuple[Float[Tensor, "s d"], Float[Tensor, "s k d"]]:
    """Of each sample the mean, and an R of which R'R is its covariance."""
    many = weights.sum(1, keepdim=True)
    mean = weights @ x / many.clamp(min=1)
    there = weights > 0
    rows = (~there).to(torch.uint8).argsort(dim=1, stable=True)[:, : max(1, int(there.sum(1).max()))]
    scale = (weights.gather(1, rows) / (many - 1).clamp(min=1)).sqrt()  # 0 of rows that only fill up
    return mean, (x[rows] - mean[:, None]) * scale[..., None]


def _short(root: Float[Tensor, "s k d"]) -> Float[Tensor, "s _ d"]:
    return torch.linalg.qr(root, mode="r").R if root.shape[1] > root.shape[2] else root


def kid(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], weights: Weights) -> Of:
    """`kid_of_features` of pairs."""
    many = weights.sum(1)
    own, others, across = (
        _kernels(one, other, weights) - weights @ _kernel((one * other).sum(1), x.shape[1])
        for one, other in ((x, x), (y, y), (x, y))
    )
    found: Tensor = (own + others - 2 * across) / (many * (many - 1))
    return found.masked_fill(many < _FEWEST, torch.nan)


def _kernels(x: Tensor, y: Tensor, weights: Weights) -> Of:
    """The sum over all pairs."""
    size = max(1, _NUMBERS // len(y))
    parts = zip(x.split(size), weights.split(size, 1), strict=True)
    total = [((one @ _kernel(part @ y.T, x.shape[1])) * weights).sum(1) for part, one in parts]
    return torch.stack(total).sum(0)


def _kernel(product: Tensor, size: int) -> Tensor:
    return (product / size + 1) ** 3


def rank_agreement(changes: Float[Tensor, "n a"], effects: Float[Tensor, " a"], weights: Weights) -> Of:
    """`rank_agreement`."""
    one, other = (
        ranks - ranks.mean(1, keepdim=True)
        for ranks in (_mid_ranks(_amounts(changes, weights)), _mid_ranks(effects.abs().double()[None]))
    )
    correlation: Tensor = (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1))
    return correlation


def cosine_agreement(changes: Float[Tensor, "n a"], effects: Float[Tensor, " a"], weights: Weights) -> Of:
    """`cosine_agreement`."""
    amounts, sizes = _amounts(changes, weights), effects.abs().double()
    cosine: Tensor = amounts @ sizes / (amounts.norm(dim=1) * sizes.norm())
    return cosine


def _amounts(changes: Float[Tensor, "n a"], weights: Weights) -> Float[Tensor, "s a"]:
    return weights @ changes.abs().double() / weights.sum(1, keepdim=True)


def _mid_ranks(values: Float[Tensor, "s a"]) -> Float[Tensor, "s a"]:
    below = (values[:, None] < values[:, :, None]).double().sum(2)
    equal = (values[:, None] == values[:, :, None]).double().sum(2)
    return below + (equal + 1) / 2


def correlation_difference(
    before: Float[Tensor, "n a"],
    after: Float[Tensor, "n a"],
    queried: int,
    labels: Float[Tensor, "m a"],
    weights: Weights,
) -> Of:
    """`correlation_difference`."""
    once = weights.new_ones(1, len(labels))
    own = _correlations(_has(after) - _has(before), queried, weights)
    return (own - _correlations(_has(labels), queried, once)).abs().sum(1)


def _has(values: Tensor) -> Float[Tensor, "n a"]:
    return (values > _HALF).double()


def _correlations(values: Float[Tensor, "n a"], with_: int, weights: Weights) -> Float[Tensor, "s a"]:
    """Pearson's, of each column with one; sums of whole numbers, so that what does not vary is exactly 0."""
    many = weights.sum(1, keepdim=True)
    total = weights @ values
    vary = many * (weights @ values.square()) - total.square()
    along = many * (weights @ (values * values[:, with_, None])) - total * total[:, with_, None]
    both = (vary * vary[:, with_, None]).sqrt()
    return torch.where(both == 0, 0, along / both)
