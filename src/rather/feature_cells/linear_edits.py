"""The scores of all edits at once, for heads whose first layer with weights is linear.

That layer adds up what each cell contributes, so that for all n * n edits at once

    hidden after (i, j)  =  hidden  +  W_i f'_j  -  W_i f_i

where the last two terms are computed once for a pair of maps and serve all its edits, as no cell is edited
twice. Hidden units that no edit can bring above zero are left out of the next layer, which changes nothing.
In a pooled linear head neither term depends on both i and j, and the normalisers of all n * n probabilities
are one product of two small matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import override

from rather.core import Features, Labels, Logits
from rather.feature_cells.edits import Edit, Edits, OpenEdits, Scores
from rather.feature_cells.linear_head import LinearHead

Step = Callable[[Float[Tensor, "m c"]], Float[Tensor, "k c"]]

_UNDERFLOW: Final = 1e-28  # below it a sum of float32 may have lost terms that count
_LARGE: Final = 2**20  # numbers in the table of a pair that is worth looking for units that are dead
_UNITS: Final = 256  # whose weights stay in the cache while they are used
#: Numbers in a layer at once. Of 32 MiB or more, malloc keeps nothing: each use faults in its pages again.
_BLOCK: Final = 6 * 2**20


@final
class LinearFirst(Edits):
    """Scores from what each edit adds to the m units of the first layer: n * n * m numbers for a pair.

    The units are the first dimension: the layers after them then multiply from the left and the softmax runs
    across edits, which for a small head is several times faster than along the few classes.
    """

    def __init__(self, head: LinearHead, query: Features, distractor: Features) -> None:
        m, _, d = head.weight.shape
        b, n = len(query), query[0].numel() // d
        parts = head.weight.split(_UNITS)
        before = torch.cat([torch.einsum("mid,bdi->mbi", part, query.flatten(2)) for part in parts])
        after = head.weight.view(-1, d) @ distractor.flatten(2).transpose(0, 1).reshape(d, -1)
        after = after.view(m, -1, b, n).transpose(1, 2).contiguous()
        self.head = head
        self.hidden = before.sum(2) + head.bias[:, None]  # (m, b)
        self.changes = (
            after.sub_(before[..., None]) if after.shape[2] == n else after - before[..., None]
        )  # (m, b, n, n)
        # Hardly a unit is dead in all pairs of a batch; in one so large that it comes alone, many are.
        alone = b == 1 and self.changes.numel() >= _LARGE
        self.top = self.changes.flatten(1).amax(1, keepdim=True) if alone else None

    @override
    def logits(self) -> Logits:
        return _columns(_steps(self.head.rest), self.hidden.clone()).to(self.hidden).T

    @override
    def scores(self, target: Labels, open_edits: OpenEdits) -> Scores:
        b, n, _ = open_edits.shape  # closed ones too: they are few, and to leave them out costs a copy
        steps, hidden = _steps(self.head.rest), self.hidden[..., None, None]
        if self.top is None or self.head.second is None:
            z = self.changes + hidden
        else:
            weight, bias = self.head.second
            (alive,) = (~(self.hidden + self.top <= 0)).all(1).nonzero(as_tuple=True)
            z = self.changes[alive].add_(hidden[alive])
            steps[1] = partial(_linear, weight[alive].T, bias)
        block = max(1, _BLOCK // self.head.width)
        logits = torch.cat([_columns(steps, part) for part in z.flatten(1).split(block, 1)], 1)
        log_p = logits.to(hidden).log_softmax(0).view(-1, b, n, n)
        return log_p.gather(0, target[:, None, None].expand(1, b, n, n))[0]

    @override
    def apply(self, edit: Edit) -> None:
        i, j = edit.T
        self.hidden = self.hidden + self.changes[:, torch.arange(len(edit)), i, j]

    @override
    def keep(self, rows: Bool[Tensor, " b"]) -> None:
        (places,) = rows.nonzero(as_tuple=True)
        self.hidden, self.changes = self.hidden[:, places], self.changes.index_select(1, places)


def _steps(layers: nn.Sequential) -> list[Step]:
    """Linear layers and activations, on columns; they may overwrite their input."""
    return [partial(_linear, layer.weight, layer.bias) if isinstance(layer, nn.Linear) else layer for layer in layers]


def _linear(weight: Tensor, bias: Tensor | None, z: Float[Tensor, "m c"]) -> Float[Tensor, "k c"]:
    z = z.to(weight)
    return weight @ z if bias is None else torch.addmm(bias[:, None], weight, z)


def _columns(steps: Sequence[Step], z: Float[Tensor, "m c"]) -> Float[Tensor, "k c"]:
    for step in steps:
        z = step(z)
    return z


@final
class PooledLinear(Edits):
    """Scores in closed form, if the head is one linear layer with the same weights for every cell.

        p_k after (i, j)  =  a_k left_ik right_jk / sum_k a_k left_ik right_jk,
        a = exp(logits),  left_i = exp(-W f_i),  right_j = exp(W f'_j)

    An edit changes the logits only, so the exponentials of the cells serve all edits of a pair. a, left_i and
    right_j are each divided by their largest, which p does not notice: what then underflows is a term that
    does not count, unless two cells alone move the classes e^64 apart.
    """

    def __init__(self, head: LinearHead, query: Features, distractor: Features) -> None:
        weight = head.weight[:, 0].T.contiguous()  # a product of two transposed matrices is slower
        self.from_query = query.flatten(2).mT @ weight  # (b, n, k)
        self.from_distractor = distractor.flatten(2).mT @ weight
        self.left = (self.from_query.amin(2, keepdim=True) - self.from_query).exp_()
        right = (self.from_distractor - self.from_distractor.amax(2, keepdim=True)).exp_()
        self.right = right.mT.contiguous()  # (b, k, n): products with it are twice as fast
        self.now = self.from_query.sum(1, dtype=torch.float64) + head.bias
        self.rows = torch.arange(len(query), device=query.device)  # the rows that are kept of both

    @override
    def logits(self) -> Logits:
        return self.now

    @override
    def scores(self, target: Labels, open_edits: OpenEdits) -> Scores:
        every = torch.arange(len(target), device=target.device)
        log_a = (self.now - self.now.amax(1, keepdim=True)).to(self.left)
        share = self.left[every, :, target][:, :, None] * self.right[every, target][:, None]
        total = (self.left * log_a.exp()[:, None]) @ self.right
        if (torch.minimum(share, total) >= _UNDERFLOW).all():
            return share.div_(total).log_().add_(log_a[every, target][:, None, None])
        after, without = self.from_distractor[self.rows], self.now[:, None] - self.from_query[self.rows]
        each = [(rest[:, None] + after).log_softmax(2)[every, :, target] for rest in without.unbind(1)]
        return torch.stack(each, 1)

    @override
    def apply(self, edit: Edit) -> None:
        i, j = edit.T
        self.now = self.now - self.from_query[self.rows, i] + self.from_distractor[self.rows, j]

    @override
    def keep(self, rows: Bool[Tensor, " b"]) -> None:
        (places,) = rows.nonzero(as_tuple=True)
        self.now, self.rows = self.now[places], self.rows[places]
        self.left, self.right = (table.index_select(0, places) for table in (self.left, self.right))
