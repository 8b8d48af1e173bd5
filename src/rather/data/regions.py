"""The part of each image that may change: a named region, a rectangle, or a mask."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import torch
from jaxtyping import Bool
from torch import Tensor

from rather.config.errors import RatherError, did_you_mean
from rather.data.source import Source
from rather.io.images import Shape, decode, fit, read_bytes

Mask = Bool[Tensor, "h w"]

OUTSIDE: Final = "outside:"
_HALF: Final = 0.5
_HOW: Final = "Say the name of a region, x,y,w,h in pixels of the classifier's image, or a mask picture"


@final
@dataclass(frozen=True)
class Region:
    """Where images may change: `mask` of the image of an index."""

    name: str  # as it was asked for, with the sha256 of a mask's pixels
    mask: Callable[[int], Mask]


def region_of(text: str, source: Source, shape: Shape) -> Region:
    """The region that a text asks for.

    Args:
        text: the name of one of the source's regions; or x,y,w,h: the left and upper edge, width and height of a
            rectangle; or the path of a mask picture, bright where a pixel may change. All are in pixels of the
            images as the classifier takes them; a mask is resized to that. "outside:" before it means the rest.
        source: of the images.
        shape: of the images, (c, h, w).

    Raises:
        RatherError: CFG-REGION for a text that is none of these or a rectangle beyond the image; what reading the
            mask raises.
    """
    rest = text.removeprefix(OUTSIDE)
    if rest != text:
        inner = region_of(rest, source, shape)
        return Region(OUTSIDE + inner.name, lambda index: ~inner.mask(index))
    if text in source.regions:
        number = source.regions.index(text)
        return Region(text, lambda index: source.layout(index) == number)
    if re.fullmatch(r"\s*\d+(\s*,\s*\d+){3}\s*", text):
        return _always(text, _rectangle(text, shape))
    if Path(text).is_file():
        mask = fit(decode(read_bytes(text), text), (1, *shape[1:]))[0] > _HALF
        return _always(f"{Path(text).name} sha256:{hashlib.sha256(mask.numpy().tobytes()).hexdigest()[:16]}", mask)
    known = did_you_mean(text, source.regions) if source.regions else _HOW
    raise RatherError("CFG-REGION", where=text, why=f"{source.name} knows {len(source.regions)} regions", do=known)


def region_names(text: str, source: Source) -> Sequence[str]:
    """The names in a list with commas, or of all regions; each of them is one of the source's regions.

    Raises:
        RatherError: CFG-REGION for a name that is none.
    """
    names = source.regions if text == "all" else [name.strip() for name in text.split(",")]
    for name in names or [text]:
        if name not in source.regions:
            why = f"{source.name} knows {len(source.regions)} regions"
            raise RatherError("CFG-REGION", where=name, why=why, do=did_you_mean(name, source.regions))
    return names


def _always(name: str, mask: Mask) -> Region:
    return Region(name, lambda _: mask)


def _rectangle(text: str, shape: Shape) -> Mask:
    x, y, w, h = (int(number) for number in text.split(","))
    mask = torch.zeros(shape[1:], dtype=torch.bool)
    mask[y : y + h, x : x + w] = True
    if int(mask.sum()) != w * h or not w * h:
        raise RatherError("CFG-REGION", where=text, why=f"the images are {shape[2]} pixels wide and {shape[1]} high")
    return mask
