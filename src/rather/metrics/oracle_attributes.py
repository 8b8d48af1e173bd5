"""What else than the queried attribute changed, as an oracle sees it?

An oracle (`Oracle`) predicts of each picture how likely it has each attribute; above a half it has it. The numbers are
only as good as the oracle: name it.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.config.errors import RatherError
from rather.generators.oracle import Attributes
from rather.metrics.registry import metric

_HALF: Final = 0.5


@metric(title="MNAC", theme="attributes", unit="attributes", better="lower", version=1)
def attributes_changed(
    attributes_before: Attributes, attributes_after: Attributes, left_out: int | None = None
) -> Float[Tensor, " b"]:
    """Number of attributes that came or went.

    Its mean over the successes is the MNAC of STEEX and its followers, with an oracle of their own. NaN for a row where
    the oracle gave NaN for an attribute that counts.

    Source: P. Rodriguez et al., "Beyond trivial counterfactual explanations with diverse valuable explanations"
    (DiVE), ICCV 2021; P. Jacob et al., "STEEX: Steering counterfactual explanations with semantics", ECCV 2022.
    Avoids: pictures normalised twice on their way to the oracle, by the script and by the net.

    Args:
        attributes_before: the oracle's predictions for the queries.
        attributes_after: its predictions for the counterfactuals.
        left_out: an attribute that is not counted, such as the queried one, which has to change; published numbers
            count it.
    """
    changed = (_has(attributes_after) - _has(attributes_before)).abs()
    if left_out is not None:
        changed[:, left_out] = 0
    return changed.sum(1)


@metric(
    title="CD",
    theme="attributes",
    unit="differences of correlations, summed over attributes",
    better="lower",
    biased=True,
    version=1,
)
def correlation_difference(
    attributes_before: Attributes,
    attributes_after: Attributes,
    queried: int,
    labels: Float[Tensor, "n a"] | Bool[Tensor, "n a"],
    *,
    weights: Float[Tensor, "s n"] | None = None,
) -> Float[Tensor, "*s"]:
    """CD: how far the changes' correlations are from the labels', 0 to 2 an attribute.

    sum_a |r_a - rho_a|, where r_a is Pearson's correlation of the changes of a, -1, 0 or 1 a row, with those of the
    queried attribute, and rho_a that of their labels. Where one side never varies, its correlation is 0. One value for
    all rows; NaN if the oracle gave NaN.

    Do not read it alone: it compares changes with labels, so the best method is not one that changes nothing else. Such
    a method has all |rho_a| of the other attributes, more than one that changes what goes along with the queried
    attribute. If all rows go the same way, the queried attribute's change does not vary: then every r_a is 0, whatever
    the method did. Give rows of both directions.

    Source: G. Jeanneret et al., "Diffusion models for counterfactual explanations" (DiME), ACCV 2022, with an
    oracle and labels of their own.
    Avoids: NaN for an attribute that never changed. The rest of the formula is kept, with what it rewards.

    Args:
        attributes_before: the oracle's predictions for the queries; of successes only.
        attributes_after: its predictions for their counterfactuals.
        queried: the attribute that was to change.
        labels: of a training population the same attributes, had above a half.
        weights: how often each of s samples has each row; then there is a value for each sample.

    Raises:
        RatherError: DATA-EMPTY for no rows, or no labels.
    """
    rows = len(attributes_before)
    if not (rows and len(labels)):
        raise RatherError("DATA-EMPTY", where=f"{rows} rows, labels of {len(labels)}", do="Give one at least")
    changes = _has(attributes_after) - _has(attributes_before)
    own = _correlations(changes, queried, changes.new_ones(1, rows) if weights is None else weights)
    difference = own - _correlations(_has(labels), queried, changes.new_ones(1, len(labels)))
    total = difference.abs().sum(1)
    return total[0] if weights is None else total


def _has(values: Tensor) -> Float[Tensor, "n a"]:
    """1 or 0, in 64 bits, and NaN of NaN."""
    return (values > _HALF).double().masked_fill(values.isnan(), torch.nan)


def _correlations(values: Float[Tensor, "n a"], with_: int, weights: Float[Tensor, "s n"]) -> Float[Tensor, "s a"]:
    """Pearson's, of each column with one; sums of whole numbers, so that what does not vary is exactly 0."""
    many = weights.sum(1, keepdim=True)
    total = weights @ values
    vary = many * (weights @ values.square()) - total.square()
    along = many * (weights @ (values * values[:, with_, None])) - total * total[:, with_, None]
    both = (vary * vary[:, with_, None]).sqrt()
    return torch.where(both == 0, 0, along / both)
