"""Did you mean: the nearest of the names that exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near(name: str, names: Iterable[str]) -> str:
    """A sentence (without its full stop) that names the nearest three names, or the first few of all.

    >>> near("wachtre", ["wachter", "goyal"])
    'Did you mean wachter'
    """
    known = [str(n) for n in names]
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return "Did you mean " + " or ".join(close)
    return "Choose from " + ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")  # noqa: PLR2004
