"""REVISE, Joshi, Koyejo, Vijitbenjaronk, Kim and Ghosh (2019): gradient descent on a generator's latents.

    min_z  1/M sum_m L(C_m(G(z)), target) + distance_weight * d(x, G(z))

S. Joshi, O. Koyejo, W. Vijitbenjaronk, B. Kim, J. Ghosh, "Towards realistic individual recourse and
actionable explanations in black-box decision making systems", 2019: L_Revise of the Clarity slides and, of an
ensemble of M classifiers, L_Revise-e. With the Euclidean distance it is xGEM (S. Joshi, O. Koyejo, B. Kim,
J. Ghosh, "xGEMs: generating examplars to explain black-box models", 2018).
Ours: Adam from the query's own latents on; d is a mean over the pixels; the search ends when the 8-bit
picture reaches the goal, or, with patience, when none nearer to the query is found any more.
"""

from __future__ import annotations

from typing import Final, Literal, final

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.generators.autoencoder import Autoencoder, Latents
from rather.latents.search import decoder, encoded, found_on
from rather.search.descend import Rows, descend, on_grid
from rather.search.losses import l1, l2, toward

_DISTANCES: Final = {"l1": l1, "l2": l2}


@final
class REVISE(Method):
    """Minimise -log p(target | G(z)) + distance_weight * d(x, G(z)) over latents z, from those of x on."""

    generator: Autoencoder
    """Encodes the queries and decodes what is found."""
    steps: PositiveInt = 300
    """Adam steps, at most."""
    lr: PositiveFloat = 0.1
    """Learning rate, in units of the latents."""
    distance_weight: NonNegativeFloat = 1.0
    """Weight of the distance."""
    distance: Literal["l1", "l2"] = "l1"
    """Of the pictures: the mean absolute difference of the pixels, or the root of the mean square."""
    patience: NonNegativeInt = 0
    """For how many steps to go on, once the goal is reached, without a nearer picture; 0 stops there."""
    num_path_frames: NonNegativeInt = 6
    """Pictures of the search path to keep, about."""

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Every random number is left alone: the descent has none."""
        del noise
        start = encoded(self.generator, classifier, x)
        away = _DISTANCES[self.distance]

        def objective(z: Latents, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
            image = self.generator.decode(z).clamp(0, 1)
            loss, reached = toward(classifier, on_grid(image), goal[rows])
            distance = away(image, x[rows])
            return loss + self.distance_weight * distance, reached, distance

        path = descend(
            objective, start, steps=self.steps, lr=self.lr, patience=self.patience, frames=self.num_path_frames
        )
        return found_on(path, start, decoder(self.generator), classifier, goal)
