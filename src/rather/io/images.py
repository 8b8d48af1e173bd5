"""The one reader of image files: what may be opened, how it is decoded, how it becomes a classifier's pixels.

A file is decoded only after its format and the size in its header are known. What the reader would have to
guess (16 bits, transparency, several frames) is refused with its own error code, unless the user says it.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from torch import Tensor

from rather.config.errors import RatherError
from rather.config.pictures import NO_OPTIONS, PictureOptions
from rather.io.levels import to_levels

Shape = tuple[int, int, int]  # channels, height, width
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels

EXTENSIONS: Final = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"),
    *(".dcm", ".dicom", ".npy", ".npz"),
)
MAX_PIXELS: Final = 50_000_000
MAX_BYTES: Final = 256 * 2**20  # 50 Mpx in the most wasteful of the formats, and some more

_FORMATS: Final = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
_ACCEPTED: Final = "PNG, JPEG, WebP, AVIF, BMP, GIF, TIFF, DICOM and NumPy arrays are read"
#: First bytes of other files that lie in image folders: the error names the format, the file stays closed.
_OTHERS: Final = {
    b"%!PS": "PostScript",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"\0\0\1\0": "an icon",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\x93NUMPY": "a NumPy array",
    b"PK\3\4": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
}
_ORIENTATION: Final = 0x0112
_BITS_PER_SAMPLE: Final = 258  # a tag of TIFF
# By hand: ImageOps.exif_transpose also rewrites the metadata, which fails where they are broken.
_TURNS: Final = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
_UPRIGHT: Final = {n: Image.Transpose[turn] for n, turn in enumerate(_TURNS.split(), start=2)}


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a regular file of at most 256 MiB: IMG-NOT-FILE, IMG-PERMISSION or IMG-TOO-LARGE otherwise."""
    try:
        # Without O_NONBLOCK, opening a pipe waits until another process writes into it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:  # noqa: PTH123 - it is open already
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode):
                raise RatherError("IMG-NOT-FILE", where=path)
            if about.st_size > MAX_BYTES:
                raise RatherError("IMG-TOO-LARGE", where=path, why=f"{about.st_size:,} bytes")
            return file.read(MAX_BYTES)
    except OSError as error:
        if error.errno in {errno.ENXIO, errno.EISDIR}:  # a socket, a folder
            raise RatherError("IMG-NOT-FILE", where=path) from None
        raise RatherError("IMG-PERMISSION", where=path, why=error.strerror or "") from None


def decode(data: bytes, where: object, options: PictureOptions = NO_OPTIONS) -> Image.Image:
    """An image, upright, of mode L or RGB, from the bytes of a PNG, JPEG, WebP, AVIF, BMP, GIF or TIFF file.

    Palettes, images of one bit and CMYK are converted. EXIF's orientation is applied; all other metadata are
    ignored. Of a GIF the first frame is taken.

    Raises:
        RatherError: IMG-UNREADABLE, IMG-FORMAT, IMG-TRUNCATED, IMG-ANIMATED, IMG-DEPTH, IMG-ALPHA,
            IMG-TOO-LARGE or IMG-TOO-SMALL.
    """
    with opened(data, where) as file:
        _check_frames(file, where)
        _check_depth(file, data, where, options)
        file.load()  # verify() would pass half a JPEG
        orientation = _orientation(file)
        image = _grey_or_colour(file, where, options)
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def indices(data: bytes, where: object) -> NDArray[np.uint8]:
    """The numbers (h, w) that an image file has as pixels: grey values, or places in its palette.

    Raises:
        RatherError: as `decode`; IMG-FORMAT for colours, which are no numbers.
    """
    with opened(data, where) as file:
        _check_frames(file, where)
        file.load()
        image = file.convert("L") if file.mode == "1" else file
        values = np.asarray(image)
        if values.ndim == 3 and (values == values[:, :, :1]).all():  # noqa: PLR2004 - grey, saved as colour
            values = values[:, :, 0]
        if values.ndim != 2 or values.min() < 0 or values.max() > 255:  # noqa: PLR2004 - h, w; 8 bits
            raise RatherError("IMG-FORMAT", where=where, why="a mask has one number from 0 to 255 for each pixel")
    return values.astype(np.uint8)


@contextmanager
def opened(data: bytes, where: object) -> Iterator[ImageFile.ImageFile]:
    """An image file whose header is sound; whatever its decoder raises becomes a RatherError."""
    try:
        with _strict_pillow():
            try:
                file = Image.open(io.BytesIO(data), formats=_FORMATS)
            except ValueError as error:  # a megabyte of comments in a PNG
                if "MAX_TEXT" not in str(error):
                    raise
                file = Image.open(io.BytesIO(_without_text(data)), formats=_FORMATS)
            _check_size(file, where)
            yield file
    except (RatherError, MemoryError):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise RatherError("IMG-TOO-LARGE", where=where, why=f"more than {MAX_PIXELS:,}") from None
    except Exception as error:  # noqa: BLE001 - a decoder raises anything for broken bytes
        raise _unreadable(data, where, error) from None


