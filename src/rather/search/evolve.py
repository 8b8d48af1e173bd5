"""Search without gradients: the evolution strategy CMA-ES, of the library `cmaes`, one for each row.

N. Hansen, A. Ostermeier, "Completely derandomized self-adaptation in evolution strategies", Evolutionary
Computation 9(2), 2001. In many dimensions the covariance is diagonal, which is learned from far fewer questions:
R. Ros, N. Hansen, "A simple modification in CMA-ES achieving linear time and space complexity", PPSN 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Final, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.core import Noise
from rather.search.descend import Descent, Film, Objective, Rows

_FULL: Final = 40  # dimensions up to which the covariance is a whole matrix
_SEEDS: Final = 2**31
Values = Float[Tensor, "n p"]  # of a generation: p points for each of n rows


@torch.no_grad()
def evolve(
    objective: Objective,
    start: Tensor,
    *,
    noise: Noise,
    queries: int,
    spread: float,
    project: Callable[[Tensor], Tensor] = lambda z: z,
    patience: int = 0,
    frames: int = 0,
    at_once: int | None = None,
) -> Descent:
    """Lower each row's objective by its values alone, until the row is done or `queries` of its points are tried.

    It is for `descend` where there is no gradient; a step is a generation. CMA-ES reads the order of the values and
    not the values, so that rounding does not add up, and a row is the same in every batch.

    Args:
        objective: see `Objective`; it is computed without gradients.
        start: points (b, ...).
        noise: random numbers of each row.
        queries: how many points of a row are tried, at most; the start is one.
        spread: standard deviation of the first generation, in units of the points.
        project: puts points back to where they are allowed.
        patience: how many more generations a row that is done goes on without getting nearer. Its end is the
            nearest point that was done; the end of a row that was never done is its point of least loss.
        frames: how many points of the path to keep for each row, at least; at most twice as many.
        at_once: points in one call of the objective; by default as many as there are rows.
    """
    kept, film, strategies = _Kept(start.detach().clone()), Film(len(start), frames), _Strategies(start, spread, noise)
    rows = torch.arange(len(start), device=start.device)
    asked, taken, at_once = torch.zeros_like(rows), torch.zeros_like(rows), at_once or max(len(start), 1)
    for step in count():
        tries = strategies.size if step else 1  # at first the start alone
        rows = rows[kept.goes_on(rows, patience) & (asked[rows] + tries <= queries) & ~strategies.stopped(rows)]
        if not len(rows):
            break
        film.record(step, kept.end[rows], rows)
        points = project(strategies.ask(rows)) if step else start.detach()[rows, None]
        loss, distance = _judged(objective, points, rows, start, at_once)
        if step:
            strategies.tell(rows, points, loss)
        kept.offer(rows, points, loss, distance, step)
        asked[rows] += tries
        taken[rows] = step
    return Descent(start.detach(), kept.end, kept.loss, taken, asked, film.cut(kept.step, kept.end))


def _judged(objective: Objective, points: Tensor, rows: Rows, start: Tensor, at_once: int) -> tuple[Values, Values]:
    """The loss of each row's points, infinite where it is not finite, and their distance where they are done."""
    n, p = points.shape[:2]
    losses, distances = [], []
    for some, of in zip(points.flatten(0, 1).split(at_once), rows.repeat_interleave(p).split(at_once), strict=True):
        loss, done, *given = objective(some, of)
        far = given[0] if given else (some - start[of]).abs().flatten(1).mean(1)
        losses.append(loss.nan_to_num(torch.inf))
        distances.append(torch.where(done, far, torch.inf))
    return torch.cat(losses).view(n, p), torch.cat(distances).view(n, p)


@final
class _Kept:
    """Of each row the nearest point that was done; as long as there is none, the one of least loss."""

    def __init__(self, end: Tensor) -> None:
        self.end, self.loss = end, torch.full((len(end),), torch.inf, device=end.device)
        self.nearest, self.step = self.loss.clone(), torch.zeros(len(end), dtype=torch.long, device=end.device)
        self.waited = self.step.clone()  # generations since it got nearer

    def goes_on(self, rows: Rows, patience: int) -> Bool[Tensor, " n"]:
        """Which rows have not been done, or wait for a nearer point still."""
        return self.nearest[rows].isinf() | (self.waited[rows] < patience)

    def offer(self, rows: Rows, points: Tensor, loss: Values, distance: Values, step: int) -> None:
        """Keep the best of a generation where it is better than the best so far."""
        (near, nearest), (low, lowest) = distance.min(1), loss.min(1)
        nearer = near < self.nearest[rows]
        better = nearer | (self.nearest[rows].isinf() & near.isinf() & (low < self.loss[rows]))
        chosen = torch.where(nearer, nearest, lowest)[better]
        self.end[rows[better]], self.step[rows[better]] = points[better, chosen], step
        self.waited[rows] = torch.where(nearer, 0, self.waited[rows] + 1)
        self.nearest[rows] = torch.minimum(self.nearest[rows], near)
        self.loss[rows] = torch.minimum(self.loss[rows], low)


@final
class _Strategies:
    """A CMA-ES for each row, with the row's own random numbers."""

    def __init__(self, start: Tensor, spread: float, noise: Noise) -> None:
        from cmaes import CMA, SepCMA  # it loads scipy, which other searches do without

        self.like, means = start, start.detach().flatten(1).double().cpu().numpy()
        kind = CMA if means.shape[1] <= _FULL else SepCMA
        seeds = noise.choice(torch.full((len(start),), _SEEDS)).tolist()
        self.of_row = [kind(mean, spread, seed=seed) for mean, seed in zip(means, seeds, strict=True)]
        self.size = self.of_row[0].population_size if self.of_row else 0

    def ask(self, rows: Rows) -> Tensor:
        """The next generation of each row (n, p, ...)."""
        drawn = [[self.of_row[row].ask() for _ in range(self.size)] for row in rows.tolist()]
        return torch.from_numpy(np.array(drawn)).to(self.like).view(len(rows), self.size, *self.like.shape[1:])

    def tell(self, rows: Rows, points: Tensor, loss: Values) -> None:
        """Say how good the points were, after they were put where they are allowed."""
        for row, some, values in zip(
            rows.tolist(), points.flatten(2).double().cpu().numpy(), loss.tolist(), strict=True
        ):
            self.of_row[row].tell([*zip(some, values, strict=True)])

    def stopped(self, rows: Rows) -> Bool[Tensor, " n"]:
        """Which rows can improve no more, by the criteria of the library."""
        ended = [self.of_row[row].should_stop() for row in rows.tolist()]
        return torch.tensor(ended, dtype=torch.bool, device=rows.device)
