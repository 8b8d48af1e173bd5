"""The effect of each attribute on a number with the others held fixed: least squares with joint intervals."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rather.audit.findings import Estimate

FEWEST: Final = 10  # images that must have an attribute, and that must not
_ERROR: Final = 0.05  # of all intervals together
_INFLATION: Final = 5.0  # of the variance by other attributes, above which one of them is left out


def dependence(
    values: Float[Tensor, "n m"], has: Bool[Tensor, "n a"], *, minor: int = 0, calls: int = 1
) -> dict[int, list[Estimate]]:
    """The effect of having each attribute on some values, with all other attributes equal.

        values_i = c + sum_a effect_a * has_ia + noise_i,   by least squares

    The intervals hold for all effects together with 95 % (Bonferroni), and whatever the spread of the noise
    (HC3: J. MacKinnon and H. White, "Some heteroskedasticity-consistent covariance matrix estimators with
    improved finite sample properties", 1985): the values are probabilities, most of them near 0 or 1.

    Args:
        values: of each image some numbers, such as the probabilities of classes.
        has: of the same images, what they have.
        minor: this many of the attributes, the last ones, are left out before all others.
        calls: the number of calls over which the 95 % hold together, as if the largest effect of several is taken.

    Returns:
        By the attribute's number its effect on each of the m values. Attributes are left out if fewer than `FEWEST`
        images have them, or lack them. Of attributes that nearly determine each other, such as all colours of hair,
        those that correlate least with the first value are left out.
    """
    n = len(values)
    known = _known(values[:, 0].double(), has, has.shape[1] - minor)
    if not len(known) or n <= len(known) + 1:
        return {}
    x, y = _centred(has[:, known].double()), _centred(values.double())
    inverse = torch.linalg.inv(x.T @ x)
    effect = inverse @ x.T @ y  # (a, m)
    leverage = ((x @ inverse) * x).sum(1) + 1 / n
    pulled = (y - x @ effect) / (1 - leverage).clamp(min=1e-3)[:, None]
    spread = ((inverse @ x.T).square() @ pulled.square()).sqrt()
    z = torch.special.ndtri(torch.tensor(1 - _ERROR / 2 / effect.numel() / calls, dtype=torch.float64))
    return {
        attribute: [
            Estimate(value=b, low=b - s, high=b + s)
            for b, s in zip(effect[place].tolist(), (z * spread[place]).tolist(), strict=True)
        ]
        for place, attribute in enumerate(known.tolist())
    }


def _known(value: Float[Tensor, " n"], has: Bool[Tensor, "n a"], major: int) -> Int[Tensor, " k"]:
    """The attributes whose effects can be separated; those from `major` on are left out first."""
    count = has.sum(0)
    (known,) = ((count >= FEWEST) & (len(has) - count >= FEWEST)).nonzero(as_tuple=True)
    while len(known):
        x = _centred(has[:, known].double())
        x = x / x.norm(dim=0)
        # A little on the diagonal, so that the inflation of columns that determine each other exactly is large.
        inflation = torch.linalg.inv(x.T @ x + 1e-9 * torch.eye(len(known), dtype=x.dtype)).diagonal()
        if inflation.max() <= _INFLATION:
            break
        doubtful = inflation > _INFLATION
        if (doubtful & (known >= major)).any():
            doubtful &= known >= major
        correlation = (x.T @ _centred(value)).abs()
        correlation[~doubtful] = torch.inf
        known = known[torch.arange(len(known)) != correlation.argmin()]
    return known


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(0)
