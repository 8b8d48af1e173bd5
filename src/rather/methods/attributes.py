"""Edits named attributes, such as hair or age, until the class changes. Liu et al., GlobalSIP 2019.

    min_A'  class_weight * CE(C(G(x; A')), c') + mean |x - G(x; A')|

S. Liu, B. Kailkhura, D. Loveland, Y. Han, "Generative counterfactual introspection for explainable deep
learning", GlobalSIP 2019, with known attributes: G edits x to have the attributes A', as AttGAN does. The
attribute that the classifier predicts should be `frozen`, or the search would only change that one. Ours: as
for `introspection`; A' stay in [0, 1], and begin with what the editor reads in the query.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Final, final

import torch
from jaxtyping import Float
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from rather.config.settings import NameList, indices
from rather.core import NOT_GIVEN, Classifier, Goal, Images, Loadable, LoadableImages, Noise, SearchResult
from rather.generators.editor import AttributeEditor
from rather.generators.frozen import Bundled
from rather.generators.oracle import Attributes as Values
from rather.latents.search import LatentSearch, latent_result
from rather.search.descend import Rows, on_grid, unit_box
from rather.search.losses import goal_loss, l1
from rather.search.references import References

_TOP: Final = 5  # attributes that are named, as the paper does


@final
class Attributes(LatentSearch):
    """Minimise class_weight * CE(C(G(x; A')), c') + mean |x - G(x; A')| over A', and keep the nearest success."""

    gradient = "optional"

    generator: Loadable[Annotated[AttributeEditor, Bundled("editor")]]
    """Generator that reads the attributes of the queries and edits the queries to have others."""
    references: LoadableImages[References | None] = NOT_GIVEN
    """Labelled training images: they tell how often an attribute occurs with each class."""
    frozen: NameList = ()
    """Names of the attributes that stay: those that the classifier predicts."""
    class_weight: PositiveFloat = 0.03
    """Weight of the class against the mean absolute pixel difference; larger allows a larger change."""
    steps: PositiveInt = 200
    """Maximum number of Adam steps."""
    lr: PositiveFloat = 0.03
    """Learning rate of Adam: roughly the change of an attribute per step; attributes lie in [0, 1]."""
    patience: NonNegativeInt = 30
    """Steps to go on after a success without finding a nearer one; 0 stops at the first success."""

    @model_validator(mode="after")
    def _knows_attributes(self) -> Attributes:
        self._free_attributes()
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`. Info: the attributes that changed most, and how often they occur with either class."""
        self.generator.check_images(classifier)
        free = self._free_attributes().to(x)
        with torch.no_grad():
            features, start = self.generator.encode(x), self.generator.read(x)

        def decode(values: Values, rows: Rows) -> Images:
            return self.generator.decode([part[rows] for part in features], values).clamp(0, 1)

        def objective(values: Values, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
            values = torch.where(free > 0, values, start[rows])  # no gradient for the frozen ones
            image = decode(values, rows)
            loss, success = goal_loss(classifier, on_grid(image), goal[rows])
            distance = l1(image, x[rows])
            return self.class_weight * loss + distance, success, distance

        descent = self.minimize(
            objective,
            start,
            classifier,
            noise,
            steps=self.steps,
            lr=self.lr,
            project=unit_box,
            patience=self.patience,
            others=2,
        )
        found = latent_result(descent, decode, classifier, goal)
        changed = [self._largest(change) for change in descent.end - start]
        predicted = classifier.probabilities(x).argmax(1)
        frequencies = self._frequencies(classifier, changed, predicted, goal)
        info = {**found.info, "attributes": changed, **frequencies}
        return replace(found, evaluations=found.evaluations + 1, info=info)

    def _free_attributes(self) -> Float[Tensor, " a"]:
        free = torch.ones(len(self.generator.attributes))
        free[indices(self.frozen, self.generator.attributes, "attributes.frozen")] = 0
        return free

    def _largest(self, change: Tensor) -> dict[str, float]:
        """The attributes that changed most, the most changed first, with their signed change."""
        most = change.abs().argsort(descending=True)[:_TOP].tolist()
        return {self.generator.attributes[n]: round(float(change[n]), 4) for n in most if change[n]}

    def _frequencies(
        self, classifier: Classifier, changed: list[dict[str, float]], predicted: Tensor, goal: Goal
    ) -> dict[str, list[Any]]:
        """How often references of the query's class, and of the target, have the attributes that changed."""
        if self.references is None or self.references.labels is None:
            return {}
        labels, names = self.references.labels, self.generator.attributes
        pairs = [*zip(predicted.tolist(), goal.target.tolist(), strict=True)]
        often = {
            k: self._references_have[labels == k].float().mean(0).tolist()
            for k in {k for pair in pairs for k in pair}
            if (labels == k).any()
        }
        rows = [
            {
                name: {classifier.classes[k]: round(often[k][names.index(name)], 3) for k in pair if k in often}
                for name in row
            }
            for row, pair in zip(changed, pairs, strict=True)
        ]
        return {"attributes_in_references": rows}

    @cached_property
    def _references_have(self) -> Tensor:
        """Which attributes each reference has; read once for all calls."""
        assert self.references is not None  # noqa: S101 - checked before
        parts = self.references.images.split(256)
        return torch.cat([self.generator.read(part) for part in parts]) > 0.5  # noqa: PLR2004 - likelier than not
