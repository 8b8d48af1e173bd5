"""Pictures of any number of channels: NumPy's files, pages of a TIFF, and the four channels of RGBA and CMYK."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import torch
from jaxtyping import Float
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rather.config.errors import RatherError
from rather.config.pictures import NO_OPTIONS, PictureOptions
from rather.io.dicom import decode_dicom, is_dicom
from rather.io.images import MAX_BYTES, MAX_PIXELS, Box, Shape, decode, fit, opened
from rather.io.levels import to_levels

MAX_CHANNELS: Final = 16
_MAGIC: Final = b"\x93NUMPY"
_ZIP: Final = b"PK\3\4"
_PICTURE: Final = 3  # axes
_COLOURS: Final = 3


@final
@dataclass(frozen=True)
class Bands:
    """A picture of 2 channels, or of more than 3: each a grey image of 8 bits, all of one size."""

    channels: tuple[Image.Image, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.channels[0].size


Picture = Image.Image | Bands


def is_array(data: bytes) -> bool:
    """Whether these are the bytes of a file of NumPy."""
    return data.startswith((_MAGIC, _ZIP))


def decode_array(
    data: bytes, where: object, options: PictureOptions = NO_OPTIONS, channels: int | None = None
) -> Picture:
    """A picture from a .npy file, or from a .npz file with one array.

    Args:
        data: the file's bytes: (h, w), (c, h, w) or (h, w, c), of whole numbers or of numbers from 0 to 1.
        where: for messages.
        options: how numbers of more than 8 bits become levels.
        channels: how many the classifier takes, which tells c from h and w; by default the axis that has at most 16.

    Raises:
        RatherError: IMG-UNREADABLE, IMG-FORMAT, IMG-DEPTH, IMG-TOO-LARGE, IMG-TOO-SMALL or IMG-CHANNELS.
    """
    values = _one_array(data, where)
    if values.dtype.kind not in "biuf" or values.ndim not in {2, 3} or not values.size:
        why = f"{values.dtype} of shape {values.shape}"
        raise RatherError("IMG-FORMAT", where=where, why=why, do="Give numbers (h, w), (c, h, w) or (h, w, c)")
    levels = to_levels(_channels_first(values, where, channels), where, options)
    count, h, w = levels.shape
    if h * w > MAX_PIXELS:
        raise RatherError("IMG-TOO-LARGE", where=where, why=f"{w:,} x {h:,}", do="Give a smaller copy")
    if max(h, w) < 2:  # noqa: PLR2004 - one pixel is a colour, not a picture
        raise RatherError("IMG-TOO-SMALL", where=where, why="1 x 1 pixel")
    return _picture([Image.fromarray(np.ascontiguousarray(level)) for level in levels[:count]])


def decode_bands(data: bytes, where: object, options: PictureOptions, channels: int) -> Picture:
    """An image file as a picture of so many channels: the pages of a TIFF, or the channels that its pixels have."""
    with opened(data, where) as file:
        pages = getattr(file, "n_frames", 1) if file.format == "TIFF" else 1
        bands: list[Image.Image] = []
        for page in range(min(pages, MAX_CHANNELS + 1)):
            file.seek(page)
            deep = file.mode[0] in "IF"
            grey = Image.fromarray(to_levels(np.asarray(file), where, options)) if deep else file.copy()
            bands += grey.convert("RGB").split() if grey.mode == "P" else grey.split()
    if len(bands) != channels or len({band.size for band in bands}) > 1:
        raise wrong_channels(where, len(bands), channels)
    return _picture(bands)


def decode_any(
    data: bytes, where: object, options: PictureOptions = NO_OPTIONS, channels: int | None = None
) -> Picture:
    """A picture from any file that is read, for a classifier of so many channels; None for as many as it has."""
    if is_array(data):
        return decode_array(data, where, options, channels)
    if is_dicom(data):
        return decode_dicom(data, where)
    return (
        decode(data, where, options) if channels in {None, 1, 3} else decode_bands(data, where, options, channels or 1)
    )


def fit_any(picture: Picture, shape: Shape, box: Box, where: object) -> Float[Tensor, "c h w"]:
    """A part of a picture as pixels in [0, 1] of this shape; IMG-CHANNELS if it has other channels."""
    if isinstance(picture, Bands):
        if len(picture.channels) != shape[0]:
            raise wrong_channels(where, len(picture.channels), shape[0])
        return torch.cat([fit(channel, (1, *shape[1:]), box) for channel in picture.channels])
    if shape[0] not in {1, _COLOURS}:
        raise wrong_channels(where, len(picture.getbands()), shape[0])
    return fit(picture, shape, box)


def channels_of(picture: Picture) -> int:
    """How many channels a picture has; 1 for colours that are all grey."""
    if isinstance(picture, Bands):
        return len(picture.channels)
    pixels = np.asarray(picture)
    return 1 if pixels.ndim == 2 or (pixels == pixels[:, :, :1]).all() else _COLOURS  # noqa: PLR2004 - h, w


def wrong_channels(where: object, seen: int, wanted: int) -> RatherError:
    """The error for a picture whose channels are not as many as the classifier takes."""
    do = f"Give a .npy file (c, h, w), or a TIFF with {wanted} pages"
    return RatherError("IMG-CHANNELS", where=where, why=f"{seen}, not {wanted}", do=do)


def _picture(bands: Sequence[Image.Image]) -> Picture:
    if len(bands) == 1:
        return bands[0]
    return Image.merge("RGB", bands) if len(bands) == _COLOURS else Bands(tuple(bands))


def _channels_first(values: NDArray[Any], where: object, channels: int | None) -> NDArray[Any]:
    """An array as (c, h, w); where its first and its last axis fit equally well, the first one is c."""
    if values.ndim < _PICTURE:
        return values[None]
    first, _, last = values.shape
    wanted = {channels, 1, _COLOURS} if channels in {1, _COLOURS} else {channels}  # grey and colour become each other
    fits = wanted if channels else range(1, MAX_CHANNELS + 1)
    if first in fits and not (channels is None and last < first):
        return values
    if last in fits:
        return np.moveaxis(values, -1, 0)
    if channels is None:
        why = f"shape {values.shape}"
        raise RatherError("IMG-CHANNELS", where=where, why=why, do=f"Give at most {MAX_CHANNELS} channels")
    raise wrong_channels(where, min(first, last), channels)


def _one_array(data: bytes, where: object) -> NDArray[Any]:
    with _whole(where):
        if data.startswith(_MAGIC):
            return _array(data, where)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) != 1 or entries[0].file_size > MAX_BYTES:
                why = f"{len(entries)} arrays" if len(entries) != 1 else f"{entries[0].file_size:,} bytes"
                raise RatherError("IMG-FORMAT", where=where, why=f"a zip archive of {why}", do="Save one array a file")
            return _array(archive.read(entries[0]), where)


def _array(data: bytes, where: object) -> NDArray[Any]:
    """The array of a .npy file, whose header must say no more than follows it."""
    source = io.BytesIO(data)
    version = npy.read_magic(source)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read(source)
    rest = data[source.tell() :]
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(rest):
        why = "it holds objects" if dtype.hasobject else f"{shape} of {dtype} in {len(rest):,} bytes"
        raise RatherError("IMG-UNREADABLE", where=where, why=why)
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if by_columns else "C")


@contextmanager
def _whole(where: object) -> Iterator[None]:
    try:
        yield
    except RatherError:
        raise
    except Exception as error:  # noqa: BLE001 - a header or an archive can be broken in any way
        raise RatherError("IMG-UNREADABLE", where=where, why=str(error)[:100]) from None
