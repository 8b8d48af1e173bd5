"""The nearest success of a search whose answers are more than its points, and dear to make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Final, final

import torch
from jaxtyping import Bool
from torch import Tensor

from rather.core import Images
from rather.search import PerRow, Rows

_FARTHER: Final = 1.02  # times the distance of one that failed: less than that is not worth another look


@final
class Candidates:
    """Points that a search comes by: looked at until one leads to a success, then kept until it is over.

    What comes after the first success is mostly nearer and succeeds as well. So at the end the nearest is
    looked at first, and a row costs a few answers in place of one for each point.
    """

    def __init__(self, everyone: Rows, succeed: Callable[[Images, Rows], Bool[Tensor, " n"]]) -> None:
        """Of all rows; `succeed` makes the answers of points of some rows, and says which succeed."""
        self.succeed = succeed
        self.asked = torch.zeros_like(everyone)  # how often, of each row
        self.sure = torch.zeros_like(everyone, dtype=torch.bool)  # that there is a success
        self._kept: list[tuple[Images, Rows, PerRow]] = []

    @torch.no_grad()
    def among(
        self, z: Images, rows: Rows, promising: Bool[Tensor, " n"], distance: PerRow
    ) -> Bool[Tensor, " n"]:
        """Which of some points are candidates.

        Args:
            z: the points.
            rows: that they belong to.
            promising: which are worth a look.
            distance: how far each is.
        """
        z, distance = z.detach(), distance.detach()
        (first,) = (promising & ~self.sure[rows]).nonzero(as_tuple=True)
        if len(first):
            self.sure[rows[first]] = self._look(z[first], rows[first])
        kept = promising & self.sure[rows]
        if kept.any():
            self._kept.append((z[kept], rows[kept], distance[kept]))
        return kept

    @torch.no_grad()
    def nearest(self, otherwise: Images) -> Images:
        """Of each row the nearest candidate that succeeds; of one without, what is given."""
        best = otherwise.clone()
        if not self._kept:
            return best
        z, rows, distance = (torch.cat(parts) for parts in zip(*self._kept, strict=True))
        far, row_of = distance.tolist(), rows.tolist()
        queues: dict[int, list[int]] = defaultdict(list)
        for n in distance.argsort(stable=True).tolist():
            queues[row_of[n]].append(n)
        while queues:
            heads = torch.tensor([queue[0] for queue in queues.values()], device=rows.device)
            good = self._look(z[heads], rows[heads])
            best[rows[heads[good]]] = z[heads[good]]
            failed = heads[~good].tolist()
            rest = {row_of[n]: [m for m in queues[row_of[n]] if far[m] > _FARTHER * far[n]] for n in failed}
            queues = {row: queue for row, queue in rest.items() if queue}
        return best

    def _look(self, z: Images, rows: Rows) -> Bool[Tensor, " n"]:
        self.asked[rows] += 1
        return self.succeed(z, rows)
