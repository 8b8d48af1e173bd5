"""How pages tell figures: shares and numbers with their intervals, tables, and what made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Results = Mapping[str, Any]
Interval = Sequence[float] | None  # mean, low, high, rows
Verdict = tuple[str, str, bool]  # what was wanted, what came out, whether it is so


def table(head: str, rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |\n" for cells in rows]
    return f"| {head} |\n|{'---|' * (head.count('|') + 1)}\n" + "".join(lines) if lines else ""


def share(e: Interval) -> str:
    if e is None:
        return ""
    low, high = (min(max(end, 0), 1) for end in e[1:3])  # rounding may put them a hair outside
    return f"{100 * e[0]:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def number(e: Interval, digits: int = 3) -> str:
    return "" if e is None else f"{e[0]:.{digits}f} ({e[1]:.{digits}f} to {e[2]:.{digits}f})"


def counted(e: Sequence[float] | None) -> str:
    return "" if e is None else f"{share(e)}, n = {e[3]:,}"


def said(so: bool) -> str:
    return "yes" if so else "**no**"


def ended(about: Results) -> str:
    """The end of a page: what its sections were made with."""
    rows = [
        [
            section,
            f"`{of['command']}`",
            of["made with"],
            ", ".join(f"{name} {digest[:8]}" for name, digest in sorted(of["nets"].items())),
        ]
        for section, of in about.items()
    ]
    return "## Commands\n\n" + table("section | command | made with | nets, and how their sha256 begins", rows)
