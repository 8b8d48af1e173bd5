"""Copies the fewest feature cells that change the class, with a proof. Goyal et al., ICML 2019, solved exactly.

    min |S|  over sets S of edits (i, j)  with  c' = argmax g(f(I) with f'_j for f_i, for all (i, j) in S)

Y. Goyal, Z. Wu, J. Ernst, D. Batra, D. Parikh, S. Lee, "Counterfactual visual explanations", ICML 2019, pose
this problem (eq. 2) and solve it greedily. Ours starts from their greedy answer and looks for a smaller set of
edits by branch and bound (`feature_cells.fewest`), until it has the smallest. The info `minimum` is the
certificate: the set and its size, whether it is proved that no smaller one exists, the lower bound that is
proved in any case, and how many sets were searched. Edits are listed in the order of a greedy search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from pydantic import PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Labels, LoadableImages, Method, Noise, SearchResult
from rather.feature_cells.cell_editor import cell_editor
from rather.feature_cells.composite import edit_result
from rather.feature_cells.edits import Edits, cell_count
from rather.feature_cells.fewest import fewest_edits
from rather.feature_cells.sequential import sequential_search
from rather.search.losses import log_probability
from rather.search.references import Choice, References

Pairs = Sequence[tuple[int, int]]  # (query cell, distractor cell)


@final
class MinimumEdit(Method):
    """Copy the fewest cells of a distractor's features into the query's that change the prediction."""

    gradient = "none"

    references: LoadableImages[References]
    """Images to copy from; each query takes one that the classifier assigns to the target class."""
    distractor: Choice = "random"
    """Reference to copy from: a random one, or the nearest in the classifier's features or in pixels."""
    reuse: bool = False
    """Allow copying a cell of the distractor more than once."""
    nodes: PositiveInt = 200_000
    """Maximum number of sets of edits to search for an image; then the best known set is kept without a proof."""

    def check(self, classifier: Classifier) -> None:
        """MODEL-LAYER for a map of too many cells."""
        cell_count(classifier)

    @torch.no_grad()
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`, `distractor`, `query_attention`, `distractor_attention`. Info: `edits`, `minimum`."""
        chosen = self.references.choose(classifier, x, goal.target, noise, self.distractor, confidence=goal.confidence)
        distractors = self.references.images[chosen]
        query, other = classifier.features(x), classifier.features(distractors)
        _, d, u, v = query.shape
        n, head = u * v, classifier.head
        editor = cell_editor(head, (d, u, v))
        greedy = sequential_search(editor, query, other, goal, reuse=self.reuse)
        edits, log_p, minimum, evaluations = [], [], [], []
        for row, count in enumerate(greedy.count.tolist()):
            maps, target = (query[[row]], other[[row]]), goal[torch.tensor([row])]
            pairs: Pairs = [(i, j) for i, j in greedy.edits[row, :count].tolist()]
            success = bool(greedy.flipped[row])
            if not success and target.reached(head(maps[1])).item():  # a copy of the whole distractor succeeds
                pairs, success = [(i, i) for i in range(n)], True
            known = len(pairs) if success else None
            fewest = fewest_edits(head, *maps, target, known=known, reuse=self.reuse, nodes=self.nodes)
            if fewest.edits is not None:
                pairs, success = fewest.edits, True
            pairs, confidence = _in_greedy_order(editor.start(*maps), target.target, pairs, n)
            edits.append(pairs)
            log_p.append(confidence)
            minimum.append(
                {
                    "edits": pairs,
                    "size": len(pairs) if success else None,
                    "proved": fewest.lower_bound == (len(pairs) if success else n + 1),
                    "lower_bound": fewest.lower_bound,
                    "nodes": fewest.nodes,
                }
            )
            scored = sum((n - s) * (n if self.reuse else n - s) for s in range(count))  # by the greedy search
            evaluations.append(scored + fewest.nodes)
        found = edit_result(
            classifier,
            x,
            distractors,
            (u, v),
            edits,
            log_p=log_p,
            success=[certificate["size"] is not None for certificate in minimum],
            ids=[self.references.ids[i] for i in chosen.tolist()],
            evaluations=evaluations,
        )
        return replace(found, info={**found.info, "minimum": minimum})


def _in_greedy_order(maps: Edits, target: Labels, edits: Pairs, n: int) -> tuple[Pairs, Tensor]:
    """The edits as a greedy search would make them, and log p(target) before the first and after each."""
    open_edits = torch.zeros(1, n, n, dtype=torch.bool, device=target.device)
    for i, j in edits:
        open_edits[0, i, j] = True
    made, log_p = [], [log_probability(maps.logits(), target)]
    for _ in edits:
        edit = maps.best(target, open_edits)
        maps.apply(edit)
        log_p.append(log_probability(maps.logits(), target))
        i, j = edit[0].tolist()
        open_edits[0, i] = False
        made.append((i, j))
    return made, torch.cat(log_p)
