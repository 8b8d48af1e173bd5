"""Moves latents by the gradient of classifiers of the latents themselves. Clarity, Theobald, 2023.

    min_z  1/M sum_m L(C_m(z), target) + distance_weight * mean (z - z0)^2,   z0 the query's;   decoded at the end

C. Theobald, "Clarity: an improved gradient method for producing quality visual counterfactual explanations",
slides of 21 April 2023, after C. Theobald et al., 2022. With one member it is the slides' latent classifier.
Ours, where the slides are silent: Adam, the distance, and the end. When the ensemble is `confidence` sure of
a row, its image is decoded and the explained classifier judges its 8 bits. Unless that reaches the goal, the
search goes on, towards more confidence, and asks again: after the n-th failure n steps later. So it decodes
seldom, which makes it faster than REVISE.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, final

import torch
from annotated_types import Gt, Lt
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import NOT_GIVEN, Classifier, Goal, Images, Loadable, Method, Noise, SearchResult
from rather.generators.autoencoder import Latents
from rather.latents.classifiers import LatentClassifiers
from rather.latents.search import decoded, decoder, encode_queries, latent_result
from rather.search.descend import PathFrames, Rows, descend, on_grid
from rather.search.losses import cross_entropy


@final
class Clarity(Method):
    """Minimise the mean loss of classifiers of latents + distance_weight * mean (z - z0)^2 over latents z."""

    gradient = "none"

    latent: Loadable[LatentClassifiers | None] = NOT_GIVEN
    """Ensemble of latent classifiers to follow; not needed if the explained classifier is such an ensemble."""
    steps: PositiveInt = 300
    """Maximum number of Adam steps."""
    lr: PositiveFloat = 0.1
    """Learning rate of Adam: roughly the change of a latent per step, in standard deviations of the prior."""
    distance_weight: NonNegativeFloat = 0.1
    """Weight of the distance, the mean squared change of the latents; larger keeps the answer closer to the image."""
    confidence: Annotated[float, Gt(0), Lt(1)] = 0.9
    """Probability of the target, by the latent classifiers, from which on the image is decoded and judged."""
    num_path_frames: PathFrames = 6

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`, `reconstruction`. Evaluations: of the ensemble on latents, the classifier on images."""
        del noise
        latent = self._latent_of(classifier)
        start, decode = encode_queries(latent.autoencoder, classifier, x), decoder(latent.autoencoder)
        sure = Goal(goal.target, torch.full_like(goal.confidence, self.confidence))
        judged, wait = torch.zeros_like(goal.target), torch.zeros_like(goal.target)

        def objective(z: Latents, rows: Rows) -> tuple[Tensor, Tensor]:
            logits = latent.logits(z)
            loss = cross_entropy(logits, goal.target[rows])
            promising = sure[rows].reached(logits.detach().log_softmax(-1).mean(0)) & (wait[rows] == 0)
            wait[rows] = (wait[rows] - 1).clamp(min=0)
            success = torch.zeros_like(promising)
            if promising.any():
                some = rows[promising]
                images = on_grid(decoded(decode, z.detach()[promising], some))
                success[promising] = goal[some].reached(classifier.probabilities(images).log())
                judged[some] += 1
                wait[some] = judged[some] - 1
            return loss + self.distance_weight * (z - start[rows]).square().mean(1), success

        descent = descend(objective, start, steps=self.steps, lr=self.lr, frames=self.num_path_frames)
        found = latent_result(descent, decode, classifier, goal)
        return replace(found, evaluations=found.evaluations + judged)

    def _latent_of(self, classifier: Classifier) -> LatentClassifiers:
        latent = LatentClassifiers.of(classifier) if self.latent is None else self.latent
        if latent is None:
            raise RatherError(
                "GEN-MISSING",
                where="clarity.latent",
                why=f"{classifier.name} is no classifier of latents itself",
                do="Train an ensemble of them: rather train latent-classifier",
            )
        if latent.classes != classifier.classes:
            raise RatherError(
                "MODEL-CLASSES", where=latent.name, why=f"not the classes of {classifier.name}, in their order"
            )
        return latent
