"""Goyal et al. (2019), Algorithm 1: make the best edit, again and again, until the decision changes.

F* <- f(I), F' <- f(I')
while c' != argmax g(F*):
    i, j <- the edit that makes log g_c'(F*) largest, of a cell i that is not edited yet
    F*_i <- F'_j
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rather.core import Features, Goal
from rather.feature_cells.cell_editor import CellEditor
from rather.feature_cells.edits import Edits
from rather.search.losses import log_probability


@final
@dataclass(frozen=True)
class EditSequence:
    """The edits of a batch of pairs, and their effect."""

    edits: Int[Tensor, "b s 2"]  # (query cell, distractor cell) in order, the first `count` of them
    log_probability: Float[Tensor, "b s_plus_1"]  # of the target, before any edit and after each of them
    count: Int[Tensor, " b"]
    flipped: Bool[Tensor, " b"]  # the edited maps are at the goal


def sequential_search(
    editor: CellEditor,
    query: Features,
    distractor: Features,
    goal: Goal,
    *,
    cells: int | None = None,
    at_most: int | None = None,
    reuse: bool = False,
) -> EditSequence:
    """Algorithm 1 for a batch of pairs; a pair leaves the batch once its prediction has changed.

    Args:
        editor: scores the edits by the head.
        query: f(I), of the images to explain; the images themselves if the editor edits those.
        distractor: f(I'), of the images to copy from, likewise.
        goal: c', and the confidence that it should have.
        cells: number of cells that can be edited; by default one at each place of a map.
        at_most: maximum number of edits of a pair; by default one of each cell.
        reuse: whether a cell of the distractor may be copied twice.
    """
    cells = query[0, 0].numel() if cells is None else cells
    most = cells if at_most is None else min(at_most, cells)
    every = torch.arange(len(goal), device=query.device)
    with torch.no_grad():
        parts = [
            _search(editor.start(f, other), goal[rows], cells, most, reuse=reuse)
            for f, other, rows in zip(
                *(whole.split(editor.at_once) for whole in (query, distractor, every)), strict=True
            )
        ]
    return EditSequence(*(torch.cat([vars(part)[name] for part in parts]) for name in vars(parts[0])))


def _search(maps: Edits, goal: Goal, cells: int, most: int, *, reuse: bool) -> EditSequence:
    rows = torch.arange(len(goal), device=goal.target.device)
    unedited = torch.ones(len(goal), cells, dtype=torch.bool, device=rows.device)  # query cells
    unused = torch.ones_like(unedited)  # distractor cells
    made = EditSequence(
        edits=rows.new_zeros(len(goal), most, 2),
        log_probability=torch.zeros(len(goal), most + 1, device=rows.device),
        count=torch.zeros_like(rows),
        flipped=torch.zeros_like(rows, dtype=torch.bool),
    )
    for step in range(most + 1):
        logits = maps.logits()
        flipped = goal.reached(logits)
        made.log_probability[rows, step] = log_probability(logits, goal.target).float()
        if step == most or flipped.any():
            made.count[rows], made.flipped[rows] = step, flipped
            if step == most or flipped.all():
                break
            rows, unedited, unused = (each[~flipped] for each in (rows, unedited, unused))
            goal = goal[~flipped]
            maps.keep(~flipped)
        edit = maps.best(goal.target, unedited[:, :, None] & unused[:, None])
        maps.apply(edit)
        made.edits[rows, step] = edit
        unedited.scatter_(1, edit[:, :1], value=False)
        if not reuse:
            unused.scatter_(1, edit[:, 1:], value=False)
    return made
