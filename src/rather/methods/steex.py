"""STEEX, Jacob, Zablocki, Ben-Younes, Chen, Perez and Cord (2022): change the style of semantic regions.

    min_z  -log p(target | G(z, S)) + distance_weight * sum over regions c in C of |z_c - z_c^I|^2

P. Jacob et al., "STEEX: steering counterfactual explanations with semantics", ECCV 2022: Algorithm 1. The
layout S of the query stays as it is, its styles z move: Adam, a fixed number of steps. C are all regions, or
those that the user names. A run of `sweep` and `rather tune` choose the weight as the supplement does.
"""

from __future__ import annotations

from typing import Annotated, final

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from rather.config.settings import NameList, indices
from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.generators._styled import Codes, Layout
from rather.generators.frozen import Bundled
from rather.generators.semantic import Semantic, changes_by_region
from rather.latents.search import found_on
from rather.search.descend import Rows, descend, on_grid
from rather.search.losses import toward


@final
class STEEX(Method):
    """Minimise -log p(target | G(z, S)) + distance_weight * sum_c |z_c - z_c^I|^2 over styles z of regions c."""

    generator: Annotated[Semantic, Bundled("semantic")]
    """Segments the queries, gives each region's style, and makes images of both."""
    regions: NameList = ()
    """Names of the regions whose style may change; by default all."""
    steps: PositiveInt = 100
    """Adam steps."""
    lr: PositiveFloat = 0.01
    """Learning rate, in units of the codes; those of a region as large as the mean one lie in [-1, 1]."""
    distance_weight: NonNegativeFloat = 0.3
    """Lambda, the weight of the distance."""
    num_path_frames: NonNegativeInt = 6
    """Pictures of the search path to keep, about."""

    @model_validator(mode="after")
    def _knows_regions(self) -> STEEX:
        self._free()
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Pictures: `layout`. Facts: how far each region's style moved, and its share of the change."""
        del noise
        self.generator.check_images(classifier)
        layout, start = self._encoded(x)
        free = torch.zeros_like(start)
        free[:, self._free()] = 1

        painted = self.generator.decoder(layout)

        def decode(z: Codes, rows: Rows) -> Images:
            return painted(z, rows).clamp(0, 1)

        def objective(z: Codes, rows: Rows) -> tuple[Tensor, Tensor]:
            z = torch.where(free[rows] > 0, z, start[rows])  # of the other regions no gradient passes
            loss, _ = toward(classifier, on_grid(decode(z, rows)), goal[rows])
            away = (z - start[rows]).square().sum((1, 2))
            return loss + self.distance_weight * away, torch.zeros_like(rows, dtype=torch.bool)

        path = descend(objective, start, steps=self.steps, lr=self.lr, frames=self.num_path_frames)
        found = found_on(path, start, decode, classifier, goal)
        moved = (path.end - start).norm(dim=2)
        again = torch.stack([*found.artifacts["reconstruction"]])
        changed = changes_by_region(on_grid(found.images), again, layout)  # of pictures as they are saved
        return SearchResult(
            images=found.images,
            steps=found.steps,
            evaluations=found.evaluations,
            artifacts={**found.artifacts, "layout": [*self.generator.draw(layout)]},
            info={
                **found.info,
                "regions": [
                    self.generator.values_by_region(where, {"style": far, "change": share})
                    for where, far, share in zip(layout, moved, changed, strict=True)
                ],
            },
        )

    def _free(self) -> list[int]:
        names = self.generator.regions
        return indices(self.regions or names, names, "steex.regions")

    @torch.no_grad()
    def _encoded(self, x: Images) -> tuple[Layout, Codes]:
        layout = self.generator.segment(x)
        return layout, self.generator.encode(x, layout)
