"""Goyal, Wu, Ernst, Batra, Parikh and Lee (2019): copy feature cells of a distractor image, the best first.

    maximize log g_c'(F*) over (i, j), F* being f(I) with cell j of f(I') for cell i;  until argmax g(F*) = c'

Y. Goyal, Z. Wu, J. Ernst, D. Batra, D. Parikh, S. Lee, "Counterfactual visual explanations", ICML 2019:
Algorithm 1, with either solver of the best-edit problem, exhaustive (section 2.2) or relaxed (2.3). It ends
when the features reach the goal. Whether the composite picture reaches it too is another question, and the
row's status answers that one. Ours: a cell of the distractor is used once, as in public code; the paper only
forbids to edit a cell twice. Beyond the paper: with `score_on=picture` each edit is the one whose composite
picture makes c' most probable, and it ends when that picture reaches the goal.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, final

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import nn

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.feature_cells.cell_editor import CellEditor, Prescreen, cell_editor
from rather.feature_cells.composite import PictureEdits, highlights
from rather.feature_cells.edits import AnyHead, check_cell_count, edited
from rather.feature_cells.pictures import edit_pictures
from rather.feature_cells.relaxation import relaxed_best_edit
from rather.feature_cells.sequential import sequential_search
from rather.search.references import Choice, References


@final
class Goyal(Method):
    """Copy cells of a distractor's features into the query's, the best first, until the decision changes."""

    references: References
    """Images to take distractors from: those that the classifier calls the target class."""
    distractor: Choice = "random"
    """Which of them: any, or the nearest to the query."""
    solver: Literal["exhaustive", "relaxed"] = "exhaustive"
    """How the best edit is found: by looking at all of them, or by gradient descent on mixtures of them."""
    score_on: Literal["features", "picture"] = "features"
    """What an edit is judged by: the features that it makes, as in the paper, or the composite picture."""
    max_edits: PositiveInt | None = None
    """Edits, at most; by default one of each cell."""
    reuse: bool = False
    """Whether a cell of the distractor may be copied twice."""
    prescreen: Prescreen = "none"
    """Score all edits in bf16 and check the best in fp32: for processors with bf16 matrix units."""
    steps: PositiveInt = 100
    """Gradient steps for each edit, if the solver is relaxed."""
    lr: PositiveFloat = 0.3
    """Learning rate, if the solver is relaxed."""
    entropy: NonNegativeFloat = 0.01
    """Weight of the entropies that turn a mixture into one edit, if the solver is relaxed."""

    @model_validator(mode="after")
    def _relaxed_in_features(self) -> Goyal:
        if self.solver == "relaxed" and self.score_on == "picture":
            raise ValueError("the relaxed solver mixes features, so it cannot judge by the picture")
        if self.prescreen != "none" and (self.solver, self.score_on) != ("exhaustive", "features"):
            raise ValueError("a screen is for the exhaustive solver, judging by features")
        return self

    @torch.no_grad()
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Edit the features, then show the edits in the image."""
        chosen = self.references.choose(classifier, x, goal.target, noise, self.distractor, confidence=goal.confidence)
        distractors = self.references.images[chosen]
        query, other = classifier.features(x), classifier.features(distractors)
        _, d, u, v = query.shape
        check_cell_count(u, v)
        if self.score_on == "picture":
            how = CellEditor(partial(PictureEdits, classifier, highlights(classifier, x), (u, v)), at_once=64)
            maps = x, distractors
        else:
            how, maps = self._editor(classifier.head, (d, u, v)), (query, other)
        trail = sequential_search(how, *maps, goal, cells=u * v, at_most=self.max_edits, reuse=self.reuse)
        counts = trail.count.tolist()
        edits = [[(i, j) for i, j in pairs[:n].tolist()] for pairs, n in zip(trail.edits, counts, strict=True)]
        log_p = [trail.log_probability[row, : count + 1] for row, count in enumerate(counts)]
        images, pictures = edit_pictures(classifier, x, distractors, (u, v), edits)
        flipped = goal.reached(classifier.head(edited(query, other, edits)))
        return SearchResult(
            images=images,
            steps=trail.count,
            evaluations=torch.tensor([self._evaluations(count, u * v) for count in counts]),
            artifacts=pictures,
            info={
                "edits": edits,
                "log_probability": [each.tolist() for each in log_p],
                "confidence": [each.exp().tolist() for each in log_p],
                "flipped_in_features": flipped.tolist(),
                "distractor": [self.references.ids[i] for i in chosen.tolist()],
            },
        )

    def _editor(self, head: nn.Module, shape: tuple[int, int, int]) -> CellEditor:
        if self.solver == "exhaustive":
            return cell_editor(head, shape, self.prescreen)
        relaxed = partial(relaxed_best_edit, head, steps=self.steps, lr=self.lr, entropy=self.entropy)
        return CellEditor(partial(AnyHead, head, solver=relaxed), at_once=64)

    def _evaluations(self, count: int, n: int) -> int:
        """How often g was asked: of the maps after each edit, to find each, and of the edited features."""
        if self.solver == "relaxed":
            return 2 + count * (1 + self.steps + 1)  # the descent looks at where it starts, too
        return 2 + sum(1 + (n - s) * (n if self.reuse else n - s) for s in range(count))
