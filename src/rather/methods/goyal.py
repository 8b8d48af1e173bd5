"""Copies feature cells from another image until the class changes. Goyal et al., ICML 2019.

    maximize log g_c'(F*) over (i, j), F* being f(I) with cell j of f(I') for cell i;  until argmax g(F*) = c'

Y. Goyal, Z. Wu, J. Ernst, D. Batra, D. Parikh, S. Lee, "Counterfactual visual explanations", ICML 2019:
Algorithm 1, with either solver of the best-edit problem, exhaustive (section 2.2) or relaxed (2.3). It ends
when the features reach the goal; the row's status says whether the composite image reaches it, too.
Ours: a cell of the distractor is used once, as in public code; the paper only forbids to edit a cell twice.
Beyond the paper: with `score_on=picture` each edit is the one whose composite image makes c' most probable,
and it ends when that image reaches the goal; with `shortlist` only the edits that the gradient of the features
finds best are scored so, for large images.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, final

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import nn
from typing_extensions import override

from rather.core import Classifier, Goal, Images, LoadableImages, Method, Noise, SearchResult
from rather.feature_cells.cell_editor import CellEditor, Prescreen, cell_editor
from rather.feature_cells.composite import PictureEdits, edit_result, highlights
from rather.feature_cells.edits import AnyHead, cell_count, edited
from rather.feature_cells.relaxation import relaxed_best_edit
from rather.feature_cells.sequential import sequential_search
from rather.search.references import Choice, References


@final
class Goyal(Method):
    """Copy cells of a distractor's features into the query's, the best first, until the prediction changes."""

    gradient = "none"

    references: LoadableImages[References]
    """Images to copy from; each query takes one that the classifier assigns to the target class."""
    distractor: Choice = "random"
    """Reference to copy from: a random one, or the nearest in the classifier's features or in pixels."""
    solver: Literal["exhaustive", "relaxed"] = "exhaustive"
    """Search of the best edit: score all of them, or descend on mixtures of them (slower for small heads)."""
    score_on: Literal["features", "picture"] = "features"
    """What an edit is scored by: the edited features, as in the paper, or the composite image (much slower)."""
    shortlist: PositiveInt | None = None
    """With score_on=picture, how many edits to score: the best by the gradient of the features; by default all."""
    max_edits: PositiveInt | None = None
    """Maximum number of edits; by default one of each cell."""
    reuse: bool = False
    """Allow copying a cell of the distractor more than once."""
    prescreen: Prescreen = "none"
    """bf16 scores all edits in 16 bits and checks the best in 32: faster on processors with bf16 matrix units."""
    steps: PositiveInt = 100
    """Gradient steps for each edit, with the relaxed solver."""
    lr: PositiveFloat = 0.3
    """Learning rate of the relaxed solver, in logits of the mixture."""
    entropy: NonNegativeFloat = 0.01
    """Weight of the mixture's entropies, with the relaxed solver; larger makes it settle on one edit."""

    @model_validator(mode="after")
    def _relaxed_in_features(self) -> Goyal:
        if self.solver == "relaxed" and self.score_on == "picture":
            raise ValueError("solver=relaxed mixes features: it needs score_on=features")
        if self.prescreen != "none" and (self.solver, self.score_on) != ("exhaustive", "features"):
            raise ValueError("prescreen needs solver=exhaustive and score_on=features")
        if self.shortlist is not None and self.score_on == "features":
            raise ValueError("shortlist needs score_on=picture")
        return self

    @override
    def check(self, classifier: Classifier) -> None:
        """MODEL-LAYER for a map of too many cells."""
        cell_count(classifier)

    @override
    def needs_gradient(self) -> bool:
        return self.solver == "relaxed"  # without one, a shortlist copies cells to their own places

    @torch.no_grad()
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`, `distractor`, `query_attention`, `distractor_attention`. Info: `edits`, `confidence`."""
        chosen = self.references.choose(classifier, x, goal.target, noise, self.distractor, confidence=goal.confidence)
        distractors = self.references.images[chosen]
        query, other = classifier.features(x), classifier.features(distractors)
        _, d, u, v = query.shape
        if self.score_on == "picture":
            light = highlights(classifier, x)
            start = partial(PictureEdits, classifier, light, (u, v), shortlist=self.shortlist)
            editor, maps = CellEditor(start, at_once=64), (x, distractors)
        else:
            editor, maps = self._editor(classifier.head, (d, u, v)), (query, other)
        made = sequential_search(editor, *maps, goal, cells=u * v, at_most=self.max_edits, reuse=self.reuse)
        counts = made.count.tolist()
        edits = [[(i, j) for i, j in pairs[:n].tolist()] for pairs, n in zip(made.edits, counts, strict=True)]
        return edit_result(
            classifier,
            x,
            distractors,
            (u, v),
            edits,
            log_p=[made.log_probability[row, : count + 1] for row, count in enumerate(counts)],
            success=goal.reached(classifier.head(edited(query, other, edits))).tolist(),
            ids=[self.references.ids[i] for i in chosen.tolist()],
            evaluations=[self._evaluations(count, u * v) for count in counts],
        )

    def _editor(self, head: nn.Module, shape: tuple[int, int, int]) -> CellEditor:
        if self.solver == "exhaustive":
            return cell_editor(head, shape, self.prescreen)
        relaxed = partial(relaxed_best_edit, head, steps=self.steps, lr=self.lr, entropy=self.entropy)
        return CellEditor(partial(AnyHead, head, solver=relaxed), at_once=64)

    def _evaluations(self, count: int, n: int) -> int:
        """Forward passes of g: of the maps after each edit, to find each, and of the edited features."""
        if self.solver == "relaxed":
            return 2 + count * (1 + self.steps + 1)  # the descent judges its start, too
        left = ((n - s) * (n if self.reuse else n - s) for s in range(count))
        if self.shortlist is not None:  # and a gradient, which costs about two
            return 2 + sum(1 + 2 + min(each, self.shortlist) for each in left)
        return 2 + sum(1 + each for each in left)
