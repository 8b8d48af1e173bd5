"""Is it still the same person, or the same thing?"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def identity_similarity(after: Float[Tensor, "b d"], before: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    """Cosine of a net's features of the counterfactual and of its query, -1 to 1 (higher is better).

    The numbers are the net's: those of two nets cannot be compared, so name it beside them, and say what the
    features of two different persons give. In papers it is a certain net of faces, trained on VGGFace2, whose
    share of rows above 0.5 is a "verification accuracy"; of a cosine *distance*, as one public script takes
    it, that share would be of the failures. 0 where the features are.

    Args:
        after: features of the counterfactuals, one vector a row.
        before: those of their queries.
    """
    return F.cosine_similarity(after, before)
