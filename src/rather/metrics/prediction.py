"""Is the classifier at the class that was asked for, and does a second one agree?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.core import Goal, Labels, Logits
from rather.metrics.registry import metric


@metric(title="found", theme="answers", unit="yes or no; its mean is a share", better="higher", over="all", version=1)
def found(statuses: Sequence[str]) -> Bool[Tensor, " b"]:
    """Whether the counterfactual is at its goal: its mean is the flip rate.

    Source: the flip rate of DiME (G. Jeanneret et al., ACCV 2022) and ACE (CVPR 2023).
    Avoids: another target, and so another denominator, for rows that the classifier had got wrong: here a row has
    the goal that it was given, and all rows count.

    Args:
        statuses: of a run's rows; a row is at its goal if the classifier says so of the saved picture.
    """
    return torch.tensor([status == "found" for status in statuses])


@metric(title="confidence", theme="answers", unit="probability", better="higher", version=1)
def confidence(logits: Logits, target: Labels) -> Float[Tensor, " b"]:
    """Probability of the target after the change.

    Source: one less the "bounded KL" (BKL) in the public code of DiME, ACCV 2022.
    Avoids: a softmax whose dimension is guessed.

    Args:
        logits: of the counterfactuals, or log-probabilities.
        target: the class of each.
    """
    return logits.softmax(1).gather(1, target[:, None])[:, 0]


@metric(title="transfer", theme="answers", unit="yes or no; its mean is a share", better="higher", version=1)
def transfer(second_logits: Logits, second_target: Labels) -> Bool[Tensor, " b"]:
    """Whether an independent classifier, too, calls the counterfactual its target.

    A change that only the explained classifier reacts to does not transfer. How sure the other one is does not count.

    Source: P. Rodriguez et al., "Beyond trivial counterfactual explanations with diverse valuable explanations"
    (DiVE), ICCV 2021, whose oracle this other classifier is.
    Avoids: counting NaN as an answer.

    Args:
        second_logits: of the counterfactuals, by a classifier that neither was explained nor took part.
        second_target: the class of each, as this classifier numbers its classes.
    """
    return Goal.criticism(second_target).reached(second_logits)
