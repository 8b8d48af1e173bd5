"""Does the explanation depend on the classifier at all?"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from rather.core import Images


def change_correlation(images: Images, others: Images, queries: Images) -> Float[Tensor, " b"]:
    """|Correlation| of two changes of the same query, pixel by pixel, 0 to 1 (lower is better).

    Of the answers for a classifier and for the same one with shuffled weights (`nets.shuffled`), which
    knows nothing: a method that answers both alike shows the picture, and not the classifier. So does one
    that makes the very opposite change, which is why the sign does not count. NaN where one of them did not
    change the query, or changed all of it alike.

    Unit: Pearson's correlation without its sign.
    Source: after J. Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018.
    Avoids: comparing the pictures themselves, which are both nearly their query, and so always alike.

    Args:
        images: the counterfactuals for one classifier.
        others: those for the other.
        queries: of both.
    """
    one, other = ((some - queries).double().flatten(1) for some in (images, others))
    one, other = (some - some.mean(1, keepdim=True) for some in (one, other))
    correlation: Tensor = (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1))
    return correlation.abs()
