"""Kinds of attack: signed steps, Madry et al. (2018); plain ones; and those of Carlini and Wagner (2017).

    pgd, gd: L = -log p(target)      cw: L = max(0, max_k other z_k - z_target + lead),  x = (tanh w + 1) / 2

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
from rather.search.descend import Rule, plain, sign
from rather.search.losses import PerRow, l1_sum, member_logits, refuse_without_gradient, toward

Points = Float[Tensor, "b c h w"]
Kind = Literal["pgd", "cw", "gd"]
Norm = Literal["l1", "l2"]
_ENDS: Final = 3.5  # of w: there x is so near to black and to white that its 8 bits are those of black and white


@final
@dataclass(frozen=True, kw_only=True)
class Attack:
    """What is descended, and where."""

    loss: Callable[[Classifier, Images, Goal], tuple[PerRow, Bool[Tensor, " b"]]]
    rule: Rule
    start: Callable[[Images], Points]
    project: Callable[[Points], Points]
    image: Callable[[Points], Images]


def margin(classifier: Classifier, z: Images, goal: Goal) -> tuple[PerRow, Bool[Tensor, " b"]]:
    """By how much the best other class is ahead of the target, down to 0, and which rows are at their goal.

    A goal with a confidence asks for a lead: one that, between two classes, is just enough for it.

    Raises:
        RatherError: MODEL-GRADIENT if a gradient is wanted and the classifier's answer has none.
    """
    logits = member_logits(classifier, z)
    refuse_without_gradient(classifier, z, logits)
    said, mine = logits.log_softmax(-1).mean(0), goal.target[:, None]
    best_other = said.scatter(1, mine, -torch.inf).amax(1)
    lead = goal.confidence.logit(1e-6).clamp(min=0)
    return (best_other - said.gather(1, mine)[:, 0] + lead).relu(), goal.reached(said)


def _pixels(x: Images) -> Images:
    return x


def _in_range(x: Images) -> Images:
    return x.clamp(0, 1)


def _bent(x: Images) -> Points:
    return _within((2 * x - 1).atanh())


def _within(w: Points) -> Points:
    return w.clamp(-_ENDS, _ENDS)


def _unbent(w: Points) -> Images:
    return (w.tanh() + 1) / 2


def l2_norm(z: Images, x: Images) -> PerRow:
    """Root of the sum of the squared differences; its slope at 0 is 0."""
    norm: PerRow = torch.linalg.vector_norm(z - x, dim=(1, 2, 3))
    return norm


ATTACKS: Final[Mapping[Kind, Attack]] = {
    "pgd": Attack(loss=toward, rule=sign, start=_pixels, project=_in_range, image=_pixels),
    "gd": Attack(loss=toward, rule=plain, start=_pixels, project=_in_range, image=_pixels),
    "cw": Attack(loss=margin, rule=plain, start=_bent, project=_within, image=_unbent),
}
#: Distances as the weights of attacks are given for: sums over the pixels.
DISTANCES: Final[Mapping[Norm, Callable[[Images, Images], PerRow]]] = {"l1": l1_sum, "l2": l2_norm}
