"""Losses, one number per row: no mean over the batch, so that a row does not depend on its neighbours."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from rather.config.errors import RatherError
from rather.core import WITHOUT_GRADIENT, Classifier, Features, Goal, Images, Labels, Logits

PerRow = Float[Tensor, " b"]


@runtime_checkable
class MembersHead(Protocol):
    """The head of an ensemble whose members share their body and are computed in one pass."""

    def each(self, features: Features) -> Float[Tensor, "m b k"]:
        """The logits of each member."""


def member_logits(classifier: Classifier, x: Images) -> Float[Tensor, "m b k"]:
    """The logits of every member of an ensemble; of a single classifier, its own."""
    if isinstance(classifier.head, MembersHead):
        return classifier.head.each(classifier.features(x))
    return torch.stack([member(x) for member in classifier.members])


def require_gradient(classifier: Classifier, z: Tensor, logits: Tensor) -> None:
    """Raise if points want a gradient and the classifier's output has none.

    Raises:
        RatherError: MODEL-GRADIENT.
    """
    if z.requires_grad and not logits.requires_grad:
        raise RatherError(
            "MODEL-GRADIENT",
            where=classifier.name,
            why="its answer cannot be differentiated",
            do=f"Take {WITHOUT_GRADIENT}",
        )


def cross_entropy(logits: Float[Tensor, "m b k"], target: Labels) -> PerRow:
    """1/M sum_m -log p_m(target): the mean over the members of an ensemble of each one's loss."""
    members, rows, _ = logits.shape
    each = F.cross_entropy(logits.flatten(0, 1), target.repeat(members), reduction="none")
    return each.view(members, rows).mean(0)


def goal_loss(classifier: Classifier, z: Images, goal: Goal) -> tuple[PerRow, Bool[Tensor, " b"]]:
    """Cross-entropy of the target, and which images reach their goal; one forward pass of each member.

    Where a label is the target, the other labels' divergence from what they were is added: see `logits_and_others`.

    Raises:
        RatherError: MODEL-GRADIENT if a gradient is wanted and the classifier's output has none.
    """
    logits, others = logits_and_others(classifier, z, goal)
    return cross_entropy(logits, goal.target) + others, goal.reached(logits.log_softmax(-1).mean(0))


def logits_and_others(classifier: Classifier, z: Images, goal: Goal) -> tuple[Float[Tensor, "m b k"], PerRow | float]:
    """The logits of each member, and how far other labels than the target's have moved; one pass for both.

    Of independent labels with probabilities q before and p now, the divergence is the sum over all but the target's of
    q log(q / p) + (1 - q) log((1 - q) / (1 - p)). Together with the target's cross-entropy it is, up to a constant,
    the cross-entropy of all labels, of which one changes and the others are what they were.

    Raises:
        RatherError: MODEL-GRADIENT if a gradient is wanted and the classifier's output has none.
    """
    if goal.kept is None or classifier.question is None:
        logits = member_logits(classifier, z)
        require_gradient(classifier, z, logits)
        return logits, 0.0
    numbers = classifier.numbers(z)
    require_gradient(classifier, z, numbers)
    now, kept = (_others(each, classifier.question.column) for each in (numbers, goal.kept))
    entropy = F.binary_cross_entropy(kept, kept, reduction="none")
    divergence = (F.binary_cross_entropy_with_logits(now, kept, reduction="none") - entropy).sum(1)
    return classifier.head[-1](numbers)[None], divergence  # type: ignore[index] # see `Classifier.ask`


def _others(columns: Float[Tensor, "b k"], own: int) -> Float[Tensor, "b k_minus_1"]:
    return torch.cat([columns[:, :own], columns[:, own + 1 :]], 1)


def log_probability(logits: Logits, target: Labels) -> PerRow:
    """Logarithm of p(target)."""
    return -F.cross_entropy(logits, target, reduction="none")


def l1(z: Images, x: Images) -> PerRow:
    """Mean absolute difference of the pixels, in pixel values."""
    return (z - x).abs().flatten(1).mean(1)


def l2(z: Images, x: Images) -> PerRow:
    """Root of the mean squared difference of the pixels, in pixel values; its slope at 0 is 0."""
    return l2_norm(z, x) / math.sqrt(x.shape[1:].numel())


def l1_sum(z: Images, x: Images) -> PerRow:
    """Sum of the absolute differences of the pixels, as the weights of attacks are published for."""
    return (z - x).abs().flatten(1).sum(1)


def l2_norm(z: Images, x: Images) -> PerRow:
    """Root of the sum of the squared differences; its slope at 0 is 0."""
    norm: PerRow = torch.linalg.vector_norm(z - x, dim=(1, 2, 3))
    return norm