def fit(image: Image.Image, shape: Shape, box: Box | None = None) -> Float[Tensor, "c h w"]:
    """A part of an image as pixels in [0, 1] of this shape (c is 1, grey, or 3), by default its `largest`.

    That is "resize the shorter side, then crop the centre" in one step (antialiased bilinear, rounded to 8
    bits), so that a very long image is not enlarged before it is cut.
    """
    channels, h, w = shape
    image = image.convert("L" if channels == 1 else "RGB")
    resized = image.resize((w, h), Image.Resampling.BILINEAR, box=box or largest(image.size, shape))
    pixels = np.asarray(resized, dtype=np.float32).reshape(h, w, channels) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def largest(size: tuple[int, int], shape: Shape) -> Box:
    """The largest centred part of an image of this (width, height) that has the proportions of a shape."""
    (width, height), (_, h, w) = size, shape
    scale = min(width / w, height / h)
    left, top = (width - scale * w) / 2, (height - scale * h) / 2
    # Rounding can put an edge some 1e-14 pixels outside, which Pillow refuses.
    return max(left, 0.0), max(top, 0.0), min(left + scale * w, width), min(top + scale * h, height)


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Makes bombs and half files raise, silences other warnings, and restores Pillow afterwards."""
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES  # global, and other libraries set it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _check_size(image: ImageFile.ImageFile, where: object) -> None:
    w, h = image.size
    if w * h > MAX_PIXELS:
        raise RatherError("IMG-TOO-LARGE", where=where, why=f"{w:,} x {h:,}", do="Give a smaller copy")
    if max(w, h) < 2:  # noqa: PLR2004 - one pixel is a colour, not a picture
        raise RatherError("IMG-TOO-SMALL", where=where, why="1 x 1 pixel")


def _check_frames(image: ImageFile.ImageFile, where: object) -> None:
    # A JPEG of several frames is a photo with a thumbnail or a depth map behind it, not a film.
    if image.format not in {"JPEG", "MPO", "GIF"} and getattr(image, "is_animated", False):
        raise RatherError("IMG-ANIMATED", where=where, do="Save the frame that you mean as a file of its own")


def _check_depth(image: ImageFile.ImageFile, data: bytes, where: object, options: PictureOptions) -> None:
    """Refuse 16 bits in each of several channels, of which Pillow reads the upper eight, unless these are asked for."""
    bits = data[24] if image.format == "PNG" else 8  # in the header's 9th byte
    if image.format == "TIFF":
        told = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, 8)
        bits = max(told) if isinstance(told, tuple) else told
    if bits > 8 and image.mode[0] not in "IF" and options.depth16 != "scale":  # noqa: PLR2004
        why, do = f"{bits} bits in several channels", "Save it with 8 bits a channel, or give --depth16 scale"
        raise RatherError("IMG-DEPTH", where=where, why=why, do=do)


def _grey_or_colour(image: Image.Image, where: object, options: PictureOptions) -> Image.Image:
    grey = image.mode in {"1", "L", "LA"}
    transparent = image.has_transparency_data
    if image.mode[0] in "IF":  # 16 bits and more, in one channel
        if transparent:
            raise RatherError("IMG-ALPHA", where=where, why="in 16 bits", do="Save it with 8 bits a channel")
        return Image.fromarray(to_levels(np.asarray(image), where, options))
    if transparent:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            background = options.behind(where)
            grey = grey and len({*background}) == 1
            image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return image.convert("L" if grey else "RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - broken metadata are no reason to refuse sound pixels
        return 1


def _unreadable(data: bytes, where: object, error: Exception) -> RatherError:
    if _ends_early(data) or (not isinstance(error, UnidentifiedImageError) and "truncated" in str(error)):
        return RatherError("IMG-TRUNCATED", where=where, do="Get a whole copy of the file")
    kind = next((name for start, name in _OTHERS.items() if data.startswith(start)), None)
    if kind or data[4:8] == b"ftyp":
        return RatherError("IMG-FORMAT", where=where, why=kind or "HEIC, a film or a damaged AVIF", do=_ACCEPTED)
    why = "damaged, or no image at all" if data else "the file is empty"
    return RatherError("IMG-UNREADABLE", where=where, why=why, do=_ACCEPTED)


def _without_text(data: bytes) -> bytes:
    """A PNG without its comments and colour profile; what is no whole chunk stays as it is."""
    kept, place = [data[:8]], 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] not in {b"tEXt", b"zTXt", b"iTXt", b"iCCP"}:
            kept.append(data[place:end])
        place = end
    return b"".join([*kept, data[place:]])


def _ends_early(data: bytes) -> bool:
    """Whether a file that could not be decoded is shorter than its header says, or lacks its end."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"IEND" not in data
    if data.startswith(b"\xff\xd8\xff"):
        return b"\xff\xd9" not in data[-4096:]
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    return data.startswith(b"BM") and int.from_bytes(data[2:6], "little") > len(data)
