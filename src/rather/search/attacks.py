"""Ingredients of pixel attacks: Madry et al. (2018), their plain gradient, and Carlini and Wagner (2017).

    pgd, gd:  L = -log p(target)         cw:  L = max(0, max_k other z_k - z_target + lead),  x = (tanh w + 1) / 2

A. Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, without a bound.
N. Carlini, D. Wagner, "Towards evaluating the robustness of neural networks", IEEE Symposium on Security and
Privacy 2017: f_6 and section V.B.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.core import Classifier, Goal, Images
from rather.search.descend import Optimizer, sgd, sign_sgd, unit_box
from rather.search.losses import PerRow, goal_loss, l1_sum, l2_norm, member_logits, require_gradient

Points = Float[Tensor, "b c h w"]
AttackName = Literal["pgd", "cw", "gd"]
DistanceName = Literal["l1", "l2"]
_ENDS: Final = 3.5  # of w: there x is so near to black and to white that its 8 bits are those of black and white


@final
@dataclass(frozen=True, kw_only=True)
class AttackRecipe:
    """The loss that an attack descends, how it steps, and the space in which it moves."""

    loss: Callable[[Classifier, Images, Goal], tuple[PerRow, Bool[Tensor, " b"]]]
    optimizer: Optimizer
    start: Callable[[Images], Points]
    project: Callable[[Points], Points]
    image: Callable[[Points], Images]


def margin(classifier: Classifier, z: Images, goal: Goal) -> tuple[PerRow, Bool[Tensor, " b"]]:
    """By how much the best other class leads the target, at least 0, and which rows are at their goal.

    A goal with a confidence asks for a lead: one that, between two classes, is just enough for it.

    Raises:
        RatherError: MODEL-GRADIENT if a gradient is wanted and the classifier's output has none.
    """
    logits = member_logits(classifier, z)
    require_gradient(classifier, z, logits)
    log_p, target = logits.log_softmax(-1).mean(0), goal.target[:, None]
    best_other = log_p.scatter(1, target, -torch.inf).amax(1)
    lead = goal.confidence.logit(1e-6).clamp(min=0)
    return (best_other - log_p.gather(1, target)[:, 0] + lead).relu(), goal.reached(log_p)


def _pixels(x: Images) -> Images:
    return x


def _arctanh(x: Images) -> Points:
    return _within_ends((2 * x - 1).atanh())


def _within_ends(w: Points) -> Points:
    return w.clamp(-_ENDS, _ENDS)


def _tanh(w: Points) -> Images:
    return (w.tanh() + 1) / 2


ATTACKS: Final[Mapping[AttackName, AttackRecipe]] = {
    "pgd": AttackRecipe(loss=goal_loss, optimizer=sign_sgd, start=_pixels, project=unit_box, image=_pixels),
    "gd": AttackRecipe(loss=goal_loss, optimizer=sgd, start=_pixels, project=unit_box, image=_pixels),
    "cw": AttackRecipe(loss=margin, optimizer=sgd, start=_arctanh, project=_within_ends, image=_tanh),
}
#: Sums over the pixels, as the weights of attacks are published for.
DISTANCES: Final[Mapping[DistanceName, Callable[[Images, Images], PerRow]]] = {"l1": l1_sum, "l2": l2_norm}
