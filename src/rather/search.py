"""Searches that methods share: descent with rows that leave when they are done, and bisection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Rows = Int[Tensor, " n"]
#: Of points (n, ...) and the rows they belong to: a loss for each, and which of them are done.
Objective = Callable[[Tensor, Rows], tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]]


@final
@dataclass(frozen=True)
class Path:
    """Where a descent ended, row by row."""

    end: Tensor  # (b, ...), as the start
    steps: Int[Tensor, " b"]  # steps taken
    evaluations: Int[Tensor, " b"]  # of the objective
    frames: list[Tensor]  # a row: (n, ...), points of its path, evenly spread, the last one its end


def descend(
    objective: Objective,
    start: Tensor,
    *,
    steps: int,
    lr: float,
    rule: Literal["adam", "sign", "plain"] = "adam",
    project: Callable[[Tensor], Tensor] = lambda z: z,
    frames: int = 0,
) -> Path:
    """Lower each row's objective by its gradient, until the row is done or has taken `steps` steps.

    A row that is done leaves the batch and costs nothing more. A row whose gradient is not finite stays where
    it is and leaves too. What "done" means is the objective's to say.

    Args:
        objective: see `Objective`; called with the rows that are still searching.
        start: points (b, ...).
        steps: at most.
        lr: step length; in units of the points for `sign`.
        rule: Adam (beta 0.9 and 0.999, per element), the gradient's sign, or the gradient itself.
        project: puts points back to where they are allowed.
        frames: how many points of the path to keep for each row, at least; at most twice as many.
    """
    end = start.detach().clone()
    rows = torch.arange(len(start), device=start.device)
    taken = torch.zeros_like(rows)
    evaluations = torch.zeros_like(rows)
    first = torch.zeros_like(end)
    second = torch.zeros_like(end)
    film = _Film(frames)
    for step in range(steps + 1):
        film.record(step, end)
        z = end[rows].requires_grad_()
        with torch.enable_grad():
            loss, done = objective(z, rows)
            (gradient,) = torch.autograd.grad(loss.sum(), z)
        evaluations[rows] += 1
        go = ~done & gradient.flatten(1).isfinite().all(1)
        if step == steps or not go.any():
            break
        rows, gradient = rows[go], gradient[go]
        if rule == "adam":
            first[rows] = 0.9 * first[rows] + 0.1 * gradient
            second[rows] = 0.999 * second[rows] + 0.001 * gradient**2
            mean, square = first[rows] / (1 - 0.9 ** (step + 1)), second[rows] / (1 - 0.999 ** (step + 1))
            gradient = mean / (square.sqrt() + 1e-8)
        elif rule == "sign":
            gradient = gradient.sign()
        end[rows] = project(end[rows] - lr * gradient)
        taken[rows] += 1
    return Path(end, taken, evaluations, film.cut(taken, end))


class _Film:
    """Points of all rows at evenly spread steps; when there are too many, every other one goes."""

    def __init__(self, count: int) -> None:
        self.count, self.stride = count, 1
        self.kept: list[tuple[int, Tensor]] = []

    def record(self, step: int, points: Tensor) -> None:
        if not self.count or step % self.stride:
            return
        self.kept.append((step, points.clone()))
        if len(self.kept) >= 2 * self.count:
            self.kept, self.stride = self.kept[::2], self.stride * 2

    def cut(self, taken: Int[Tensor, " b"], end: Tensor) -> list[Tensor]:
        if not self.count:
            return []
        return [
            torch.stack([points[row] for step, points in self.kept if step < last] + [end[row]])
            for row, last in enumerate(taken.tolist())
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
        high: the answer lies below or at it.
        steps: how often to halve.
    """
    low, high = low.clone(), high.clone()
    rows = torch.arange(len(low), device=low.device)
    whole = test(high, rows)
    low = torch.where(whole, high, low)
    for _ in range(steps):
        middle = (low + high) / 2
        passed = test(middle, rows)
        low, high = torch.where(passed, middle, low), torch.where(passed, high, middle)
    return low


def on_grid(z: Tensor) -> Tensor:
    """Pixels rounded to the 8-bit grid, with the gradient of the identity: the picture that will be saved."""
    return z + ((z.detach() * 255).round() / 255 - z.detach())
