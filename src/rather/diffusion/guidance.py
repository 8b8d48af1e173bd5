"""Classifier guidance of a denoiser as counterfactuals use it: DiME, Jeanneret, Simon and Jurie (2022).

    mu <- mu - variance * ( scale * grad L(C(x_t), target) / sqrt(a) + distance_weight * sign(z - x) )

G. Jeanneret, L. Simon, F. Jurie, "Diffusion models for counterfactual explanations", ACCV 2022. x_t is some
image without noise of which the classifier is asked, z the noisy one; L = -log p / (1 - p), of two classes
the difference of their logits. Ours: no perceptual term.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat

from rather.core import Classifier, Goal, Images, Labels, SearchResult
from rather.generators.noise_schedule import NoiseSchedule, Noisy, to_unit
from rather.search.best import Best
from rather.search.descend import Rows
from rather.search.losses import PerRow, member_logits, refuse_without_gradient

#: Weights of the classifier's gradient, tried in this order.
Scales = Annotated[tuple[PositiveFloat, ...], Field(min_length=1, max_length=10)]


def log_odds(classifier: Classifier, z: Images, target: Labels) -> PerRow:
    """Logarithm of p / (1 - p) of the target, the mean over the members of an ensemble.

    Raises:
        RatherError: MODEL-GRADIENT if a gradient is wanted and the classifier's answer has none.
    """
    logits = member_logits(classifier, z)
    refuse_without_gradient(classifier, z, logits)
    mine = target[None, :, None].expand(len(logits), -1, 1)
    others = logits.scatter(2, mine, -torch.inf).logsumexp(2)
    odds: PerRow = (logits.gather(2, mine)[:, :, 0] - others).mean(0)
    return odds


def away_from_target(classifier: Classifier, clean: Noisy, goal: Goal) -> Noisy:
    """The gradient of -log p / (1 - p) at images without noise; none for a row where it is not finite."""
    with torch.enable_grad():
        clean = clean.detach().requires_grad_()
        odds = log_odds(classifier, to_unit(clean), goal.target)
        (gradient,) = torch.autograd.grad(-odds.sum(), clean)
    return torch.where(gradient.isfinite().flatten(1).all(1)[:, None, None, None], gradient, 0)


def pull(gradient: Noisy, schedule: NoiseSchedule, t: int, *, scale: float) -> Noisy:
    """What the gradient at the image is worth at level t."""
    return gradient * (scale / math.sqrt(schedule.alpha_bar[t]))


def climb(
    scales: Sequence[float],
    search: Callable[[float, Rows], SearchResult],
    classifier: Classifier,
    x: Images,
    goal: Goal,
) -> SearchResult:
    """For each row the answer at the first scale that brings it to its goal, or else its best.

    Args:
        scales: in the order in which they are tried.
        search: of a scale and the rows that are not at their goal yet.
        classifier: that judges.
        x: the queries.
        goal: of each.
    """
    best, rows = Best(classifier, x, goal), torch.arange(len(x), device=x.device)
    for scale in scales:
        found = search(scale, rows)
        reached = best.offer(rows, replace(found, info={**found.info, "scale": [scale] * len(rows)}))
        rows = rows[~reached]
        if not len(rows):
            break
    return best.found()
