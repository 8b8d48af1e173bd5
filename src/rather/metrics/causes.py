"""Does the explanation name what truly moves the classifier?

Only where the true effect of every attribute is known can an explanation be right or wrong: of drawn faces
`rather.data.faces.effects` measures it, by setting one attribute and leaving all else.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from rather.errors import RatherError
from rather.ranks import rank_correlation

Changes = Float[Tensor, "n a"]  # of each row by how much each attribute changed, signed or not


def rank_agreement(changes: Changes, effects: Float[Tensor, " a"]) -> Float[Tensor, ""]:
    """Rank correlation of what changed with what truly has an effect, -1 to 1 (higher is better).

    Spearman's, with middle ranks for ties, of the mean over rows of |change| with |effect|, attribute by
    attribute. It asks for the order alone: a change of an attribute and an effect on a classifier have no
    common unit. One value for all rows; NaN where nothing changed, or all changed alike.

    Args:
        changes: of rows and attributes; for an explanation to be judged by somebody else, as an oracle that
            took no part reads them of the pictures.
        effects: of the same attributes, in their order, on the classifier that was explained.

    Raises:
        RatherError: DATA-EMPTY for no rows.
    """
    return rank_correlation(_amounts(changes), effects.abs())


def cosine_agreement(changes: Changes, effects: Float[Tensor, " a"]) -> Float[Tensor, ""]:
    """Cosine of what changed and what truly has an effect, 0 to 1 (higher is better).

    Of the mean over rows of |change| and of |effect|. Where one attribute moves the classifier and the others
    hardly do, `rank_agreement` counts the order of those others as much as the one; this does not: it is near
    to 1 if that one changed and little else. One value for all rows; NaN where nothing changed.

    Args:
        changes: as for `rank_agreement`.
        effects: as there.

    Raises:
        RatherError: DATA-EMPTY for no rows.
    """
    amounts, sizes = _amounts(changes), effects.abs().double()
    cosine: Tensor = (amounts @ sizes) / (amounts.norm() * sizes.norm())
    return cosine


def _amounts(changes: Changes) -> Float[Tensor, " a"]:
    if not len(changes):
        raise RatherError("DATA-EMPTY", where="changes of no rows", do="Give one row at least")
    return changes.abs().double().mean(0)


def named_among(changes: Changes, index: int, first: int) -> Bool[Tensor, " n"]:
    """Whether an attribute is among the `first` most changed, of a true cause (higher is better).

    Its mean over rows is the share of them that name it. An attribute that did not change is never named, and
    of attributes that changed alike all are.

    Args:
        changes: of rows and attributes.
        index: which attribute.
        first: how many are looked at; 1 for the most changed alone.
    """
    amount = changes.abs()
    mine = amount[:, index, None]
    return ((amount > mine).sum(1) < first) & (mine[:, 0] > 0)
