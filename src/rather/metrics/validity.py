"""Does the classifier say so?"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from rather.core import Goal, Labels, Logits


def reached(logits: Logits, goal: Goal) -> Bool[Tensor, " b"]:
    """Whether the counterfactual is at its goal: its mean is the flip rate (higher is better).

    Unit: yes or no; its mean is a share.
    Source: the flip rate of DiME (G. Jeanneret et al., ACCV 2022) and ACE (CVPR 2023).
    Avoids: another target, and so another denominator, for rows that the classifier had got wrong: here a row
    has the goal that it was given, and all rows count.
    """
    return goal.reached(logits)


def confidence(logits: Logits, target: Labels) -> Float[Tensor, " b"]:
    """Probability of the target after the change (higher is better).

    Unit: probability.
    Source: one less the "bounded KL" (BKL) in the public code of DiME, ACCV 2022.
    Avoids: a softmax whose dimension is guessed.
    """
    return logits.softmax(1).gather(1, target[:, None])[:, 0]
