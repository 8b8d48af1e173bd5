"""Clarity, Theobald (2023): gradient descent on latents that an ensemble of classifiers of latents judges.

    min_z  1/M sum_m L(C_m(z), target) + distance_weight * d(z, z0),   z0 the query's latents;   decoded at the end

C. Theobald, "Clarity: an improved gradient method for producing quality visual counterfactual explanations",
slides of 21 April 2023, after C. Theobald et al., 2022. With one member it is the slides' latent classifier.
Ours, where the slides are silent: Adam; d is the mean square; and the end. When the ensemble is `confidence`
sure of a row, its picture is decoded and the classifier that is explained is asked of its 8 bits; unless that
says that the goal is reached, the search goes on, towards more confidence, and asks again: after the n-th
refusal n steps later. So the decoder is seldom asked, which is what makes this faster than REVISE.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, final

import torch
from annotated_types import Gt, Lt
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.generators.autoencoder import Latents
from rather.latents.classifiers import LatentClassifiers
from rather.latents.search import decoded, decoder, encoded, found_on
from rather.search.descend import Rows, descend, on_grid
from rather.search.losses import cross_entropy


@final
class Clarity(Method):
    """Minimise the mean loss of classifiers of latents + distance_weight * mean (z - z0)^2 over latents z."""

    latent: LatentClassifiers | None = None
    """The ensemble to follow; None if the classifier that is explained is one of latents itself."""
    steps: PositiveInt = 300
    """Adam steps, at most."""
    lr: PositiveFloat = 0.1
    """Learning rate, in units of the latents."""
    distance_weight: NonNegativeFloat = 0.1
    """Weight of the distance."""
    confidence: Annotated[float, Gt(0), Lt(1)] = 0.9
    """Of the ensemble of latent classifiers, from which on the picture is decoded and judged."""
    num_path_frames: NonNegativeInt = 6
    """Pictures of the search path to keep, about."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Evaluations: of the ensemble on latents, and of the classifier on decoded pictures."""
        del noise
        latent = self._follow(classifier)
        generator, decode = latent.autoencoder, decoder(latent.autoencoder)
        start = encoded(generator, classifier, x)
        sure = Goal(goal.target, torch.full_like(goal.confidence, self.confidence))
        asked, wait = torch.zeros_like(goal.target), torch.zeros_like(goal.target)

        def objective(z: Latents, rows: Rows) -> tuple[Tensor, Tensor]:
            logits = latent.logits(z)
            loss = cross_entropy(logits, goal.target[rows])
            maybe = sure[rows].reached(logits.detach().log_softmax(-1).mean(0)) & (wait[rows] == 0)
            wait[rows] = (wait[rows] - 1).clamp(min=0)
            done = torch.zeros_like(maybe)
            if maybe.any():
                pictures = on_grid(decoded(decode, z.detach()[maybe], rows[maybe]))
                done[maybe] = goal[rows[maybe]].reached(classifier.probabilities(pictures).log())
                asked[rows[maybe]] += 1
                wait[rows[maybe]] = asked[rows[maybe]] - 1
            return loss + self.distance_weight * (z - start[rows]).square().mean(1), done

        path = descend(objective, start, steps=self.steps, lr=self.lr, frames=self.num_path_frames)
        found = found_on(path, start, decode, classifier, goal)
        return replace(found, evaluations=found.evaluations + asked)

    def _follow(self, classifier: Classifier) -> LatentClassifiers:
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
