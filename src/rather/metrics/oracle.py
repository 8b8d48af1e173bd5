"""Did the truth change with the answer?

D. Velazquez et al., "Explaining visual counterfactual explainers" (their benchmark is called Bex), TMLR 2023.
An oracle knows the truth. A flip that the truth follows teaches nothing of the classifier: anybody would have
called the new picture so. What teaches is where both part: the classifier flips and the truth does not, or
the other way round.
"""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from rather.core import Labels


def noncausal_flip(before: Labels, after: Labels, truth_before: Labels, truth_after: Labels) -> Bool[Tensor, " b"]:
    """Whether the classifier changed its answer, and the truth stayed (higher is better).

    It reacts to something that does not make the class: a bias found, or an adversarial change; look at it.

    Unit: yes or no; its mean is a share.
    Source: D. Velazquez et al., "Explaining visual counterfactual explainers" (Bex), TMLR 2023.
    Avoids: the flip rate, which counts a true change of the class as a success, see `trivial_flip`.

    Args:
        before: what the classifier says of the queries.
        after: what it says of the counterfactuals.
        truth_before: the true class of the queries, by an oracle.
        truth_after: that of the counterfactuals.
    """
    return (before != after) & (truth_before == truth_after)


def causal_flip(before: Labels, after: Labels, truth_before: Labels, truth_after: Labels) -> Bool[Tensor, " b"]:
    """Whether the truth changed, and the classifier kept its answer (higher is better).

    It is blind to something that makes the class.

    Unit: yes or no; its mean is a share.
    Source: Bex, as `noncausal_flip`.
    Avoids: the flip rate, which counts it as a failure.

    Args:
        before: what the classifier says of the queries.
        after: what it says of the counterfactuals.
        truth_before: the true class of the queries, by an oracle.
        truth_after: that of the counterfactuals.
    """
    return (before == after) & (truth_before != truth_after)


def trivial_flip(before: Labels, after: Labels, truth_before: Labels, truth_after: Labels) -> Bool[Tensor, " b"]:
    """Whether the classifier flipped and was right both before and after (lower is better).

    The picture has truly become one of the other class. It is just what the flip rate rewards, and what one
    asks for who wants to see how a class looks: report both.

    Unit: yes or no; its mean is a share.
    Source: Bex, as `noncausal_flip`.
    Avoids: telling it from other flips by the class after the change alone: the answer before counts, too.

    Args:
        before: what the classifier says of the queries.
        after: what it says of the counterfactuals.
        truth_before: the true class of the queries, by an oracle.
        truth_after: that of the counterfactuals.
    """
    return (before != after) & _agree(before, after, truth_before, truth_after)


def telling(before: Labels, after: Labels, truth_before: Labels, truth_after: Labels) -> Bool[Tensor, " b"]:
    """Whether an answer or the truth changed, and both are not one before and after (higher is better).

    Its mean is the share of successful counterfactual explanations (SCE) of Bex: all non-causal and causal
    flips, and those where classifier and truth changed, but not together.

    Unit: yes or no; its mean is a share.
    Source: Bex, as `noncausal_flip`.
    Avoids: the flip rate, which counts trivial flips.

    Args:
        before: what the classifier says of the queries.
        after: what it says of the counterfactuals.
        truth_before: the true class of the queries, by an oracle.
        truth_after: that of the counterfactuals.
    """
    flipped = (before != after) | causal_flip(before, after, truth_before, truth_after)
    return flipped & ~_agree(before, after, truth_before, truth_after)


def _agree(before: Labels, after: Labels, truth_before: Labels, truth_after: Labels) -> Bool[Tensor, " b"]:
    return (before == truth_before) & (after == truth_after)
