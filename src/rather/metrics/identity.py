"""Is it still the same person, or the same thing?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from rather.core import Images

_TOGETHER = 256  # images in memory


def identity_similarity(after: Float[Tensor, "b d"], before: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    """Cosine of a net's features of the counterfactual and of its query, -1 to 1 (higher is better).

    The numbers are the net's: those of two nets cannot be compared, so name it beside them, and say what the
    features of two different persons give. In papers it is a certain net of faces, trained on VGGFace2. 0
    where the features are.

    Unit: cosine.
    Source: the face similarity (FS) of ACE, G. Jeanneret et al., CVPR 2023.
    Avoids: nothing; see `identity_kept`.

    Args:
        after: features of the counterfactuals, one vector a row.
        before: those of their queries.
    """
    return F.cosine_similarity(after, before)


def identity_kept(
    after: Float[Tensor, "b d"], before: Float[Tensor, "b d"], threshold: float = 0.5
) -> Bool[Tensor, " b"]:
    """Whether the cosine of both features is above a threshold: its mean is the FVA (higher is better).

    The face verification accuracy of papers is this share in the features of a net of faces that was trained
    on VGGFace2; of another net the threshold has to be found first: above what two different persons give.

    Unit: yes or no; its mean is a share.
    Source: A. Singla, B. Pollack, J. Chen, K. Batmanghelich, "Explanation by progressive exaggeration", ICLR
    2020, and the tables since.
    Avoids: asking whether the cosine *distance* is above the threshold, as one public script does: that is
    the share of failures.

    Args:
        after: features of the counterfactuals, one vector a row.
        before: those of their queries.
        threshold: the cosine above which they are of one person.
    """
    return F.cosine_similarity(after, before) > threshold


@torch.no_grad()
def s3(images: Images, queries: Images, encoder: Callable[[Images], Float[Tensor, "b d"]]) -> Float[Tensor, " b"]:
    """S3: cosine of a self-supervised encoder's projections, -1 to 1 (higher is better).

    Unlike a net that was taught classes, such an encoder has no reason to drop what the classes do not need:
    it says how much of the whole picture is still the same. The numbers are the encoder's; name it beside
    them. In papers it is a SimSiam ResNet-50 of ImageNet, and the pictures are not resized.

    Unit: cosine.
    Source: G. Jeanneret et al., "Adversarial counterfactual visual explanations" (ACE), CVPR 2023.
    Avoids: pictures in a range that the encoder does not expect: it takes [0, 1], and normalises itself.

    Args:
        images: the counterfactuals.
        queries: their queries.
        encoder: images in [0, 1] to projections, as `rather train simsiam` makes one.
    """
    pairs = zip(images.split(_TOGETHER), queries.split(_TOGETHER), strict=True)
    return torch.cat([F.cosine_similarity(encoder(after), encoder(before)) for after, before in pairs])
