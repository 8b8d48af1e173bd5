"""Searches that methods share: descent with rows that leave when they are done, and bisection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Rows = Int[Tensor, " n"]
PerRow = Float[Tensor, " n"]
Done = Bool[Tensor, " n"]
#: Of points (n, ...) and the rows they belong to: a loss for each, which are done, and how far each is, for
#: the nearest to be kept; where it does not say, that is the mean absolute difference from the start.
Objective = Callable[[Tensor, Rows], tuple[PerRow, Done] | tuple[PerRow, Done, PerRow]]
#: Of points, their gradients and their rows: uphill, in units of the learning rate.
Direction = Callable[[Tensor, Tensor, Rows], Tensor]
#: Of a start (b, ...): the direction of a descent from there, which may remember what each row has seen.
Rule = Callable[[Tensor], Direction]


def adam(start: Tensor) -> Direction:
    """Kingma and Ba (2015), with beta 0.9 and 0.999; element by element, so rows do not mix."""
    first, second = torch.zeros_like(start), torch.zeros_like(start)
    here = torch.arange(len(start), device=start.device)
    age = 0  # rows only ever leave, so that those still here are all of one age

    def direction(_: Tensor, gradient: Tensor, rows: Rows) -> Tensor:
        nonlocal first, second, here, age
        if len(rows) < len(here):
            stay = torch.isin(here, rows)
            first, second, here = first[stay], second[stay], rows
        age += 1
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        return first / (1 - 0.9**age) / ((second / (1 - 0.999**age)).sqrt() + 1e-8)

    return direction


def sign(_: Tensor) -> Direction:
    """The sign of the gradient: every element moves by the learning rate."""
    return lambda _, gradient, __: gradient.sign()


def plain(_: Tensor) -> Direction:
    """The gradient itself."""
    return lambda _, gradient, __: gradient


def linear_decay(rule: Rule, steps: int) -> Rule:
    """The same in steps that get shorter, linearly, down to nothing after `steps` of them."""

    def begin(start: Tensor) -> Direction:
        direction, ages = rule(start), count()  # of one age are all that are still here

        def shorter(z: Tensor, gradient: Tensor, rows: Rows) -> Tensor:
            return max(1 - next(ages) / steps, 0) * direction(z, gradient, rows)

        return shorter

    return begin


@final
@dataclass(frozen=True)
class Path:
    """Where a descent ended, row by row."""

    end: Tensor  # (b, ...), as the start
    steps: Int[Tensor, " b"]  # steps taken
    evaluations: Int[Tensor, " b"]  # of the objective
    frames: list[Tensor]  # a row: (n, ...), points on the way to its end, evenly spread, the last one its end


def descend(
    objective: Objective,
    start: Tensor,
    *,
    steps: int,
    lr: float,
    rule: Rule = adam,
    project: Callable[[Tensor], Tensor] = lambda z: z,
    patience: int = 0,
    frames: int = 0,
) -> Path:
    """Lower each row's objective by its gradient, until the row is done or has taken `steps` steps.

    A row that is done leaves the batch and costs nothing more. So does one whose gradient is not finite, or
    that a step leaves where it was. What "done" means is the objective's to say.

    Args:
        objective: see `Objective`; called with the rows that are still searching.
        start: points (b, ...).
        steps: at most.
        lr: step length; in units of the points for `sign`.
        rule: where to go: `adam`, `sign`, `plain`, or a method's own.
        project: puts points back to where they are allowed.
        patience: for how many more steps a row that is done goes on without getting nearer. Its end is the
            nearest point that was done; without patience, the first.
        frames: how many points of the path to keep for each row, at least; at most twice as many.
    """
    start = start.detach()
    end, film, direction = start.clone(), _Film(len(start), frames), rule(start)
    rows = torch.arange(len(start), device=start.device)
    taken, best = torch.zeros_like(rows), torch.zeros_like(rows)
    # What follows is of the rows that are still here, in their order, so that a step need not look it up.
    z, origin, waited = start, start, torch.zeros_like(rows)
    nearest = torch.full(rows.shape, torch.inf, dtype=start.dtype, device=start.device)
    for step in range(steps + 1):
        if not len(rows):
            break
        film.record(step, z, rows)
        with torch.enable_grad():
            z = z.clone().requires_grad_()
            loss, done, *apart = objective(z, rows)
            (gradient,) = torch.autograd.grad(loss.sum(), z)
        z = z.detach()
        waited = waited + 1
        if done.any():
            distance = apart[0].detach() if apart else (z - origin).abs().flatten(1).mean(1)
            better = done & (distance < nearest)
            nearest, waited = torch.where(better, distance, nearest), torch.where(better, 0, waited)
            end[rows[better]], best[rows[better]] = z[better], step
        over = nearest.isfinite() & (waited >= patience)
        ahead = project(z - lr * direction(z, gradient, rows))
        stay = ~over & gradient.isfinite().flatten(1).all(1) & (step < steps)
        stay &= (ahead != z).flatten(1).any(1)
        if not stay.all():
            never = ~stay & nearest.isinf()
            end[rows[never]], best[rows[never]] = z[never], step
            taken[rows[~stay]] = step
            rows, ahead, origin, nearest, waited = (kept[stay] for kept in (rows, ahead, origin, nearest, waited))
        z = ahead
    return Path(end, taken, taken + 1, film.cut(best, end))  # the start was looked at, too


class _Film:
    """Points of each row at evenly spread steps; when a row has too many, every other one goes.

    A row's stride is its own: rows that still search are all of one age, and those that left keep theirs.
    """

    def __init__(self, rows: int, count: int) -> None:
        self.count, self.stride = count, 1
        self.kept: list[list[tuple[int, Tensor]]] = [[] for _ in range(rows)]

    def record(self, step: int, points: Tensor, rows: Rows) -> None:
        if not self.count or step % self.stride:
            return
        for row, point in zip(rows.tolist(), points, strict=True):
            self.kept[row].append((step, point))
        if step == (2 * self.count - 1) * self.stride:
            for row in rows.tolist():
                self.kept[row] = self.kept[row][::2]
            self.stride *= 2

    def cut(self, last: Int[Tensor, " b"], end: Tensor) -> list[Tensor]:
        if not self.count:
            return []
        return [
            torch.stack([point for step, point in kept if step < until] + [end[row]])
            for row, (kept, until) in enumerate(zip(self.kept, last.tolist(), strict=True))
        ]


def bisect(
    test: Callable[[Float[Tensor, " n"], Rows], Bool[Tensor, " n"]],
    low: Float[Tensor, " b"],
    high: Float[Tensor, " b"],
    *,
    steps: int,
) -> Float[Tensor, " b"]:
    """For each row the largest value that passes, to within (high - low) / 2**steps; `low` is taken to pass.

    Args:
        test: of a value for each row: does it pass? It passes up to some value and not above it.
        low: passes, or is the answer all the same.
        high: the answer lies below or at it; a row that passes there leaves.
        steps: how often to halve.
    """
    low, high = low.clone(), high.clone()
    (rows,) = (low != high).nonzero(as_tuple=True)
    value = high[rows]
    for _ in range(steps + 1):
        if not len(rows):
            break
        passed = test(value, rows)
        low[rows] = torch.where(passed, value, low[rows])
        high[rows] = torch.where(passed, high[rows], value)
        rows = rows[low[rows] != high[rows]]
        value = (low[rows] + high[rows]) / 2
    return low


def on_grid(z: Tensor) -> Tensor:
    """Pixels rounded to the 8-bit grid, with the gradient of the identity: the picture that will be saved."""
    return (z.detach() * 255).round() / 255 + (z - z.detach())
