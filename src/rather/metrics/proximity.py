"""How far is the counterfactual from its query, and on how much of the picture does the change fall?"""

from __future__ import annotations

import math
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from rather.core import Images
from rather.metrics.registry import metric
from rather.search import losses


@metric(title="L1", theme="distance", unit="pixel values, 0 to 1", better="lower", version=1)
def l1(counterfactuals: Images, queries: Images) -> Float[Tensor, " b"]:
    """Mean absolute change of a pixel value in [0, 1].

    Source: the usual one; ACE and DiME take it of bytes / 255.
    Avoids: sums over the picture, which grow with its size, and means over a batch.
    """
    return losses.l1(counterfactuals, queries)


@metric(title="L2", theme="distance", unit="pixel values; it grows with the picture", better="lower", version=1)
def l2(counterfactuals: Images, queries: Images) -> Float[Tensor, " b"]:
    """Root of the summed squared changes, pixel values in [0, 1].

    Source: S. Wachter, B. Mittelstadt, C. Russell, "Counterfactual explanations without opening the black box",
    2018, of pictures.
    Avoids: a norm of the whole batch instead of one for each row.
    """
    return (counterfactuals - queries).square().flatten(1).sum(1).sqrt()


@metric(title="pixels", theme="distance", unit="share of the pixels, 0 to 1", better="lower", version=1)
def share_changed(counterfactuals: Images, queries: Images) -> Float[Tensor, " b"]:
    """Share of the pixels of which any channel differs by a step of 8 bits or more.

    Source: the L0 "norm" of the change, of pictures as they are saved.
    Avoids: counting channels as if they were pixels, and what only the rounding of floats has changed.
    """
    step = 0.5 / 255  # half a step, so that rounding of the floats does not count
    differs = (counterfactuals - queries).abs().amax(1) > step
    return differs.flatten(1).to(counterfactuals.dtype).mean(1)


@metric(title="Hoyer", theme="distance", unit="none, 0 to 1", better="higher", version=1)
def hoyer(counterfactuals: Images, queries: Images) -> Float[Tensor, " b"]:
    """Hoyer's sparsity of the change, from 0 (even) to 1 (one pixel, or nothing).

    (sqrt(n) - |d|_1 / |d|_2) / (sqrt(n) - 1), of the n values of the change d.

    Source: P. Hoyer, "Non-negative matrix factorization with sparseness constraints", JMLR 5, 2004.
    Avoids: NaN where nothing changed.
    """
    change = (counterfactuals - queries).flatten(1)
    root = math.sqrt(change.shape[1])
    ratio = change.abs().sum(1) / change.square().sum(1).sqrt().clamp(min=1e-12)
    return ((root - ratio) / (root - 1)).clamp(0, 1)


@metric(title="edits", theme="distance", unit="edits", better="lower", version=1)
def edits(facts: Mapping[str, Float[Tensor, " b"]]) -> Float[Tensor, " b"]:
    """Number of edits until the decision changes.

    Source: Y. Goyal et al., "Counterfactual visual explanations", ICML 2019, section 4.
    Avoids: leaving out, without a word, the rows that failed: the table has a variant of all answers.
    """
    return facts["edits"]
