"""How far is the counterfactual from its query?"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from rather.core import Images
from rather.search import losses


def l1(images: Images, queries: Images) -> Float[Tensor, " b"]:
    """Mean absolute change of a pixel value in [0, 1] (lower is better).

    Unit: pixel values, 0 to 1.
    Source: the usual one; ACE and DiME take it of bytes / 255.
    Avoids: sums over the picture, which grow with its size, and means over a batch.
    """
    return losses.l1(images, queries)


def l2(images: Images, queries: Images) -> Float[Tensor, " b"]:
    """Root of the summed squared changes, pixel values in [0, 1] (lower is better).

    Unit: pixel values; it grows with the picture.
    Source: S. Wachter, B. Mittelstadt, C. Russell, "Counterfactual explanations without opening the black
    box", 2018, of pictures.
    Avoids: a norm of the whole batch instead of one for each row.
    """
    return (images - queries).square().flatten(1).sum(1).sqrt()
