"""Introspection by attributes, Liu, Kailkhura, Loveland and Han (2019): which attributes change a decision.

    min_A'  weight * CE(C(G(x; A')), c') + |x - G(x; A')|_1

S. Liu, B. Kailkhura, D. Loveland, Y. Han, "Generative counterfactual introspection for explainable deep
learning", GlobalSIP 2019, with known attributes: G edits x to have the attributes A', as AttGAN does. The
attribute that the classifier is about is `frozen`, or the search would but turn that one. Ours: as for
`introspection`; A' stay in [0, 1], and begin with what the editor reads in the query.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Final, final

import torch
from jaxtyping import Float
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from rather.config.settings import NameList, indices
from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.generators.editor import AttributeEditor
from rather.generators.frozen import Bundled
from rather.generators.oracle import Attributes as Values
from rather.latents.search import found_on
from rather.search.descend import Rows, descend, on_grid
from rather.search.losses import l1, toward
from rather.search.references import References

_TOP: Final = 5  # attributes that are named, as the paper does


@final
class Attributes(Method):
    """Minimise class_weight * CE(C(G(x; A')), c') + mean |x - G(x; A')| over A', and keep the nearest success."""

    generator: Annotated[AttributeEditor, Bundled("editor")]
    """Reads the attributes of the queries, and edits the queries to have others."""
    references: References | None = None
    """Pictures that the classifier was trained on: how often does an attribute go with a class there?"""
    frozen: NameList = ()
    """Names of the attributes that stay: those that the classifier is about."""
    class_weight: PositiveFloat = 0.03
    """Lambda, the weight of the class against that of the distance."""
    steps: PositiveInt = 200
    """Adam steps, at most."""
    lr: PositiveFloat = 0.03
    """Learning rate, in units of the attributes, which lie in [0, 1]."""
    patience: NonNegativeInt = 30
    """For how many steps to go on, once the goal is reached, without a nearer picture; 0 stops there."""
    num_path_frames: NonNegativeInt = 6
    """Pictures of the search path to keep, about."""

    @model_validator(mode="after")
    def _knows_attributes(self) -> Attributes:
        self._free()
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Facts: the attributes that changed most, by how much, and how often they go with either class."""
        del noise
        self.generator.check_images(classifier)
        free = self._free().to(x)
        with torch.no_grad():
            features, start = self.generator.encode(x), self.generator.read(x)

        def decode(values: Values, rows: Rows) -> Images:
            return self.generator.decode([part[rows] for part in features], values).clamp(0, 1)

        def objective(values: Values, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
            values = torch.where(free > 0, values, start[rows])  # of the frozen ones no gradient passes
            image = decode(values, rows)
            loss, reached = toward(classifier, on_grid(image), goal[rows])
            distance = l1(image, x[rows])
            return self.class_weight * loss + distance, reached, distance

        path = descend(
            objective,
            start,
            steps=self.steps,
            lr=self.lr,
            project=lambda values: values.clamp(0, 1),
            patience=self.patience,
            frames=self.num_path_frames,
        )
        found = found_on(path, start, decode, classifier, goal)
        said = classifier.probabilities(x).argmax(1)
        return SearchResult(
            images=found.images,
            steps=found.steps,
            evaluations=found.evaluations + 1,
            artifacts=found.artifacts,
            info={
                **found.info,
                "attributes": [self._named(change) for change in path.end - start],
                **self._frequencies(classifier, path.end - start, said, goal),
            },
        )

    def _free(self) -> Float[Tensor, " a"]:
        free = torch.ones(len(self.generator.attributes))
        free[indices(self.frozen, self.generator.attributes, "attributes.frozen")] = 0
        return free

    def _named(self, change: Tensor) -> dict[str, float]:
        """The attributes that changed most, the most changed first, with their signed change."""
        most = change.abs().argsort(descending=True)[:_TOP].tolist()
        return {self.generator.attributes[n]: round(float(change[n]), 4) for n in most if change[n]}

    def _frequencies(self, classifier: Classifier, change: Values, said: Tensor, goal: Goal) -> dict[str, list[Any]]:
        """Of the same attributes, how often pictures of the query's class and of the target have them."""
        if self.references is None or self.references.labels is None:
            return {}
        labels, names = self.references.labels, self.generator.attributes
        pairs = [*zip(said.tolist(), goal.target.tolist(), strict=True)]
        often = {
            k: self._read_in_references[labels == k].float().mean(0).tolist()
            for k in {k for pair in pairs for k in pair}
            if (labels == k).any()
        }
        told = [
            {
                name: {classifier.classes[k]: round(often[k][names.index(name)], 3) for k in pair if k in often}
                for name in self._named(row)
            }
            for row, pair in zip(change, pairs, strict=True)
        ]
        return {"attributes_in_references": told}

    @cached_property
    def _read_in_references(self) -> Tensor:
        """Which attributes each reference has; read once for all calls."""
        assert self.references is not None  # noqa: S101 - asked before
        parts = self.references.images.split(256)
        return torch.cat([self.generator.read(part) for part in parts]) > 0.5  # noqa: PLR2004 - likelier than not
