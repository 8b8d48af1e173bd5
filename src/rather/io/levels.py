"""Grey levels of 8 bits from whatever numbers a file has."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rather.config.errors import RatherError
from rather.config.pictures import PictureOptions

_OF_16_BITS: Final = 257  # times 255 is the largest number of 16 bits


def to_levels(values: NDArray[Any], where: object, options: PictureOptions) -> NDArray[np.uint8]:
    """Numbers as levels from 0 to 255: of 8 bits as they are, from 0 to 1 stretched, others as the options say.

    Raises:
        RatherError: IMG-DEPTH for others of which they say nothing, and for NaN and infinity.
    """
    if values.dtype == np.uint8:
        return values
    values = values.astype(values.dtype.newbyteorder("="))
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(high - low):
        raise RatherError("IMG-DEPTH", where=where, why=f"its numbers go from {low:g} to {high:g}")
    if options.depth16 == "window":
        return _stretched(values, low, high)
    if values.dtype.kind == "b" or (values.dtype.kind == "f" and low >= 0 and high <= 1):
        return _stretched(values, 0.0, 1.0)
    if values.dtype == np.uint16 and options.depth16 == "scale":
        return np.rint(values / _OF_16_BITS).astype(np.uint8)
    why = f"{values.dtype} from {low:g} to {high:g}"
    if values.dtype == np.uint16:
        do = "Choose --depth16 window (what lies between its smallest and largest value) or scale (all 65,536 values)"
    else:
        do = "Choose --depth16 window (what lies between its smallest and largest value), or save it with 8 bits"
    raise RatherError("IMG-DEPTH", where=where, why=why, do=do)


def _stretched(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    shares = (values.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
    levels: NDArray[np.uint8] = np.rint(shares.clip(0, 1) * 255).astype(np.uint8)
    return levels
