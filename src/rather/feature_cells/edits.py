"""Every edit of one cell of a feature map, scored by the head (Goyal et al., 2019, section 2.2).

Edit (i, j) replaces cell i of a query's map by cell j of a distractor's. `AnyHead` works for any head;
`linear_edits` has a faster way for heads that begin with a linear layer; `cell_editor` chooses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from rather.classifiers.checks import noise
from rather.classifiers.maps import CELLS
from rather.config.errors import RatherError
from rather.core import Classifier, Features, Labels, Logits

Scores = Float[Tensor, "b n n"]  # of edits (query cell, distractor cell)
OpenEdits = Bool[Tensor, "b n n"]  # which of them may be made
Edit = Int[Tensor, "b 2"]
#: (queries as edited so far, distractors, targets, open edits) -> the best edit of each query.
Solver = Callable[[Features, Features, Labels, OpenEdits], Edit]

#: Scores this close, relative to their size or to 1, differ by rounding only: the first of them wins.
HAIR: Final = 1e-5
#: Numbers in the maps of one forward pass of a head.
BLOCK: Final = 2**24
#: Edits that `Prescreened` checks at first, and the factor by which it checks more until it is sure.
CHECKED, MORE = 16, 4


class Edits(ABC):
    """A batch of maps that are edited cell by cell, and the head's score of every next edit."""

    @abstractmethod
    def logits(self) -> Logits:
        """The logits of the maps as they are now."""

    @abstractmethod
    def scores(self, target: Labels, open_edits: OpenEdits) -> Scores:
        """Log-probability of the target after each open edit; the scores of closed ones are arbitrary."""

    @abstractmethod
    def apply(self, edit: Edit) -> None:
        """Make one edit in each map, of a query cell that was not edited before."""

    @abstractmethod
    def keep(self, rows: Bool[Tensor, " b"]) -> None:
        """Go on with some of the maps only."""

    def best(self, target: Labels, open_edits: OpenEdits) -> Edit:
        """For each map the open edit that makes the target most probable."""
        return first_best(self.scores(target, open_edits), open_edits)


def cell_count(classifier: Classifier) -> int:
    """How many cells a classifier's map has; too many are refused, since edits are pairs of cells.

    Raises:
        RatherError: MODEL-LAYER.
    """
    with torch.no_grad():
        shape = tuple(classifier.features(noise(1, classifier.shape).to(classifier.get_buffer("mean").device)).shape)
    if len(shape) == 4 and shape[2] * shape[3] <= CELLS:  # noqa: PLR2004 - b, d, u, v
        return shape[2] * shape[3]
    raise RatherError(
        "MODEL-LAYER",
        where=f"{classifier.name}, a map of {' x '.join(map(str, shape[2:]))} cells",
        why=f"edits of at most {CELLS} cells are searched",
        do="Name a --layer with a smaller map, or take another method, such as nearest",
    )


def edited(query: Features, distractor: Features, edits: Sequence[Sequence[tuple[int, int]]]) -> Features:
    """The queries' maps after the edits (query cell, distractor cell) of each."""
    maps, source = query.flatten(2).clone(), distractor.flatten(2)
    for row, pairs in enumerate(edits):
        for i, j in pairs:
            maps[row, :, i] = source[row, :, j]
    return maps.view_as(query)


