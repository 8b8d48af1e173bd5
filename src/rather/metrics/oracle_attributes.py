"""What else than the queried attribute changed, as an oracle sees it?

An oracle (`Oracle`) says of each picture how likely it has each attribute; above a half
it has it. Its numbers are as good as the oracle: name it beside them.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.config.errors import RatherError
from rather.generators.oracle import Attributes

_HALF: Final = 0.5


def attributes_changed(before: Attributes, after: Attributes, left_out: int | None = None) -> Float[Tensor, " b"]:
    """Number of attributes that came or went (lower is better).

    Its mean over the successes is the MNAC of STEEX and its followers, with an oracle of their own. NaN for a
    row where the oracle said NaN of an attribute that counts.

    Unit: attributes.
    Source: P. Rodriguez et al., "Beyond trivial counterfactual explanations with diverse valuable
    explanations" (DiVE), ICCV 2021; P. Jacob et al., "STEEX: Steering counterfactual explanations with
    semantics", ECCV 2022.
    Avoids: pictures normalised twice on their way to the oracle, by the script and by the net.

    Args:
        before: what the oracle says of the queries.
        after: what it says of the counterfactuals.
        left_out: an attribute that is not counted, such as the queried one, which has to change; published
            numbers count it.
    """
    changed = (_has(after) - _has(before)).abs()
    if left_out is not None:
        changed[:, left_out] = 0
    return changed.sum(1)


def correlation_difference(
    before: Attributes, after: Attributes, queried: int, labels: Float[Tensor, "n a"] | Bool[Tensor, "n a"]
) -> Float[Tensor, ""]:
    """CD: how far the changes' correlations are from the labels', 0 to 2 an attribute (lower is better).

    sum_a |r_a - rho_a|, where r_a is Pearson's correlation of the changes of a, -1, 0 or 1 a row, with those
    of the queried attribute, and rho_a that of their labels. Where one side never varies, its correlation is
    0. One value for all rows; NaN if the oracle said NaN.

    Unit: differences of correlations, summed over attributes.
    Source: G. Jeanneret et al., "Diffusion models for counterfactual explanations" (DiME), ACCV 2022, with an
    oracle and labels of their own.
    Avoids: NaN for an attribute that never changed. The rest of the formula is kept, with what it rewards.

    Not to be read alone: it compares changes with labels, so the best is no method that changes nothing else.
    Such a one has all |rho_a| of the other attributes, more than one that changes what goes along with the
    queried attribute. And of rows that all go the same way the queried attribute's change does not vary: then
    every r_a is 0, whatever the method did. Give rows of both directions.

    Args:
        before: what the oracle says of the queries; of successes only.
        after: what it says of their counterfactuals.
        queried: the attribute that was to change.
        labels: of a training population the same attributes, had above a half.

    Raises:
        RatherError: DATA-EMPTY for no rows, or no labels.
    """
    if not (len(before) and len(labels)):
        raise RatherError("DATA-EMPTY", where=f"{len(before)} rows, labels of {len(labels)}", do="Give one at least")
    changes = _has(after) - _has(before)
    return (_correlations(changes, queried) - _correlations(_has(labels), queried)).abs().sum()


def _has(values: Tensor) -> Float[Tensor, "n a"]:
    """1 or 0, in 64 bits, and NaN of NaN."""
    return (values > _HALF).double().masked_fill(values.isnan(), torch.nan)


def _correlations(values: Float[Tensor, "n a"], with_: int) -> Float[Tensor, " a"]:
    """Pearson's, of each column with one of them; 0 where a column does not vary."""
    centred = values - values.mean(0)
    size = centred.norm(dim=0)
    both = size * size[with_]
    return torch.where(both == 0, 0, centred.T @ centred[:, with_] / both)
