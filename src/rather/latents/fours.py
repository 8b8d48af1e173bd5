"""Parts of four rows, always: so a row is rounded alike, whatever else is in memory.

A library of matrix products chooses its order of summing by the shape of the batch. Over hundreds of steps in a few
latents the last bit of that grows to another picture. With one shape there is one order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, cast

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., tuple[Tensor, ...]])
ROWS: Final = 4  # fewer are filled up, which costs those who search for one image at a time


def in_fours(function: F) -> F:
    """A function of tensors of rows to tensors of rows, which is called with four rows at a time.

    Args:
        function: no row of what it gives depends on another.
    """

    def by_parts(*given: Tensor) -> tuple[Tensor, ...]:
        parts = zip(*(one.split(ROWS) for one in given), strict=True)
        found = [tuple(one[: len(part[0])] for one in function(*map(_filled, part))) for part in parts]
        return tuple(torch.cat([*one]) for one in zip(*found, strict=True))

    return cast("F", by_parts)


def _filled(rows: Tensor) -> Tensor:
    """Four rows: after the given ones the last of them again, without its gradient."""
    return torch.cat([rows, rows[-1:].detach().expand(ROWS - len(rows), *rows.shape[1:])])
