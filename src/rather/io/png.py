"""Images as PNGs and back: losslessly, rounded to 8 bits, small ones for a page, several side by side.

A PNG has 1 or 3 channels. An image of another number is stored as its channels below each other, in grey, with their
number in the file; `seen` makes a picture of it that shows a person something.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from rather.config.errors import RatherError
from rather.types import Image

if TYPE_CHECKING:
    from PIL import Image as Pillow

_HEADER = 24  # bytes of a PNG up to and with its width and height
_COLOURS = 3
_CHANNELS = "channels"  # under which a PNG has their number
_INFO = 64  # bytes of a PNG in which it stands


def png(image: Image) -> bytes:
    """An image as an 8-bit PNG: rounded, not cut, without metadata but the number of its channels."""
    from PIL import Image as Pillow
    from PIL.PngImagePlugin import PngInfo

    pixels = (image.detach().clamp(0, 1) * 255).round().byte().cpu()
    array, info = pixels.permute(1, 2, 0).contiguous().numpy(), PngInfo()
    if len(image) != _COLOURS:
        array = pixels.flatten(0, 1).numpy()
    if len(image) not in {1, _COLOURS}:
        info.add_text(_CHANNELS, str(len(image)))
    sink = io.BytesIO()
    # Level 6 would be 8 % smaller and many times slower.
    Pillow.fromarray(array).save(sink, "PNG", compress_level=1, pnginfo=info)
    return sink.getvalue()


def unpng(data: bytes) -> Image:
    """The image of a PNG that `png` made, pixel for pixel.

    Raises:
        RatherError: it is no 8-bit grey or RGB PNG, or it is damaged.
    """
    import numpy as np

    picture = _opened(data)
    mode, array = picture.mode, np.array(picture)
    if mode not in {"L", "RGB"}:
        raise RatherError("IMG-FORMAT", where="PNG", why=f"mode {mode}, not 8-bit grey or RGB")
    pixels: Image = torch.from_numpy(array).float() / 255
    if mode == "RGB":
        return pixels.permute(2, 0, 1).contiguous()
    channels = str(picture.info.get(_CHANNELS, "1"))
    if not channels.isdecimal() or not int(channels) or len(pixels) % int(channels):
        raise RatherError("IMG-FORMAT", where="PNG", why=f"{channels[:20]} channels in {len(pixels)} rows")
    return pixels.view(int(channels), -1, pixels.shape[1])


def seen(image: Image) -> Float[Tensor, "k h w"]:
    """What is shown of an image: of 2 channels their mean, of more than 3 the first three as red, green and blue."""
    if len(image) in {1, _COLOURS}:
        return image
    return image[:_COLOURS] if len(image) > _COLOURS else image.mean(0, keepdim=True)


def seen_png(data: bytes) -> bytes:
    """What is shown of a stored image, as a PNG; the very same one if it has 1 or 3 channels."""
    return png(seen(unpng(data))) if _CHANNELS.encode() in data[:_INFO] else data


def png_size(data: bytes) -> tuple[int, int]:
    """Height and width of a PNG, read from its header."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or len(data) < _HEADER:
        raise RatherError("IMG-UNREADABLE", where="PNG", why="it has no header")
    width, height = struct.unpack(">II", data[16:24])
    return height, width


def write_png(image: Image, folder: Path | str, name: str) -> Path:
    """Write `name`.png into a folder, which is made if it is not there."""
    from rather.io.writing import write_whole, writing

    file = Path(folder) / f"{name}.png"
    with writing(file.parent):
        write_whole(file, png(image))
    return file


def thumbnail(data: bytes, side: int) -> bytes:
    """A PNG no wider and no higher than `side`; the very same one if it is so already."""
    height, width = png_size(data)
    if max(height, width) <= side:
        return data
    shape = [max(1, round(length * side / max(height, width))) for length in (height, width)]
    return png(F.interpolate(unpng(data)[None], shape, mode="area")[0])


def strip(pictures: Sequence[bytes], gap: int) -> bytes:
    """PNGs side by side as one, with `gap` transparent pixels between them."""
    from PIL import Image as Pillow

    frames = [_opened(data).convert("RGBA") for data in pictures]
    width = sum(frame.width + gap for frame in frames) - gap
    whole = Pillow.new("RGBA", (width, max(frame.height for frame in frames)))
    left = 0
    for frame in frames:
        whole.paste(frame, (left, 0))
        left += frame.width + gap
    sink = io.BytesIO()
    whole.save(sink, "PNG", compress_level=1)
    return sink.getvalue()


def _opened(data: bytes) -> Pillow.Image:
    from PIL import Image as Pillow

    try:
        picture = Pillow.open(io.BytesIO(data), formats=["PNG"])
        picture.load()
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise RatherError("IMG-UNREADABLE", where="PNG", why=str(error)[:120]) from None
    return picture
