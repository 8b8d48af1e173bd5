"""Generative counterfactual introspection, Liu, Kailkhura, Loveland and Han (2019).

    min_z  weight * CE(C(G(z)), c') + |x - G(z)|_1

S. Liu, B. Kailkhura, D. Loveland, Y. Han, "Generative counterfactual introspection for explainable deep
learning", GlobalSIP 2019: equation 2, the relaxation of equation 1. A *criticism* has another class c' as its
goal, a *prototype* more confidence in the class that the query has (`Goal.prototype`). The paper bisects the
weight: `Minimal(method=Introspection(...), setting="weight", loose=100, tight=0.01)`; `loose` is the larger
one, for the weight is that of the class, not of the distance.
Ours: |x - G(z)|_1 is a mean over the pixels, so that a weight means the same for pictures of any size; Adam
starts from the query's own latents and runs on after the goal is reached; of the 8-bit pictures that reached
it the nearest to the query is the answer. The attributes of the paper's second experiment are the latents of
another generator.
"""

from __future__ import annotations

from typing import Annotated, final

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.generators.autoencoder import Autoencoder, Latents
from rather.generators.frozen import Bundled
from rather.latents.search import decoder, encoded, found_on
from rather.search.descend import Rows, descend, on_grid
from rather.search.losses import l1, toward


@final
class Introspection(Method):
    """Minimise class_weight * CE(C(G(z)), c') + mean |x - G(z)| over latents z, and keep the nearest success."""

    generator: Annotated[Autoencoder, Bundled("gan")]  # as the paper's: a DCGAN with 10 latents
    """Encodes the queries and decodes what is found."""
    class_weight: PositiveFloat = 0.03
    """Lambda, the weight of the class against that of the distance."""
    steps: PositiveInt = 300
    """Adam steps, at most."""
    lr: PositiveFloat = 0.1
    """Learning rate, in units of the latents."""
    patience: NonNegativeInt = 50
    """For how many steps to go on, once the goal is reached, without a nearer picture; 0 stops there."""
    num_path_frames: NonNegativeInt = 6
    """Pictures of the search path to keep, about."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Every random number is left alone: the descent has none."""
        del noise
        start = encoded(self.generator, classifier, x)

        def objective(z: Latents, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
            image = self.generator.decode(z).clamp(0, 1)
            loss, reached = toward(classifier, on_grid(image), goal[rows])
            distance = l1(image, x[rows])
            return self.class_weight * loss + distance, reached, distance

        path = descend(
            objective, start, steps=self.steps, lr=self.lr, patience=self.patience, frames=self.num_path_frames
        )
        return found_on(path, start, decoder(self.generator), classifier, goal)
