"""Classifier guidance of a denoiser as DiME and its successors use it: Jeanneret, Simon and Jurie (2022).

    mu <- mu - variance * ( scale * grad L(C(x_t), target) / sqrt(a) + distance_weight * sign(z - x) )

G. Jeanneret, L. Simon, F. Jurie, "Diffusion models for counterfactual explanations", ACCV 2022. z is the noisy
image at level t, x_t an image without noise that the classifier judges in its place; L = -log p / (1 - p), of
two classes the difference of their logits. Ours: no perceptual term.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat

from rather.core import Classifier, Goal, Images, Noise, SearchResult
from rather.diffusion.refinement import Mask
from rather.generators.noise_schedule import NoiseSchedule, Noisy, to_unit
from rather.search.best import DENOISER_CALLS, Best
from rather.search.losses import PerRow, logits_and_others

# Settings that DiME and its successors share.
Scales = Annotated[
    tuple[PositiveFloat, ...],
    Field(
        min_length=1,
        max_length=10,
        description="Weights of the classifier's gradient, tried in this order until the goal is reached.",
    ),
]
SignWeight = Annotated[
    NonNegativeFloat,
    Field(description="Weight of the distance, the sum of absolute pixel differences; larger keeps the answer closer."),
]
#: (scale, queries, goal, noise) -> images and, of a method that has them, masks of what may change.
Guided = Callable[[float, Images, Goal, Noise], tuple[Images, Mask | None]]


def log_odds(classifier: Classifier, z: Images, goal: Goal) -> PerRow:
    """Logarithm of p / (1 - p) of the target, the mean over the members of an ensemble.

    Where a label is the target, what the other labels have moved is taken off: see `logits_and_others`.

    Raises:
        RatherError: MODEL-GRADIENT if a gradient is wanted and the classifier's output has none.
    """
    logits, moved = logits_and_others(classifier, z, goal)
    index = goal.target[None, :, None].expand(len(logits), -1, 1)
    others = logits.scatter(2, index, -torch.inf).logsumexp(2)
    odds: PerRow = (logits.gather(2, index)[:, :, 0] - others).mean(0)
    return odds - moved


def guidance_gradient(classifier: Classifier, clean: Noisy, goal: Goal) -> Noisy:
    """The gradient of L at images without noise; 0 for a row where it is not finite."""
    with torch.enable_grad():
        clean = clean.detach().requires_grad_()
        odds = log_odds(classifier, to_unit(clean), goal)
        (gradient,) = torch.autograd.grad(-odds.sum(), clean)
    return torch.where(gradient.isfinite().flatten(1).all(1)[:, None, None, None], gradient, 0)


def scale_grad(gradient: Noisy, schedule: NoiseSchedule, t: int, *, scale: float) -> Noisy:
    """The gradient at an image without noise, brought to level t: scale * gradient / sqrt(a)."""
    return gradient * (scale / math.sqrt(schedule.alpha_bar[t]))


def try_scales(
    scales: Sequence[float],
    guided: Guided,
    classifier: Classifier,
    x: Images,
    goal: Goal,
    *,
    noise: Noise,
    steps: int,
    calls: int,
) -> SearchResult:
    """For each row the image of the first scale that brings it to its goal, or else its best.

    Args:
        scales: in the order in which they are tried.
        guided: computes the images of the rows that are not at their goal yet; each scale gets the same noise.
        classifier: judges the images.
        x: the queries.
        goal: of each.
        noise: of each.
        steps: of the search of one scale, each of which asks the classifier once.
        calls: forward passes of the denoiser in it.
    """
    best, rows = Best(classifier, x, goal), torch.arange(len(x), device=x.device)
    for scale in scales:
        images, mask = guided(scale, x[rows], goal[rows], noise[rows])
        count = torch.full_like(rows, steps)
        found = SearchResult(
            images=images,
            steps=count,
            evaluations=count,
            artifacts={} if mask is None else {"mask": [*mask]},
            info={
                **({} if mask is None else {"mask_share": mask.flatten(1).mean(1).tolist()}),
                DENOISER_CALLS: [calls] * len(rows),
                "scale": [scale] * len(rows),
            },
        )
        rows = rows[~best.offer(rows, found)]
        if not len(rows):
            break
    return best.found()
