"""Does the classifier say so?"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from rather.core import Goal, Labels, Logits


def reached(logits: Logits, goal: Goal) -> Bool[Tensor, " b"]:
    """Whether the counterfactual is at its goal: its mean is the flip rate (higher is better)."""
    return goal.reached(logits)


def confidence(logits: Logits, target: Labels) -> Float[Tensor, " b"]:
    """Probability of the target after the change (higher is better)."""
    return logits.softmax(1).gather(1, target[:, None])[:, 0]
