"""Changes the style of semantic regions, such as mouth or sky. STEEX, Jacob et al., ECCV 2022.

    min_z  -log p(target | G(z, S)) + distance_weight * sum over regions c in C of |z_c - z_c^I|^2

P. Jacob, E. Zablocki, H. Ben-Younes, M. Chen, P. Perez, M. Cord, "STEEX: steering counterfactual explanations
with semantics", ECCV 2022: Algorithm 1. The layout S of the query stays as it is, its styles z move: Adam, a
fixed number of steps. C are all regions, or those that the user names. A run of `sweep` and `rather tune`
choose the weight as the supplement does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, final

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from rather.config.settings import NameList, indices
from rather.core import Classifier, Goal, Images, Loadable, Noise, SearchResult
from rather.generators._styled import Codes
from rather.generators.frozen import Bundled
from rather.generators.semantic import Semantic, changes_by_region
from rather.latents.search import LatentSearch, latent_result
from rather.search.descend import Rows, on_grid
from rather.search.losses import goal_loss


@final
class STEEX(LatentSearch):
    """Minimise -log p(target | G(z, S)) + distance_weight * sum_c |z_c - z_c^I|^2 over styles z of regions c."""

    gradient = "optional"

    generator: Loadable[Annotated[Semantic, Bundled("semantic")]]
    """Generator that segments the queries, encodes each region's style, and decodes layouts and styles."""
    regions: NameList = ()
    """Names of the regions whose style may change; by default all."""
    steps: PositiveInt = 100
    """Number of Adam steps."""
    lr: PositiveFloat = 0.01
    """Learning rate of Adam, in units of the style codes: those of a region of mean size lie in [-1, 1]."""
    distance_weight: NonNegativeFloat = 0.3
    """Weight of the distance, the sum of squared changes of the codes; larger keeps the answer closer to the image."""

    @model_validator(mode="after")
    def _knows_regions(self) -> STEEX:
        self._free_regions()
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`, `layout`. Info: `regions`, how far each style moved and its share of the change."""
        self.generator.check_images(classifier)
        with torch.no_grad():
            layout = self.generator.segment(x)
            start = self.generator.encode(x, layout)
        free, paint = torch.tensor(self._free_regions(), device=x.device), self.generator.decoder(layout)

        def whole(z: Tensor, rows: Rows) -> Codes:
            return start[rows].index_copy(1, free, z)  # the other regions stay

        def decode(z: Tensor, rows: Rows) -> Images:
            return paint(whole(z, rows), rows).clamp(0, 1)

        def objective(z: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
            loss, _ = goal_loss(classifier, on_grid(decode(z, rows)), goal[rows])
            distance = (z - start[rows][:, free]).square().sum((1, 2))
            return loss + self.distance_weight * distance, torch.zeros_like(rows, dtype=torch.bool)

        descent = self.minimize(objective, start[:, free], classifier, noise, steps=self.steps, lr=self.lr)
        found = latent_result(descent, decode, classifier, goal)
        moved = (whole(descent.end, torch.arange(len(x), device=x.device)) - start).norm(dim=2)
        reconstruction = torch.stack([*found.artifacts["reconstruction"]])
        changed = changes_by_region(on_grid(found.images), reconstruction, layout)  # of images as they are saved
        by_region = [
            self.generator.values_by_region(regions, {"style": far, "change": share})
            for regions, far, share in zip(layout, moved, changed, strict=True)
        ]
        return replace(
            found,
            artifacts={**found.artifacts, "layout": [*self.generator.draw(layout)]},
            info={**found.info, "regions": by_region},
        )

    def _free_regions(self) -> list[int]:
        names = self.generator.regions
        return indices(self.regions or names, names, "steex.regions")
