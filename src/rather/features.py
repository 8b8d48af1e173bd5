"""What a classifier sees in images, told as one vector for each."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rather.core import Classifier, Images

_TOGETHER = 256  # images in memory


@torch.no_grad()
def pooled(classifier: Classifier, images: Images) -> Float[Tensor, "b d"]:
    """Features (`Classifier.features`), each averaged over the cells of its map, in 64 bits."""
    parts = images.split(_TOGETHER)
    return torch.cat([classifier.features(part).double().flatten(2).mean(2) for part in parts])
