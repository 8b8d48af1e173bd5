"""Chooses the fastest exact way to score the edits of a feature map, by the structure of the head."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, final

from torch import nn

from rather.core import Features
from rather.feature_cells.edits import BLOCK, AnyHead, Edits, Prescreened
from rather.feature_cells.linear_edits import LinearFirst, PooledLinear
from rather.feature_cells.linear_head import LinearHead, linear_head

Prescreen = Literal["none", "bf16"]
Start = Callable[[Features, Features], Edits]  # (queries, distractors) -> their edits

_CACHE: Final = 2**21  # numbers in the tables of all pairs at once: many more would leave the cache
_TABLE: Final = 2**27  # numbers in the table of one pair; if it would be larger, the head is called instead


@final
@dataclass(frozen=True)
class CellEditor:
    """Starts the edits of the maps of one head, of at most `at_once` pairs (query, distractor)."""

    start: Start
    at_once: int


def cell_editor(head: nn.Module, shape: tuple[int, int, int], screen: Prescreen = "none") -> CellEditor:
    """The editor for a head; a head of unknown structure is called for every edit.

    Args:
        head: maps (b, d, u, v) to logits (b, k), in evaluation mode.
        shape: (d, u, v).
        screen: `bf16` scores all edits in bf16 and checks the best by the head itself, see `Prescreened`. A
            pooled linear head does not need it, and ignores it.
    """
    d, n = shape[0], shape[1] * shape[2]
    known = linear_head(head, shape)
    if known is not None and known.pooled:
        return CellEditor(partial(PooledLinear, known), max(1, _CACHE // (len(known.bias) * n)))
    if known is not None and len(known.bias) * n * n > _TABLE:
        known = None
    start: Start = partial(AnyHead, head) if known is None else partial(LinearFirst, known)
    at_once = BLOCK // (d * n * n) if known is None else _CACHE // (len(known.bias) * n * n)
    if screen == "bf16":
        start = partial(_screened, head, _rough(head) if known is None else partial(LinearFirst, _low(known)))
    return CellEditor(start, max(1, at_once))


def _screened(head: nn.Module, rough: Start, query: Features, distractor: Features) -> Edits:
    return Prescreened(AnyHead(head, query, distractor), rough(query, distractor))


def _rough(head: nn.Module) -> Start:
    low = deepcopy(head).bfloat16()
    return partial(AnyHead, lambda maps: low(maps.bfloat16()).to(maps))


def _low(known: LinearHead) -> LinearHead:
    return replace(known, rest=deepcopy(known.rest).bfloat16())
