"""Is it still the same person, or the same thing?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from rather.core import Images
from rather.metrics.registry import metric

_BATCH: Final = 256  # images in memory


@metric(title="similarity", theme="realism", unit="cosine", better="higher", version=1)
def similarity(features_after: Float[Tensor, "b d"], features_before: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    """Cosine of a net's features of the counterfactual and of its query, -1 to 1.

    The numbers depend on the net: those of two nets cannot be compared, so name it, and report what the features of
    two different persons give. In papers it is a certain net of faces, trained on VGGFace2. 0 where the features are.

    Source: the face similarity (FS) of ACE, G. Jeanneret et al., CVPR 2023.

    Args:
        features_after: of the counterfactuals, one vector a row.
        features_before: of their queries.
    """
    return F.cosine_similarity(features_after, features_before)


@metric(title="identity", theme="realism", unit="yes or no; its mean is a share", better="higher", version=1)
def identity(
    features_after: Float[Tensor, "b d"], features_before: Float[Tensor, "b d"], alike: float = 0.5
) -> Float[Tensor, " b"]:
    """Whether the cosine of both features is above a threshold: its mean is the FVA.

    The face verification accuracy of papers is this share in the features of a net of faces that was trained on
    VGGFace2. For another net the threshold has to be found first: above what two different persons give. NaN where a
    feature is NaN.

    Source: A. Singla, B. Pollack, J. Chen, K. Batmanghelich, "Explanation by progressive exaggeration", ICLR 2020,
    and the tables since.
    Avoids: asking whether the cosine *distance* is above the threshold, as one public script does: that is the
    share of failures.

    Args:
        features_after: of the counterfactuals, one vector a row.
        features_before: of their queries.
        alike: the cosine above which they are of one person.
    """
    cosine = F.cosine_similarity(features_after, features_before)
    return (cosine > alike).double().masked_fill(cosine.isnan(), torch.nan)


@metric(title="S3", theme="realism", unit="cosine", better="higher", version=1)
@torch.no_grad()
def s3(
    counterfactuals: Images, queries: Images, encoder: Callable[[Images], Float[Tensor, "b d"]]
) -> Float[Tensor, " b"]:
    """S3: cosine of a self-supervised encoder's projections, -1 to 1.

    Unlike a net that was trained on classes, such an encoder has no reason to drop what the classes do not need: S3
    says how much of the whole picture is still the same. The numbers depend on the encoder: name it. In papers it is a
    SimSiam ResNet-50 of ImageNet, and the pictures are not resized.

    Source: G. Jeanneret et al., "Adversarial counterfactual visual explanations" (ACE), CVPR 2023.
    Avoids: pictures in a range that the encoder does not expect: it takes [0, 1], and normalises itself.

    Args:
        counterfactuals: in [0, 1].
        queries: their queries.
        encoder: images in [0, 1] to projections, as `rather train simsiam` makes one.
    """
    pairs = zip(counterfactuals.split(_BATCH), queries.split(_BATCH), strict=True)
    return torch.cat([F.cosine_similarity(encoder(after), encoder(before)) for after, before in pairs])
