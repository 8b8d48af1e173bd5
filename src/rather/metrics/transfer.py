"""Does a classifier that the method never saw say so, too?"""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from rather.core import Goal, Labels, Logits


def transfer(logits: Logits, target: Labels) -> Bool[Tensor, " b"]:
    """Whether an independent classifier, too, calls the counterfactual its target (higher is better).

    A change that only the explained classifier reacts to does not. How sure the other one is does not count.

    Unit: yes or no; its mean is a share.
    Source: P. Rodriguez et al., "Beyond trivial counterfactual explanations with diverse valuable
    explanations" (DiVE), ICCV 2021, whose oracle this other classifier is.
    Avoids: counting NaN as an answer.

    Args:
        logits: of the counterfactuals, by a classifier that neither was explained nor took part.
        target: the class of each.
    """
    return Goal.criticism(target).reached(logits)
