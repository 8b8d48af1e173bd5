"""Goyal et al. (2019), eq. 2, solved exactly: the fewest feature cells to copy from an image of the target.

    min |S|  over sets S of edits (i, j)  with  c' = argmax g(f(I) with f'_j for f_i, for all (i, j) in S)

Y. Goyal, Z. Wu, J. Ernst, D. Batra, D. Parikh, S. Lee, "Counterfactual visual explanations", ICML 2019, pose
this problem and solve it greedily. Ours starts from their greedy answer and looks for a smaller set of edits
by branch and bound (`cells.fewest`), until it has the smallest. The fact `minimum` is the certificate: the
set and its size, whether it is proved that no smaller one exists, the lower bound that is proved in any case,
and how many sets were looked at. The edits stand in the order in which a greedy search would make them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from pydantic import PositiveInt
from torch import Tensor

from rather.core import Classifier, Goal, Images, Labels, Method, Noise, SearchResult
from rather.feature_cells.cell_editor import cell_editor
from rather.feature_cells.edits import Edits, check_cell_count
from rather.feature_cells.fewest import fewest_edits
from rather.feature_cells.pictures import edit_pictures
from rather.feature_cells.sequential import sequential_search
from rather.search.losses import log_probability
from rather.search.references import Choice, References

Pairs = Sequence[tuple[int, int]]  # (query cell, distractor cell)


@final
class MinimumEdit(Method):
    """Copy the fewest cells of a distractor's features into the query's that change the decision."""

    references: References
    """Images to take distractors from: those that the classifier calls the target class."""
    distractor: Choice = "random"
    """Which of them: any, or the nearest to the query."""
    reuse: bool = False
    """Whether a cell of the distractor may be copied twice."""
    nodes: PositiveInt = 200_000
    """Sets of edits to look at for an image; after so many, the best known set is kept without a proof."""

    @torch.no_grad()
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Edit the features greedily, look for a smaller set of edits, show the edits in the image."""
        chosen = self.references.choose(classifier, x, goal.target, noise, self.distractor, confidence=goal.confidence)
        distractors = self.references.images[chosen]
        query, other = classifier.features(x), classifier.features(distractors)
        _, d, u, v = query.shape
        check_cell_count(u, v)
        n, head = u * v, classifier.head
        how = cell_editor(head, (d, u, v))
        greedy = sequential_search(how, query, other, goal, reuse=self.reuse)
        edits, log_p, minimum, asked = [], [], [], []
        for row, count in enumerate(greedy.count.tolist()):
            mine, theirs, wanted = query[[row]], other[[row]], goal[torch.tensor([row])]
            pairs: Pairs = [(i, j) for i, j in greedy.edits[row, :count].tolist()]
            works = bool(greedy.flipped[row])
            if not works and wanted.reached(head(theirs)).item():  # a copy of the whole distractor works
                pairs, works = [(i, i) for i in range(n)], True
            known = len(pairs) if works else None
            fewest = fewest_edits(head, mine, theirs, wanted, known=known, reuse=self.reuse, nodes=self.nodes)
            if fewest.edits is not None:
                pairs, works = fewest.edits, True
            pairs, confidence = _in_order(how.start(mine, theirs), wanted.target, pairs, n)
            edits.append(pairs)
            log_p.append(confidence)
            minimum.append(
                {
                    "edits": pairs,
                    "size": len(pairs) if works else None,
                    "proved": fewest.lower_bound == (len(pairs) if works else n + 1),
                    "lower_bound": fewest.lower_bound,
                    "nodes": fewest.nodes,
                }
            )
            looked = sum((n - s) * (n if self.reuse else n - s) for s in range(count))  # greedily
            asked.append(looked + fewest.nodes)
        images, pictures = edit_pictures(classifier, x, distractors, (u, v), edits)
        return SearchResult(
            images=images,
            steps=torch.tensor([len(pairs) for pairs in edits], dtype=torch.long),
            evaluations=torch.tensor(asked, dtype=torch.long),
            artifacts=pictures,
            info={
                "edits": edits,
                "log_probability": [each.tolist() for each in log_p],
                "confidence": [each.exp().tolist() for each in log_p],
                "flipped_in_features": [fact["size"] is not None for fact in minimum],
                "distractor": [self.references.ids[i] for i in chosen.tolist()],
                "minimum": minimum,
            },
        )


def _in_order(maps: Edits, target: Labels, edits: Pairs, n: int) -> tuple[Pairs, Tensor]:
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
