"""Losses, one number per row: no mean over the batch, so that a row does not depend on its neighbours."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from rather.config.errors import RatherError
from rather.core import Classifier, Features, Goal, Images, Labels, Logits

PerRow = Float[Tensor, " b"]


@runtime_checkable
class MembersHead(Protocol):
    """The head of an ensemble whose members share their body, and are asked in one go."""

    def each(self, features: Features) -> Float[Tensor, "m b k"]:
        """What each member says of a map."""


def member_logits(classifier: Classifier, x: Images) -> Float[Tensor, "m b k"]:
    """The logits of every member of an ensemble; of a single classifier, its own."""
    if isinstance(classifier.head, MembersHead):
        return classifier.head.each(classifier.features(x))
    return torch.stack([member(x) for member in classifier.members])


def refuse_without_gradient(classifier: Classifier, z: Tensor, logits: Tensor) -> None:
    """Refuse a classifier whose answer to points that want a gradient has none.

    Raises:
        RatherError: MODEL-GRADIENT.
    """
    if z.requires_grad and not logits.requires_grad:
        raise RatherError(
            "MODEL-GRADIENT",
            where=classifier.name,
            why="its answer cannot be differentiated",
            do="Take a method that needs no gradient, such as goyal or nearest",
        )


def cross_entropy(logits: Float[Tensor, "m b k"], target: Labels) -> PerRow:
    """1/M sum_m -log p_m(target): the mean over the members of an ensemble of each one's loss."""
    members, rows, _ = logits.shape
    each = F.cross_entropy(logits.flatten(0, 1), target.repeat(members), reduction="none")
    return each.view(members, rows).mean(0)


def toward(classifier: Classifier, z: Images, goal: Goal) -> tuple[PerRow, Bool[Tensor, " b"]]:
    """How far images are from their goal (cross-entropy), and which are there, asking each member once.

    Raises:
        RatherError: MODEL-GRADIENT if a gradient is wanted and the classifier's answer has none.
    """
    logits = member_logits(classifier, z)
    refuse_without_gradient(classifier, z, logits)
    return cross_entropy(logits, goal.target), goal.reached(logits.log_softmax(-1).mean(0))


def log_probability(logits: Logits, target: Labels) -> PerRow:
    """Logarithm of p(target)."""
    return -F.cross_entropy(logits, target, reduction="none")


def l1(z: Images, x: Images) -> PerRow:
    """Mean absolute difference of the pixels, in pixel values."""
    return (z - x).abs().flatten(1).mean(1)


def l2(z: Images, x: Images) -> PerRow:
    """Root of the mean squared difference of the pixels, in pixel values; its slope at 0 is 0."""
    norm: PerRow = torch.linalg.vector_norm(z - x, dim=(1, 2, 3))
    return norm / math.sqrt(x.shape[1:].numel())


def l1_sum(z: Images, x: Images) -> PerRow:
    """Sum of the absolute differences of the pixels: what the weights of attacks are given for."""
    return (z - x).abs().flatten(1).sum(1)
