"""Did the truth change with the answer?

D. Velazquez et al., "Explaining visual counterfactual explainers" (their benchmark is called Bex), TMLR 2023. A second
classifier stands for the truth. A flip that the truth follows teaches nothing about the classifier: anyone would have
called the new picture so. What teaches is where both part: the classifier flips and the truth does not, or the other
way round.
"""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from rather.core import Labels
from rather.metrics.registry import metric


@metric(
    title="non-causal",
    theme="meaning",
    unit="yes or no; its mean is a share",
    better="higher",
    over="answered",
    version=1,
)
def noncausal_flip(predicted: Labels, after: Labels, truth_before: Labels, truth_after: Labels) -> Bool[Tensor, " b"]:
    """Whether the classifier changed its answer, and the truth stayed.

    It reacts to something that does not make the class: a bias found, or an adversarial change; look at it.

    Source: D. Velazquez et al., "Explaining visual counterfactual explainers" (Bex), TMLR 2023.
    Avoids: the flip rate, which counts a true change of the class as a success, see `trivial_flip`.

    Args:
        predicted: the classifier's prediction of the queries.
        after: its prediction of the counterfactuals.
        truth_before: the true class of the queries.
        truth_after: the true class of the counterfactuals.
    """
    return (predicted != after) & (truth_before == truth_after)


@metric(
    title="causal", theme="meaning", unit="yes or no; its mean is a share", better="higher", over="answered", version=1
)
def causal_flip(predicted: Labels, after: Labels, truth_before: Labels, truth_after: Labels) -> Bool[Tensor, " b"]:
    """Whether the truth changed, and the classifier kept its answer: it is blind to something that makes the class.

    Source: Bex, as `noncausal_flip`.
    Avoids: the flip rate, which counts it as a failure.
    """
    return (predicted == after) & (truth_before != truth_after)


@metric(
    title="trivial", theme="meaning", unit="yes or no; its mean is a share", better="lower", over="answered", version=1
)
def trivial_flip(predicted: Labels, after: Labels, truth_before: Labels, truth_after: Labels) -> Bool[Tensor, " b"]:
    """Whether the classifier flipped and was right both before and after.

    The picture has truly become one of the other class. The flip rate rewards just this, and it is right for a reader
    who wants to see what a class looks like: report both.

    Source: Bex, as `noncausal_flip`.
    Avoids: telling it from other flips by the class after the change alone: the answer before counts, too.
    """
    return (predicted != after) & _agree(predicted, after, truth_before, truth_after)


@metric(
    title="SCE", theme="meaning", unit="yes or no; its mean is a share", better="higher", over="answered", version=1
)
def sce(predicted: Labels, after: Labels, truth_before: Labels, truth_after: Labels) -> Bool[Tensor, " b"]:
    """Whether the prediction or the truth changed, but not both together (successful counterfactual explanation).

    Its mean is the SCE of Bex: all non-causal and causal flips, and those where both changed to different classes.

    Source: Bex, as `noncausal_flip`.
    Avoids: the flip rate, which counts trivial flips.
    """
    flipped = (predicted != after) | causal_flip(predicted, after, truth_before, truth_after)
    return flipped & ~_agree(predicted, after, truth_before, truth_after)


def _agree(predicted: Labels, after: Labels, truth_before: Labels, truth_after: Labels) -> Bool[Tensor, " b"]:
    return (predicted == truth_before) & (after == truth_after)
