"""Is an explanation true? Queries for classifiers whose causes are known, and scores of the counterfactuals.

    queries = ask(bias, rows=200)
    images = ...  # counterfactuals of queries.images, towards queries.target, by any method
    scores = judge(queries, images)

Only pictures are judged; nothing here knows a method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Images, Labels
from rather.metrics.ground_truth import (
    area_under_curve,
    cosine_agreement,
    distance_to_truth,
    inside_true_change,
    largest_changes,
    rank_agreement,
)
from rather.search.descend import on_grid
from rather.worlds.trained_bias import TrainedBias

ROWS: Final = 200
LARGEST: Final = 20  # changes that are looked at, of all explanations

PerRow = Float[Tensor, " n"]


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class CausalQueries:
    """Ordinary pictures, each with the class as its target that the classifier does not predict."""

    bias: TrainedBias
    images: Images
    ids: tuple[str, ...]
    target: Labels
    truth: Images  # the same scenes with nothing changed but the cause that the classifier follows
    solved: Bool[Tensor, " n"]  # whether the truth reaches the target, so that there is one cause to name

    def __len__(self) -> int:
        return len(self.images)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Scores:
    """How true the explanations of a classifier are; only pictures that reach their target are judged."""

    success: Bool[Tensor, " n"]
    changes: Float[Tensor, "m a"]  # of each success by how much each cause changed, as the world reads it
    agreement: float  # `rank_agreement` of these with the true effects
    cosine: float  # `cosine_agreement`
    inside: PerRow  # `inside_true_change` of the successes that have a truth
    region: PerRow  # the same of an even change: the share of the picture that truly differs
    distance: PerRow  # `distance_to_truth` of the same rows
    seen: dict[str, float]  # each cause's share of the largest changes
    names: str | None  # the cause with the largest share; None if nothing changed
    suspicion: float  # the largest share of a cause that is not the label's own


def ask(bias: TrainedBias, rows: int = ROWS) -> CausalQueries:
    """CausalQueries for a classifier: the first ordinary scenes of its world."""
    scenes = bias.spec.ordinary(rows)
    images = bias.spec.world.draw(scenes)
    target = 1 - bias.classifier.probabilities(images).argmax(1)
    truth = bias.truth(scenes, target == 1)
    solved = bias.classifier.probabilities(truth).argmax(1) == target
    ids = tuple(f"{bias.spec.label}-{n:05d}" for n in range(rows))
    return CausalQueries(bias=bias, images=images, ids=ids, target=target, truth=truth, solved=solved)


def judge(queries: CausalQueries, images: Images) -> Scores:
    """Scores of counterfactuals, on the 8-bit grid; success is judged by the classifier itself.

    Args:
        queries: n of them.
        images: their counterfactuals, in the same order.

    Raises:
        RatherError: DATA-SHAPE if they are not as many, or of another shape.
    """
    bias, spec = queries.bias, queries.bias.spec
    if images.shape != queries.images.shape:
        raise RatherError(
            "DATA-SHAPE",
            where=f"counterfactuals {tuple(images.shape)}",
            why=f"the queries are {tuple(queries.images.shape)}",
        )
    images = on_grid(images.clamp(0, 1))
    success = bias.classifier.probabilities(images).argmax(1) == queries.target
    causes, world = spec.world.causes, spec.world
    changes = (world.read(images) - world.read(queries.images))[success]
    some = bool(success.any())
    seen = largest_changes(changes, LARGEST) if some else torch.zeros(len(causes))
    effects = torch.stack([bias.effects[cause].log_odds.mean() for cause in causes])
    both = success & queries.solved
    judged, before, truth = images[both], queries.images[both], queries.truth[both]
    return Scores(
        success=success,
        changes=changes,
        agreement=float(rank_agreement(changes, effects)) if some else float("nan"),
        cosine=float(cosine_agreement(changes, effects)) if some else float("nan"),
        inside=inside_true_change(judged, before, truth),
        region=(truth != before).any(1).double().flatten(1).mean(1),
        distance=distance_to_truth(judged, before, truth),
        seen=dict(zip(causes, seen.tolist(), strict=True)),
        names=causes[int(seen.argmax())] if seen.any() else None,
        suspicion=max(share for cause, share in zip(causes, seen.tolist(), strict=True) if cause != spec.cause),
    )


def detection(biased: Sequence[Scores], clean: Sequence[Scores]) -> Float[Tensor, ""]:
    """How well suspicion separates biased from clean classifiers: `area_under_curve`."""
    return area_under_curve(*(torch.tensor([scores.suspicion for scores in group]) for group in (biased, clean)))
