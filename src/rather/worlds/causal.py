"""Is an explanation true? Questions about classifiers whose causes are known, and scores of the answers.

    questions = ask(known, rows=200)
    images = ...  # anybody's counterfactuals of questions.images, towards questions.target
    scores = judge(questions, images)

Nothing here knows a method: what is judged are pictures.
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
from rather.worlds.trained_bias import Known

ROWS: Final = 200
LOOKED_AT: Final = 20  # of the changes of all explanations, the largest first

PerRow = Float[Tensor, " n"]


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Questions:
    """Ordinary pictures, each to become the class that the classifier does not see in it."""

    known: Known
    images: Images
    ids: tuple[str, ...]
    target: Labels
    truth: Images  # the same scenes with only the cause changed that the classifier follows
    solved: Bool[Tensor, " n"]  # by the truth: it is a counterfactual, and there is one cause to name

    def __len__(self) -> int:
        return len(self.images)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Scores:
    """How true the explanations of a classifier are; what missed its goal explains nothing."""

    found: Bool[Tensor, " n"]  # of all rows: at the goal
    changes: Float[Tensor, "m a"]  # of each success by how much each cause changed, as the world reads it
    agreement: float  # `rank_agreement` of these with the true effects
    cosine: float  # `cosine_agreement`
    inside: PerRow  # `inside_true_change` of the successes that have a truth
    region: PerRow  # the same of a change that is spread evenly: the share of the picture that truly differs
    distance: PerRow  # `distance_to_truth` of the same rows
    seen: dict[str, float]  # of the largest changes, the share that is each cause's
    names: str | None  # the cause that is seen most often; None if nothing changed
    suspicion: float  # the largest share of a cause that is not the label's own


def ask(known: Known, rows: int = ROWS) -> Questions:
    """Questions about a classifier: the first ordinary scenes of its world, whatever they are."""
    recipe = known.recipe
    scenes = recipe.ordinary(rows)
    images = recipe.world.draw(scenes)
    target = 1 - known.classifier.probabilities(images).argmax(1)
    truth = known.truth(scenes, target == 1)
    solved = known.classifier.probabilities(truth).argmax(1) == target
    ids = tuple(f"{recipe.label}-{n:05d}" for n in range(rows))
    return Questions(known=known, images=images, ids=ids, target=target, truth=truth, solved=solved)


def judge(questions: Questions, images: Images) -> Scores:
    """Scores of answers, on the 8-bit grid, each judged by the classifier itself.

    Args:
        questions: that were asked; n of them.
        images: the answers, in the same order.

    Raises:
        RatherError: DATA-SHAPE if they are not as many, or of another shape.
    """
    known = questions.known
    if images.shape != questions.images.shape:
        raise RatherError(
            "DATA-SHAPE",
            where=f"answers {tuple(images.shape)}",
            why=f"the questions are {tuple(questions.images.shape)}",
        )
    images = on_grid(images.clamp(0, 1))
    found = known.classifier.probabilities(images).argmax(1) == questions.target
    causes, world = known.recipe.world.causes, known.recipe.world
    changes = (world.read(images) - world.read(questions.images))[found]
    some = bool(found.any())
    seen = largest_changes(changes, LOOKED_AT) if some else torch.zeros(len(causes))
    effects = torch.stack([known.effects[cause].log_odds.mean() for cause in causes])
    both = found & questions.solved
    answers, queries, truth = images[both], questions.images[both], questions.truth[both]
    return Scores(
        found=found,
        changes=changes,
        agreement=float(rank_agreement(changes, effects)) if some else float("nan"),
        cosine=float(cosine_agreement(changes, effects)) if some else float("nan"),
        inside=inside_true_change(answers, queries, truth),
        region=(truth != queries).any(1).double().flatten(1).mean(1),
        distance=distance_to_truth(answers, queries, truth),
        seen=dict(zip(causes, seen.tolist(), strict=True)),
        names=causes[int(seen.argmax())] if seen.any() else None,
        suspicion=max(share for cause, share in zip(causes, seen.tolist(), strict=True) if cause != known.recipe.cause),
    )


def detection(planted: Sequence[Scores], clean: Sequence[Scores]) -> Float[Tensor, ""]:
    """How well the suspicion that is raised tells planted from clean: `area_under_curve`."""
    return area_under_curve(*(torch.tensor([scores.suspicion for scores in group]) for group in (planted, clean)))
