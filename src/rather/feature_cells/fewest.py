"""The fewest edits that reach a goal: Goyal et al. (2019), eq. 2, solved exactly by branch and bound.

    min |S|  over sets S of edits (i, j)  with  c' = argmax g(f(I) with f'_j for f_i, for all (i, j) in S)

The paper solves this greedily; we know of no published exact search. Ours tests one size after the other.
Sets grow edit by edit, in a fixed order of the query's cells, and are pruned once no further edits can lift
the target above its strongest rivals. That bound needs a head of linear layers and ReLUs: each edit adds a
known vector to the first layer, so a set and the number of edits to come keep each hidden unit in a known
interval; on this box the target's lead over a rival lies below a line (`bounds`), and the largest value of a
line over sets of edits is a sum of largest terms. For any other head all sets are searched.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from rather.core import Features, Goal, Logits
from rather.feature_cells.bounds import upper_line
from rather.feature_cells.linear_head import LinearHead, linear_head

#: An edit's number is (position of its query cell in the search's order) * n + its distractor cell; the
#: positions in a set ascend.
Sets = Int[Tensor, "s t"]
Bounds = Float[Tensor, "s n n"]

#: The bound and the head add up in different orders. A set this close to the goal, relative to the logits, is
#: not pruned, and the head itself decides whether it reaches the goal.
_DOUBT: Final = 1e-4
#: Rivals over which the target's lead is bounded. On the digit net one rival leaves 36 % more sets than two,
#: and all nine leave 5 % fewer at four times the cost.
_RIVALS: Final = 2
_BLOCK: Final = 2**19  # edits that are bounded at once
_NUMBERS: Final = 2**22  # in hidden layers or maps that are computed at once
_TABLE: Final = 2**27  # in the table of the change by every edit; if it would be larger, there are no bounds
_CHECKED: Final = 64  # sets in one forward pass of the head


@final
@dataclass(frozen=True)
class Fewest:
    """The result of the search for one pair."""

    edits: tuple[tuple[int, int], ...] | None  # (query cell, distractor cell), if a set was found
    lower_bound: int  # proved: no set of fewer edits reaches the goal
    nodes: int  # sets that were searched, unfinished ones included


@torch.no_grad()
def fewest_edits(
    head: nn.Module,
    query: Features,
    distractor: Features,
    goal: Goal,
    *,
    known: int | None = None,
    reuse: bool = False,
    nodes: int = 200_000,
) -> Fewest:
    """A set of the fewest edits that takes the query's features to the goal.

    If several sets are that small, any of them may be found. If no set is found, the known one is the minimum
    if it has `lower_bound` edits; with none known and all sizes refuted, `lower_bound` is one more than the
    number of cells.

    Args:
        head: features to logits, in evaluation mode.
        query: features (1, d, u, v).
        distractor: features (1, d, u, v) to copy cells from.
        goal: of one row.
        known: size of a known set that reaches the goal; the search is for smaller ones.
        reuse: whether a distractor cell may be copied twice. In the paper P is a permutation: it may not.
        nodes: maximum number of sets to search.
    """
    pair = _pair(head, query, distractor, goal)
    last = pair.n if known is None else known - 1
    looked = 0
    for size in range(1, last + 1):
        for found, count in _sets_of(pair, size, reuse=reuse, nodes=nodes - looked):
            looked += count
            if found is not None:
                return Fewest(pair.edits(found), size, looked)
            if looked >= nodes:
                return Fewest(None, size, looked)
    return Fewest(None, last + 1, looked)


def _sets_of(pair: _Pair, size: int, *, reuse: bool, nodes: int) -> Iterator[tuple[Tensor | None, int]]:
    """Depth first, promising sets first. Yields for each block a set that reaches the goal and its number of sets."""
    n = pair.n
    stack = [torch.zeros(1, 0, dtype=torch.long, device=pair.query.device)]
    while stack:
        sets, block = stack.pop(), max(1, min(_BLOCK, nodes) // n**2)
        if len(sets) > block:
            stack.append(sets[block:])
            sets = sets[:block]
        more = size - sets.shape[1]
        bound = pair.bound(sets, more).masked_fill(~_next_edits(sets, n, more, reuse=reuse), -torch.inf)
        parent, i, j = (bound >= pair.needed - pair.doubt).nonzero(as_tuple=True)
        grown = torch.cat([sets[parent], (i * n + j)[:, None]], 1)
        if more > 1:
            stack.append(grown[bound[parent, i, j].argsort(descending=True, stable=True)])
            yield None, len(sets)
        else:
            yield pair.first_at_goal(grown), len(sets) + len(grown)


def _next_edits(sets: Sets, n: int, more: int, *, reuse: bool) -> Bool[Tensor, "s n n"]:
    """Which edits may come next: of later cells with enough cells after them, from unused distractor cells."""
    place = torch.arange(n, device=sets.device)
    may = ((place >= _start(sets, n)[:, None]) & (place <= n - more))[:, :, None]
    unused = F.one_hot(sets % n, n).sum(1) == 0
    return may & (torch.ones_like(unused) if reuse else unused)[:, None]


def _start(sets: Sets, n: int) -> Int[Tensor, " s"]:
    """The position after that of a set's last edit."""
    return sets[:, -1] // n + 1 if sets.shape[1] else sets.new_zeros(len(sets))