def first_best(scores: Scores, open_edits: OpenEdits) -> Edit:
    """The open edit of the highest score; of equal ones the first.

    Scores within a `HAIR` of the highest are equal to it: copies of one blank cell score the same but for
    rounding, which depends on the order of a sum. NaN counts as -inf.
    """
    flat = torch.where(open_edits & ~scores.isnan(), scores, -torch.inf).flatten(1)
    equal = (flat >= nearly(flat.amax(1, keepdim=True))) & open_edits.flatten(1)
    place = equal.max(1).indices  # the first that is true
    return torch.stack([place // scores.shape[2], place % scores.shape[2]], 1)


def nearly(score: Tensor) -> Tensor:
    """The least score that equals this one up to rounding."""
    return score - HAIR * score.abs().clamp(min=1)


@final
class AnyHead(Edits):
    """Scores every open edit by the head, in blocks of bounded memory, or finds the best one by a solver.

    Args:
        head: maps (b, d, u, v) to logits.
        query: maps to edit.
        distractor: maps to copy from.
        solver: finds the best edit without the scores of all.
    """

    def __init__(
        self, head: Callable[[Features], Logits], query: Features, distractor: Features, solver: Solver | None = None
    ) -> None:
        self.head, self.solver, self.grid = head, solver, query.shape[2:]
        self.maps, self.distractor = query.flatten(2).clone(), distractor.flatten(2)

    @override
    def logits(self) -> Logits:
        return self.head(self.maps.unflatten(2, self.grid))

    @override
    def scores(self, target: Labels, open_edits: OpenEdits) -> Scores:
        found = self.maps.new_full(open_edits.shape, -torch.inf)
        block = 1 + BLOCK // self.maps[0].numel()
        for row, i, j in (part.T for part in open_edits.nonzero().split(block)):
            cells = self.maps[row]
            cells[torch.arange(len(row)), :, i] = self.distractor[row, :, j]
            log_p = self.head(cells.unflatten(2, self.grid)).log_softmax(1)
            found[row, i, j] = log_p.gather(1, target[row, None])[:, 0]
        return found

    @override
    def best(self, target: Labels, open_edits: OpenEdits) -> Edit:
        if self.solver is None:
            return super().best(target, open_edits)
        maps, distractor = (cells.unflatten(2, self.grid) for cells in (self.maps, self.distractor))
        return self.solver(maps, distractor, target, open_edits)

    @override
    def apply(self, edit: Edit) -> None:
        every, (i, j) = torch.arange(len(edit)), edit.T
        self.maps[every, :, i] = self.distractor[every, :, j]

    @override
    def keep(self, rows: Bool[Tensor, " b"]) -> None:
        self.maps, self.distractor = self.maps[rows], self.distractor[rows]


@final
class Prescreened(Edits):
    """Rough scores of all edits, and exact ones of the most promising.

    The best checked edit is the answer once no other edit's rough score, raised by four times the largest
    error seen, reaches its score; until then more are checked, in the end all. This certificate is empirical:
    the error of an unchecked edit may be larger.
    """

    def __init__(self, exact: Edits, rough: Edits) -> None:
        self.exact, self.rough = exact, rough

    @override
    def logits(self) -> Logits:
        return self.exact.logits()

    @override
    def scores(self, target: Labels, open_edits: OpenEdits) -> Scores:
        """The scores of the checked edits; -inf for the others, none of which is the best."""
        rough = self.rough.scores(target, open_edits)
        rough = torch.where(open_edits & ~rough.isnan(), rough, -torch.inf)
        rank = rough.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(1).view_as(rough)
        found = torch.full_like(rough, -torch.inf)
        left, count = open_edits.clone(), CHECKED  # edits that are not checked yet
        unsure = open_edits.flatten(1).any(1)
        while unsure.any():
            check = left & (rank < count) & unsure[:, None, None]
            found = torch.where(check, self.exact.scores(target, check), found)
            left &= ~check
            error = torch.where(rough == found, 0, (rough - found).abs())
            error = error.masked_fill(left | ~open_edits, 0).flatten(1).amax(1)
            rival = rough.masked_fill(~left, -torch.inf).flatten(1).amax(1)
            beaten = rival + 4 * error < nearly(found.flatten(1).amax(1))
            unsure &= left.flatten(1).any(1) & ~beaten
            count *= MORE
        return found

    @override
    def apply(self, edit: Edit) -> None:
        self.exact.apply(edit)
        self.rough.apply(edit)

    @override
    def keep(self, rows: Bool[Tensor, " b"]) -> None:
        self.exact.keep(rows)
        self.rough.keep(rows)
