"""What happens to pictures on their way: they are saved, losslessly or not."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image as Pillow

from rather.config.errors import RatherError
from rather.core import Images
from rather.io.png import png, unpng

_BEST = 100


def as_png(images: Images) -> Images:
    """Saved as 8-bit PNGs and read again: rounded, and nothing else."""
    return _again([unpng(png(image)) for image in images], images)


def as_jpeg(images: Images, quality: int = 75) -> Images:
    """Saved as JPEGs and read again.

    Args:
        images: grey or RGB.
        quality: 1 to 100; 75 is what most programs take. Colours have half the resolution, as usual.

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
    return _again(saved, images)


def _again(pictures: list[torch.Tensor], like: Images) -> Images:
    return torch.stack(pictures).to(like) if pictures else like
