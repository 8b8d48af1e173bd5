"""Intervals of shares."""

from __future__ import annotations

#: Of the standard normal distribution 95 % lie within this on either side.
Z = 1.959964


def wilson(count: float, of: int, *, z: float = Z) -> tuple[float, float]:
    """The interval of a share (Wilson, 1927), of 95 % if z is not given.

    >>> tuple(round(end, 3) for end in wilson(81, 90))
    (0.821, 0.946)
    """
    p = count / of
    middle = (p + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z * (p * (1 - p) / of + z**2 / (4 * of**2)) ** 0.5 / (1 + z**2 / of)
    return middle - half, middle + half
