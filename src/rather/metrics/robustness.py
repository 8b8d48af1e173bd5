"""Does the flip survive what happens to pictures?"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image as Pillow
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Classifier, Goal, Images
from rather.io.png import png
from rather.metrics.registry import metric

_BATCH: Final = 64  # images in memory
_BEST: Final = 100


@torch.no_grad()
def survives(
    counterfactuals: Images, goal: Goal, classifier: Classifier, change: Callable[[Images], Images]
) -> Bool[Tensor, " b"]:
    """Whether a counterfactual is still at its goal after a harmless change.

    What a person takes for the same picture should have the same class: a flip that a compression or a denoising
    undoes is an adversarial one. The change alone can lead some rows to their goal: ask it of the queries as well.

    Args:
        counterfactuals: as they were saved.
        goal: of each.
        classifier: that was explained.
        change: images in [0, 1] to images, such as `as_jpeg` or a diffusion filter.
    """
    return goal.reached(torch.cat([classifier(change(part)) for part in counterfactuals.split(_BATCH)]))


@metric(title="after JPEG", theme="answers", unit="yes or no; its mean is a share", better="higher", version=1)
def robustness_jpeg(counterfactuals: Images, goal: Goal, classifier: Classifier) -> Bool[Tensor, " b"]:
    """Whether a counterfactual is still at its goal after it was saved as a JPEG of quality 75; see `survives`.

    Source: after C. Guo et al., "Countering adversarial images using input transformations", ICLR 2018.
    Avoids: judging the picture in memory instead of the one that was saved.
    """
    return survives(counterfactuals, goal, classifier, as_jpeg)


@metric(title="after a filter", theme="answers", unit="yes or no; its mean is a share", better="higher", version=1)
def robustness_filter(
    counterfactuals: Images,
    goal: Goal,
    classifier: Classifier,
    filter: Callable[[Images], Images],  # noqa: A002 - as a benchmark's file names it
) -> Bool[Tensor, " b"]:
    """Whether a counterfactual is still at its goal after a diffusion model has filtered it; see `survives`.

    Source: the filter of ACE, G. Jeanneret et al., "Adversarial counterfactual visual explanations", CVPR 2023.
    Avoids: judging the picture in memory instead of the one that was saved.
    """
    return survives(counterfactuals, goal, classifier, filter)


def as_jpeg(images: Images, quality: int = 75) -> Images:
    """Images saved as JPEGs and read again.

    Args:
        images: grey or RGB.
        quality: 1 to 100; most programs take 75. Colours have half the resolution, as usual.

    Raises:
        RatherError: CFG-SETTING for another quality, DATA-SHAPE for another number of channels.
    """
    if not 1 <= quality <= _BEST:
        raise RatherError("CFG-SETTING", where=f"quality {quality}", why=f"it is not from 1 to {_BEST}")
    saved = []
    for image in images:
        sink = io.BytesIO()
        Pillow.open(io.BytesIO(png(image))).save(sink, "JPEG", quality=quality)
        pixels = torch.from_numpy(np.array(Pillow.open(sink))).float() / 255
        saved.append(pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1))  # noqa: PLR2004 - grey
    return torch.stack(saved).to(images) if saved else images
