"""Moves latents, weighing the class against the change of the image. Liu et al., GlobalSIP 2019.

    min_z  class_weight * CE(C(G(z)), c') + mean |x - G(z)|

S. Liu, B. Kailkhura, D. Loveland, Y. Han, "Generative counterfactual introspection for explainable deep
learning", GlobalSIP 2019: equation 2, the relaxation of equation 1. A *criticism* has another class c' as its
goal, a *prototype* more confidence in the class that the query has (`Goal.prototype`). The paper bisects the
weight: `Minimal(method=Introspection(...), setting="class_weight", loose=100, tight=0.01)`; `loose` is the
larger one, for the weight is that of the class, not of the distance.
Ours: |x - G(z)|_1 is a mean over the pixels, so that a weight means the same for images of any size; Adam
starts from the query's own latents and runs on after the goal is reached; of the 8-bit images that reached
it the nearest to the query is the answer. Rows are computed by fours, lest an image's answer depend on the others
of its batch. `attributes` is the paper's second experiment.
"""

from __future__ import annotations

from typing import Annotated, final

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Loadable, Noise, SearchResult
from rather.generators.autoencoder import Autoencoder, Latents
from rather.generators.frozen import Bundled
from rather.latents.fours import in_fours
from rather.latents.search import LatentSearch, decoder, latent_result
from rather.search.descend import Rows, on_grid
from rather.search.losses import goal_loss, l1


@final
class Introspection(LatentSearch):
    """Minimise class_weight * CE(C(G(z)), c') + mean |x - G(z)| over latents z, and keep the nearest success."""

    gradient = "optional"

    generator: Loadable[Annotated[Autoencoder, Bundled("gan")]]  # as the paper's: a DCGAN with 10 latents
    """Generator that encodes the queries and decodes latents; trained on images of their kind."""
    class_weight: PositiveFloat = 0.03
    """Weight of the class against the mean absolute pixel difference; larger allows a larger change."""
    steps: PositiveInt = 300
    """Maximum number of Adam steps."""
    lr: PositiveFloat = 0.1
    """Learning rate of Adam: roughly the change of a latent per step, in standard deviations of the prior."""
    patience: NonNegativeInt = 50
    """Steps to go on after a success without finding a nearer one; 0 stops at the first success."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`, `reconstruction`. Only cma draws random numbers."""
        self.generator.check_images(classifier)
        with torch.no_grad():
            (start,) = in_fours(lambda part: (self.generator.encode(part),))(x)

        def objective(z: Latents, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
            image = self.generator.decode(z).clamp(0, 1)
            loss, success = goal_loss(classifier, on_grid(image), goal[rows])
            distance = l1(image, x[rows])
            return self.class_weight * loss + distance, success, distance

        steady = in_fours(objective) if self.follows_gradient(classifier) else objective  # fours repeat questions
        descent = self.minimize(steady, start, classifier, noise, steps=self.steps, lr=self.lr, patience=self.patience)
        return latent_result(descent, decoder(self.generator), classifier, goal)
