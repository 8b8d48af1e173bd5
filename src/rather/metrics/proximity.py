"""How far is the counterfactual from its query?"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from rather import losses
from rather.core import Images


def l1(images: Images, queries: Images) -> Float[Tensor, " b"]:
    """Mean absolute change of a pixel value in [0, 1] (lower is better)."""
    return losses.l1(images, queries)


def l2(images: Images, queries: Images) -> Float[Tensor, " b"]:
    """Root of the summed squared changes, pixel values in [0, 1] (lower is better)."""
    return (images - queries).square().flatten(1).sum(1).sqrt()
