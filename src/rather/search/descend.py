"""Searches that methods share: gradient descent with rows that leave when they are done, and bisection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Annotated, final

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from rather.core import Images, SearchResult

Rows = Int[Tensor, " n"]  # which rows of the batch a tensor belongs to
PerRow = Float[Tensor, " n"]
Done = Bool[Tensor, " n"]
#: (points (n, ...), rows) -> loss of each, which are done and, optionally, a distance of each. Of the points
#: that are done the nearest is kept; the default distance is the mean absolute difference from the start.
Objective = Callable[[Tensor, Rows], tuple[PerRow, Done] | tuple[PerRow, Done, PerRow]]
#: (points, gradients, rows) -> the step to subtract, in units of the learning rate.
Update = Callable[[Tensor, Tensor, Rows], Tensor]
#: (start (b, ...)) -> the update of a descent from there, which may remember what each row has seen.
Optimizer = Callable[[Tensor], Update]
#: A setting of all methods that descend.
PathFrames = Annotated[int, Field(ge=0, description="Images of the search path to keep, roughly; 0 keeps none.")]


def adam(start: Tensor) -> Update:
    """Kingma and Ba (2015), with beta 0.9 and 0.999; element by element, so rows do not mix."""
    first, second = torch.zeros_like(start), torch.zeros_like(start)
    here = torch.arange(len(start), device=start.device)
    age = 0  # rows only ever leave, so that those still here are all of one age

    def update(_: Tensor, gradient: Tensor, rows: Rows) -> Tensor:
        nonlocal first, second, here, age
        if len(rows) < len(here):
            stay = torch.isin(here, rows)
            first, second, here = first[stay], second[stay], rows
        age += 1
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        return first / (1 - 0.9**age) / ((second / (1 - 0.999**age)).sqrt() + 1e-8)

    return update


def sgd(_: Tensor) -> Update:
    """The gradient itself."""
    return lambda _, gradient, __: gradient


def sign_sgd(_: Tensor) -> Update:
    """The sign of the gradient: every element moves by the learning rate."""
    return lambda _, gradient, __: gradient.sign()


def linear_decay(optimizer: Optimizer, steps: int) -> Optimizer:
    """The same optimizer with steps that get linearly shorter, down to nothing after `steps` of them."""

    def begin(start: Tensor) -> Update:
        update, ages = optimizer(start), count()  # rows that are still here are all of one age

        def shorter(z: Tensor, gradient: Tensor, rows: Rows) -> Tensor:
            return max(1 - next(ages) / steps, 0) * update(z, gradient, rows)

        return shorter

    return begin


def unit_box(z: Tensor) -> Tensor:
    """Pixel values back in [0, 1]."""
    return z.clamp(0, 1)


@final
@dataclass(frozen=True)
class Descent:
    """Where a descent began and ended, row by row."""

    start: Tensor  # (b, ...)
    end: Tensor  # (b, ...)
    loss: Float[Tensor, " b"]  # the last that was computed
    steps: Int[Tensor, " b"]  # steps taken
    evaluations: Int[Tensor, " b"]  # of the objective
    frames: list[Tensor]  # for each row points (n, ...) on the way, evenly spaced; the last one is its end


def descend(
    objective: Objective,
    start: Tensor,
    *,
    steps: int,
    lr: float,
    optimizer: Optimizer = adam,
    project: Callable[[Tensor], Tensor] = lambda z: z,
    patience: int = 0,
    frames: int = 0,
    judge_end: bool = True,
) -> Descent:
    """Lower each row's objective by its gradient, until the row is done or has taken `steps` steps.

    A row that is done leaves the batch and costs nothing more. So does a row whose gradient is not finite, or
    that a step does not move. What "done" means is up to the objective.

    Args:
        objective: see `Objective`; called with the rows that are still searching.
        start: points (b, ...).
        steps: maximum number of steps.
        lr: learning rate; with `sign_sgd` the length of a step, in units of the points.
        optimizer: `adam`, `sgd`, `sign_sgd`, or a method's own.
        project: puts points back to where they are allowed.
        patience: how many more steps a row that is done goes on without getting nearer. Its end is the
            nearest point that was done; without patience, the first.
        frames: how many points of the path to keep for each row, at least; at most twice as many.
        judge_end: whether the objective is computed at the point after the last step, too; only then can that
            point be done.
    """
    here, ends, film = _Searching(start), _Ends(start), Film(len(start), frames)
    update = optimizer(here.z)
    for step in range(steps + judge_end):
        if not len(here.rows):
            break
        film.record(step, here.z, here.rows)
        loss, gradient, nearer = here.judge(objective)
        ends.loss[here.rows] = loss.to(ends.loss)
        ends.set(here, nearer, step)
        ahead = project(here.z - lr * update(here.z, gradient, here.rows))
        stay = ~here.over(patience) & gradient.isfinite().flatten(1).all(1) & (step < steps)
        stay &= (ahead != here.z).flatten(1).any(1)
        if not stay.all():
            ends.leave(here, ~stay, step)
            here.keep(stay)
            ahead = ahead[stay]
        here.z = ahead
    film.record(steps, here.z, here.rows)
    ends.leave(here, torch.ones_like(here.rows, dtype=torch.bool), steps)  # those whose last point was not judged
    evaluations = (ends.taken + 1).clamp(max=steps + judge_end)  # the start was judged, too
    return Descent(start.detach(), ends.end, ends.loss, ends.taken, evaluations, film.cut(ends.best, ends.end))


class _Searching:
    """The rows that are still searching; everything has one entry for each, so that a step need not look it up."""

    def __init__(self, start: Tensor) -> None:
        self.z = self.origin = start.detach()
        self.rows: Rows = torch.arange(len(start), device=start.device)
        self.nearest: PerRow = torch.full(self.rows.shape, torch.inf, dtype=start.dtype, device=start.device)
        self.waited = torch.zeros_like(self.rows)  # evaluations since the nearest point that was done

    def judge(self, objective: Objective) -> tuple[PerRow, Tensor, Done]:
        """The loss of each point, its gradient, and whether the point is done and nearer than all before."""
        with torch.enable_grad():
            z = self.z.clone().requires_grad_()
            loss, done, *given = objective(z, self.rows)
            (gradient,) = torch.autograd.grad(loss.sum(), z)
        self.waited = self.waited + 1
        if not done.any():
            return loss.detach(), gradient, done
        distance = given[0].detach() if given else (self.z - self.origin).abs().flatten(1).mean(1)
        nearer = done & (distance < self.nearest)
        self.nearest = torch.where(nearer, distance, self.nearest)
        self.waited = torch.where(nearer, 0, self.waited)
        return loss.detach(), gradient, nearer

    def over(self, patience: int) -> Done:
        """Which rows were done, and have not come nearer for long enough."""
        return self.nearest.isfinite() & (self.waited >= patience)

    def keep(self, stay: Done) -> None:
        self.rows, self.origin, self.z = self.rows[stay], self.origin[stay], self.z[stay]
        self.nearest, self.waited = self.nearest[stay], self.waited[stay]


class _Ends:
    """Where each row of the batch ends, at which step, and how many steps it took."""

    def __init__(self, start: Tensor) -> None:
        self.end = start.detach().clone()
        self.best = torch.zeros(len(start), dtype=torch.int64, device=start.device)
        self.taken = torch.zeros_like(self.best)
        self.loss = self.end.new_full(self.best.shape, torch.nan)

    def set(self, here: _Searching, which: Done, step: int) -> None:
        self.end[here.rows[which]], self.best[here.rows[which]] = here.z[which], step

    def leave(self, here: _Searching, which: Done, step: int) -> None:
        """Rows that were never done end at their last point."""
        self.set(here, which & here.nearest.isinf(), step)
        self.taken[here.rows[which]] = step


def descend_pixels(
    objective: Objective,
    x: Images,
    *,
    steps: int,
    lr: float,
    optimizer: Optimizer = adam,
    patience: int = 0,
    frames: int = 0,
) -> SearchResult:
    """`descend` from the images x within [0, 1]; the artifact `path` holds the images on the way."""
    found = descend(
        objective, x, steps=steps, lr=lr, optimizer=optimizer, project=unit_box, patience=patience, frames=frames
    )
    return SearchResult(
        images=found.end,
        steps=found.steps,
        evaluations=found.evaluations,
        artifacts={"path": found.frames} if frames else {},
    )


class Film:
    """Points of each row at evenly spread steps; when a row has too many, every other one goes.

    A row's stride is its own: rows that still search are all of one age, and those that left keep theirs.
    """

    def __init__(self, rows: int, count: int) -> None:
        self.count, self.stride = count, 1
        self.kept: list[list[tuple[int, Tensor]]] = [[] for _ in range(rows)]

    def record(self, step: int, points: Tensor, rows: Rows) -> None:
        """Keep the points of these rows, if the step is one of those that are kept."""
        if not self.count or step % self.stride:
            return
        for row, point in zip(rows.tolist(), points, strict=True):
            self.kept[row].append((step, point))
        if step == (2 * self.count - 1) * self.stride:
            for row in rows.tolist():
                self.kept[row] = self.kept[row][::2]
            self.stride *= 2

    def cut(self, last: Int[Tensor, " b"], end: Tensor) -> list[Tensor]:
        """The points of each row before its last step, and its end."""
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
    """For each row the largest value that passes, to within (high - low) / 2**steps.

    Args:
        test: (a value for each row, rows) -> which pass; a row passes up to some value and not above it.
        low: the answer where no other value passes; it is not tested.
        high: the largest possible answer; it is tested first, and a row that passes there leaves.
        steps: number of halvings.
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
