"""Tables in Markdown, and figures with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from rather.stats import bootstrap_mean, draws, wilson

Interval = Sequence[float]  # value, low, high, and, where it is known, the number of rows


def table(head: str, rows: Iterable[Sequence[object]]) -> str:
    """A table with the columns of `head`, which are separated by `|`."""
    lines = ["| " + " | ".join(map(str, cells)) + " |\n" for cells in rows]
    return f"| {head} |\n|{'---|' * (head.count('|') + 1)}\n" + "".join(lines)


def interval(values: Tensor) -> list[float]:
    """The mean of some rows and its 95 % interval: Wilson's for booleans, else a bootstrap's over the rows."""
    count, each = len(values), values.double()
    if values.dtype == torch.bool:
        low, high = wilson(int(each.sum()), count)
    else:
        low, high = bootstrap_mean(each.numpy(), draws(count))
    return [each.mean().item(), low, high, count]


def share(e: Interval) -> str:
    """Percent."""
    low, high = (min(max(end, 0), 1) for end in e[1:3])  # rounding may put them a hair outside
    return f"{100 * e[0]:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def number(e: Interval, decimals: int = 2) -> str:
    """With its interval."""
    return f"{e[0]:.{decimals}f} ({e[1]:.{decimals}f} to {e[2]:.{decimals}f})"
