"""Goyal et al. (2019), section 2.3: the best edit found by gradient descent on a continuous relaxation.

    max_{alpha, M}  log p(c' | (1 - a) o f(I) + a o P f(I')),   a = softmax(alpha),  p_i = softmax(m_i)

with the entropies of a and of the rows of P as penalties, so that both end nearly one-hot. The paper gives
plain gradient descent and its learning rate of 0.3; it does not give the start, the number of steps, or the
weight of the entropies. Ours starts from alpha = 0 and M = 0, the one start that prefers no cell, and keeps
the weight constant. On training pairs of the digit net 100 steps find nearly as many best edits as 300, and a
weight of up to 0.1 changes next to nothing (docs/goyal-figures.md): the cell that the first gradient prefers
is nearly always the one that is kept.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rather.core import Labels
from rather.search.descend import Rows, descend, sgd
from rather.search.losses import log_probability

#: In place of -inf: its softmax is exactly 0 as well, and 0 * log 0 is 0 rather than NaN.
_CLOSED = -1e9


def relaxed_best_edit(
    head: nn.Module,
    query: Float[Tensor, "b d u v"],
    distractor: Float[Tensor, "b d u v"],
    target: Labels,
    open_edits: Bool[Tensor, "b n n"],
    *,
    steps: int,
    lr: float,
    entropy: float,
) -> Int[Tensor, "b 2"]:
    """For each row the edit (query cell i, distractor cell j) that the relaxation settles on.

    After the descent i is the largest entry of a, and j the largest of row i of P.

    Args:
        head: features (b, d, u, v) to logits.
        query: features f(I) of the queries; n = u * v cells.
        distractor: features f(I') to copy from.
        target: the class c' to make more probable.
        open_edits: which (i, j) may be chosen; at least one in each row.
        steps: of gradient descent.
        lr: learning rate; 0.3 in the paper.
        entropy: weight of the entropy of a plus those of the rows of P, in nats.
    """
    f, f_other = query.flatten(2).transpose(1, 2), distractor.flatten(2).transpose(1, 2)
    rows, n, _ = f.shape
    open_cells = open_edits.any(2)

    def split(z: Tensor, at: Rows) -> tuple[Float[Tensor, "n cells"], Float[Tensor, "n cells cells"]]:
        alpha, m = z[:, :n], z[:, n:].unflatten(1, (n, n))
        return alpha.masked_fill(~open_cells[at], _CLOSED), m.masked_fill(~open_edits[at], _CLOSED)

    def objective(z: Tensor, at: Rows) -> tuple[Tensor, Tensor]:
        alpha, m = split(z, at)
        log_a, log_p = alpha.log_softmax(1), m.log_softmax(2)
        a, p = log_a.exp(), log_p.exp()
        mixed = torch.lerp(f[at], p @ f_other[at], a[:, :, None])  # (1 - a) o f(I) + a o P f(I')
        logits = head(mixed.transpose(1, 2).reshape_as(query[at]))
        entropies = -(a * log_a).sum(1) - (p * log_p).sum((1, 2))
        never = torch.zeros(len(at), dtype=torch.bool, device=at.device)
        return entropy * entropies - log_probability(logits, target[at]), never

    end = descend(objective, query.new_zeros(rows, n + n * n), steps=steps, lr=lr, optimizer=sgd).end
    every = torch.arange(rows, device=query.device)
    alpha, m = split(end, every)
    i = alpha.argmax(1)
    return torch.stack([i, m[every, i].argmax(1)], 1)