class _Pair(ABC):
    """A query and a distractor: the logits after sets of edits, and bounds of those after more edits."""

    def __init__(self, head: nn.Module, query: Features, distractor: Features, goal: Goal) -> None:
        self.head, self.shape, self.goal = head, query.shape[1:], goal
        self.query, self.distractor = query[0].flatten(1), distractor[0].flatten(1)
        self.n, self.numbers = self.query.shape[1], self.query.numel()
        self.order = torch.arange(self.n, device=query.device)  # of the query's cells
        self.target = int(goal.target)
        #: By how many logits the target must lead each rival: p / (1 - p) is at most exp(lead).
        #: (Near 1 the rounding of p matters; the lead is clamped, and the head itself decides.)
        self.needed = float(goal.confidence.clamp(0.5, 0.9999).logit())
        self.doubt = _DOUBT * max(1.0, float(head(query).abs().max()))

    @abstractmethod
    def logits(self, sets: Sets) -> Logits:
        """The logits after each set of edits."""

    @abstractmethod
    def bound(self, sets: Sets, more: int) -> Bounds:
        """An upper bound of the target's lead after a set and `more` edits, of which (i, j) is the first.

        For the edits that `_next_edits` allows; the other entries are arbitrary.
        """

    def edits(self, one: Int[Tensor, " t"]) -> tuple[tuple[int, int], ...]:
        """The edits of one set as (query cell, distractor cell)."""
        return tuple(zip(self.order[one // self.n].tolist(), (one % self.n).tolist(), strict=True))

    def first_at_goal(self, sets: Sets) -> Int[Tensor, " t"] | None:
        """A set of the largest lead among those that reach the goal by the head itself, if there are any."""
        for part in sets.split(max(1, _NUMBERS // self.numbers)):
            lead = self.lead(self.logits(part))
            likely = lead >= self.needed - self.doubt
            for few in part[likely][lead[likely].argsort(descending=True, stable=True)].split(_CHECKED):
                reached = self.goal[torch.zeros_like(few[:, 0])].reached(self.head(self.maps(few)))
                if reached.any():
                    one: Tensor = few[reached][0]
                    return one
        return None

    def lead(self, logits: Logits) -> Float[Tensor, " s"]:
        """The target's lead over its strongest rival."""
        rivals = logits.index_fill(1, self.goal.target, -torch.inf)
        return torch.sub(logits[:, self.target], rivals.amax(1))

    def maps(self, sets: Sets) -> Features:
        """The query's features after each set of edits."""
        cells: Tensor = self.query.T.repeat(len(sets), 1, 1)
        every = torch.arange(len(sets), device=sets.device)[:, None]
        cells[every, self.order[sets // self.n]] = self.distractor.T[sets % self.n]
        return cells.mT.reshape(-1, *self.shape)


@final
class _AnyHead(_Pair):
    """No bounds: the head is called for every set."""

    def logits(self, sets: Sets) -> Logits:
        given: Tensor = self.head(self.maps(sets))
        return given

    def bound(self, sets: Sets, more: int) -> Bounds:
        del more
        return self.query.new_full((len(sets), self.n, self.n), torch.inf)


@final
class _ReluHead(_Pair):
    """A first linear layer, which sums the changes of the edits, and ReLUs and linear layers after it."""

    def __init__(self, known: LinearHead, head: nn.Module, query: Features, distractor: Features, goal: Goal) -> None:
        super().__init__(head, query, distractor, goal)
        self.layers = [layer for layer in known.rest if isinstance(layer, nn.Linear)]
        before = torch.einsum("mid,di->im", known.weight.expand(-1, self.n, -1), self.query)
        changes = torch.einsum("mid,dj->ijm", known.weight, self.distractor) - before[:, None]
        self.hidden, self.numbers = before.sum(0) + known.bias, len(known.bias)
        self.changes = changes.flatten(0, 1)
        self.sums: dict[int, tuple[Tensor, Tensor]] = {}
        # Cells with small bounds come last: then sets without the large ones are pruned early.
        alone = self.bound(self.order.new_zeros(1, 0), 1)[0].amax(1)
        self.order = alone.argsort(descending=True, stable=True)
        self.changes = changes[self.order].flatten(0, 1)
        self.sums.clear()

    def logits(self, sets: Sets) -> Logits:
        return self._after(self._before(sets))

    def bound(self, sets: Sets, more: int) -> Bounds:
        hidden, start = self._before(sets), _start(sets, self.n)
        low, high = (hidden + side[start] for side in self._reach(more))
        logits = self._after(hidden).index_fill(1, self.goal.target, -torch.inf)
        lead = hidden.new_full((len(sets), self.n, self.n), torch.inf)
        for rival in logits.topk(min(_RIVALS, logits.shape[1] - 1), 1).indices.T:
            weight = -F.one_hot(rival, logits.shape[1]).to(logits)
            weight[:, self.target] = 1
            slope, constant = upper_line(self.layers, low, high, weight)
            gain = (slope @ self.changes.T).view(-1, self.n, self.n)
            now = (slope * hidden).sum(1) + constant
            lead = lead.minimum(gain + (now[:, None, None] + self._best_later(gain, more - 1)))
        return lead

    def _before(self, sets: Sets) -> Float[Tensor, "s m"]:
        """The output of the first linear layer."""
        if not sets.shape[1]:
            return self.hidden.expand(len(sets), -1)
        return self.hidden + F.embedding_bag(sets, self.changes, mode="sum")

    def _after(self, hidden: Float[Tensor, "s m"]) -> Logits:
        for layer in self.layers:
            hidden = layer(hidden.relu())
        return hidden

    def _reach(self, more: int) -> tuple[Float[Tensor, "n_plus_1 m"], Float[Tensor, "n_plus_1 m"]]:
        """How far down and up `more` edits of cells from a position on can move each unit of the first layer."""
        if more not in self.sums:
            each = self.changes.view(self.n, self.n, -1)
            self.sums[more] = (-_largest(-each.amin(1), more), _largest(each.amax(1), more))
        return self.sums[more]

    def _best_later(self, gain: Bounds, more: int) -> Float[Tensor, "s n 1"]:
        """The largest gain of `more` edits of cells after each one."""
        later = torch.ones(self.n, self.n, dtype=torch.bool, device=gain.device).triu(1)
        each = gain.amax(2)[:, None].masked_fill(~later, -torch.inf)
        return each.topk(more, 2).values.sum(2, keepdim=True)


def _largest(each: Float[Tensor, "n m"], count: int) -> Float[Tensor, "n_plus_1 m"]:
    """From each position on, the sum of the `count` largest numbers, or of all."""
    n = len(each)
    return torch.stack([each[p:].topk(min(count, n - p), 0).values.sum(0) for p in range(n + 1)])


def _pair(head: nn.Module, query: Features, distractor: Features, goal: Goal) -> _Pair:
    """A pair with bounds, if the head's structure allows them."""
    _, d, u, v = query.shape
    known = linear_head(head, (d, u, v))
    finite = bool(query.isfinite().all() and distractor.isfinite().all())  # NaN would stay in sums
    if known is None or not finite or len(known.bias) * (u * v) ** 2 > _TABLE:
        return _AnyHead(head, query, distractor, goal)
    kinds = [type(layer) for layer in known.rest]
    if kinds != [nn.ReLU, nn.Linear] * (len(kinds) // 2):
        return _AnyHead(head, query, distractor, goal)
    return _ReluHead(known, head, query, distractor, goal)
