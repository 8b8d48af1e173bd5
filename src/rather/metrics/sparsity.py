"""On how much of the picture does the change fall?"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from rather.core import Images


def share_changed(images: Images, queries: Images) -> Float[Tensor, " b"]:
    """Share of the pixels of which any channel differs by a step of 8 bits or more (lower is better).

    Unit: share of the pixels, 0 to 1.
    Source: the L0 "norm" of the change, of pictures as they are saved.
    Avoids: counting channels as if they were pixels, and what only the rounding of floats has changed.
    """
    step = 0.5 / 255  # half a step, so that rounding of the floats does not count
    return ((images - queries).abs().amax(1) > step).flatten(1).to(images.dtype).mean(1)


def hoyer(images: Images, queries: Images) -> Float[Tensor, " b"]:
    """Hoyer's sparsity of the change, from 0 (even) to 1 (one pixel, or nothing) (higher is better).

    (sqrt(n) - |d|_1 / |d|_2) / (sqrt(n) - 1), of the n values of the change d.

    Unit: none, 0 to 1.
    Source: P. Hoyer, "Non-negative matrix factorization with sparseness constraints", JMLR 5, 2004.
    Avoids: NaN where nothing changed.
    """
    change = (images - queries).flatten(1)
    root = math.sqrt(change.shape[1])
    ratio = change.abs().sum(1) / change.square().sum(1).sqrt().clamp(min=1e-12)
    return ((root - ratio) / (root - 1)).clamp(0, 1)
