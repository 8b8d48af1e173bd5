"""Moves through a generator's latents until the class changes. REVISE, Joshi et al., 2019.

    min_z  1/M sum_m -log p_m(target | G(z)) + distance_weight * d(x, G(z))

S. Joshi, O. Koyejo, W. Vijitbenjaronk, B. Kim, J. Ghosh, "Towards realistic individual recourse and
actionable explanations in black-box decision making systems", 2019: L_Revise of the Clarity slides and, of an
ensemble of M classifiers, L_Revise-e. With the Euclidean distance it is xGEM (S. Joshi, O. Koyejo, B. Kim,
J. Ghosh, "xGEMs: generating examplars to explain black-box models", 2018).
Ours: Adam, from the query's own latents on; d is a mean over the pixels; the search ends when the 8-bit image
reaches the goal or, with patience, when none nearer to the query is found any more.
"""

from __future__ import annotations

from typing import Final, Literal, final

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Loadable, Noise, SearchResult
from rather.generators.autoencoder import Autoencoder, Latents
from rather.latents.search import LatentSearch, decoder, encode_queries, latent_result
from rather.search.descend import Rows, on_grid
from rather.search.losses import goal_loss, l1, l2

_DISTANCES: Final = {"l1": l1, "l2": l2}


@final
class REVISE(LatentSearch):
    """Minimise -log p(target | G(z)) + distance_weight * d(x, G(z)) over latents z, from those of x on."""

    gradient = "optional"

    generator: Loadable[Autoencoder]
    """Generator that encodes the queries and decodes latents; trained on images of their kind."""
    steps: PositiveInt = 300
    """Maximum number of Adam steps."""
    lr: PositiveFloat = 0.1
    """Learning rate of Adam: roughly the change of a latent per step, in standard deviations of the prior."""
    distance_weight: NonNegativeFloat = 1.0
    """Weight of the distance, a mean over the pixels; larger keeps the answer closer to the image."""
    distance: Literal["l1", "l2"] = "l1"
    """Distance of the images: l1 is the mean absolute pixel difference, l2 the root of the mean square."""
    patience: NonNegativeInt = 0
    """Steps to go on after a success without finding a nearer one; 0 stops at the first success."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`, `reconstruction`. Only cma draws random numbers."""
        start = encode_queries(self.generator, classifier, x)

        def objective(z: Latents, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
            image = self.generator.decode(z).clamp(0, 1)
            loss, success = goal_loss(classifier, on_grid(image), goal[rows])
            distance = _DISTANCES[self.distance](image, x[rows])
            return loss + self.distance_weight * distance, success, distance

        descent = self.minimize(
            objective, start, classifier, noise, steps=self.steps, lr=self.lr, patience=self.patience
        )
        return latent_result(descent, decoder(self.generator), classifier, goal)
