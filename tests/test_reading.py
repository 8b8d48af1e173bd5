"""The image reader: every kind of file has the pixels, or the refusal, that it should have."""

import io
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from torch.nn import functional as F

from rather.config.errors import RatherError
from rather.io.images import decode, fit, read_bytes
from refusing import code_of, refusal

GRADIENT = np.stack(
    [
        np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1)),
        np.tile(np.arange(0, 160, 10, dtype=np.uint8)[:, None], (1, 24)),
        np.full((16, 24), 77, np.uint8),
    ],
    axis=2,
)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG by hand, for what Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


COLOUR = Image.fromarray(GRADIENT)
GREY = Image.fromarray(GRADIENT[:, :, 0])


@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        pytest.param(encoded(COLOUR, "PNG"), GRADIENT, id="colour PNG"),
        pytest.param(encoded(COLOUR, "BMP"), GRADIENT, id="colour BMP"),
        pytest.param(encoded(COLOUR, "WEBP", lossless=True), GRADIENT, id="lossless WebP"),
        pytest.param(encoded(COLOUR, "TIFF"), GRADIENT, id="colour TIFF"),
        pytest.param(encoded(COLOUR, "TIFF", compression="tiff_lzw"), GRADIENT, id="packed TIFF"),
        pytest.param(encoded(GREY, "TIFF"), GRADIENT[:, :, 0], id="grey TIFF"),
        pytest.param(encoded(GREY, "PNG"), GRADIENT[:, :, 0], id="grey PNG"),
        pytest.param(encoded(GREY, "BMP"), GRADIENT[:, :, 0], id="grey BMP"),
        pytest.param(
            encoded(Image.merge("LA", (GREY, Image.new("L", GREY.size, 255))), "PNG"),
            GRADIENT[:, :, 0],
            id="grey with opaque alpha",
        ),
        pytest.param(
            encoded(Image.merge("RGBA", (*COLOUR.split(), Image.new("L", GREY.size, 255))), "PNG"),
            GRADIENT,
            id="colour with opaque alpha",
        ),
        pytest.param(
            encoded(COLOUR.quantize(256, dither=Image.Dither.NONE), "PNG"),
            np.asarray(COLOUR.quantize(256, dither=Image.Dither.NONE).convert("RGB")),
            id="palette",
        ),
        pytest.param(
            encoded(Image.fromarray(GRADIENT[:, :, 0] > 100), "PNG"),
            255 * (GRADIENT[:, :, 0] > 100),
            id="one bit a pixel",
        ),
        pytest.param(png(2, 2, 2, 0, b"\x00\x10\x00\xb0"), np.array([[0, 85], [170, 255]]), id="two bits a pixel"),
    ],
)
def test_modes_have_the_pixels_that_they_should_have(data, pixels):
    assert np.array_equal(np.asarray(decode(data, "")), pixels)


@pytest.mark.parametrize(("mode", "ink"), [("RGB", (200, 40, 90)), ("L", 131)])
def test_jpeg_of_one_colour(mode, ink):
    pixels = np.asarray(decode(encoded(Image.new(mode, (16, 16), ink), "JPEG", quality=95), ""))
    assert np.abs(pixels.astype(int) - np.array(ink)).max() <= 2


def test_cmyk_is_converted():
    ink = Image.new("CMYK", (16, 16), (255, 0, 0, 0))  # cyan and nothing else
    pixels = np.asarray(decode(encoded(ink, "JPEG", quality=100), ""))
    assert np.abs(pixels.astype(int) - (0, 255, 255)).max() <= 3


@pytest.mark.parametrize(
    ("orientation", "brings_upright"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a.swapaxes(0, 1)[::-1, ::-1]),
        (8, np.rot90),
        (9, lambda a: a),  # there is no such orientation
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_exif_orientation_is_applied(orientation, brings_upright, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(COLOUR, kind, exif=exif, **options)
    assert np.array_equal(np.asarray(decode(data, "")), brings_upright(GRADIENT))


def test_broken_exif_does_not_spoil_the_pixels():
    data = encoded(COLOUR, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(np.asarray(decode(data, "")), GRADIENT)


def half_transparent(mode: str) -> bytes:
    alpha = Image.fromarray(np.where(GRADIENT[:, :, 0] > 200, 254, 255).astype(np.uint8))
    return encoded(Image.merge(mode, (*(GREY if mode == "LA" else COLOUR).split(), alpha)), "PNG")


def film(kind: str) -> bytes:
    return encoded(GREY, kind, save_all=True, append_images=[Image.new("L", GREY.size)], duration=9)


REFUSED = {
    "empty": (b"", "IMG-UNREADABLE"),
    "text": (b"these are not pixels\n" * 40, "IMG-UNREADABLE"),
    "float TIFF": (encoded(Image.new("F", (8, 8), 3), "TIFF"), "IMG-DEPTH"),
    "TIFF of two pages": (film("TIFF"), "IMG-ANIMATED"),
    "EPS": (encoded(GREY, "EPS"), "IMG-FORMAT"),
    "PDF": (b"%PDF-1.7\n", "IMG-FORMAT"),
    "AVIF": (b"\0\0\0\x20ftypavif", "IMG-FORMAT"),
    "film WebP": (film("WEBP"), "IMG-ANIMATED"),
    "film PNG": (film("PNG"), "IMG-ANIMATED"),
    "16 bits grey": (png(2, 2, 16, 0, b"\0\0\0\1\0" * 2), "IMG-DEPTH"),
    "16 bits colour": (png(2, 2, 16, 2, (b"\0" + b"\0\1" * 6) * 2), "IMG-DEPTH"),
    "transparent colour": (half_transparent("RGBA"), "IMG-ALPHA"),
    "transparent grey": (half_transparent("LA"), "IMG-ALPHA"),
    "transparent palette": (encoded(COLOUR.quantize(16), "PNG", transparency=0), "IMG-ALPHA"),
    "colour key": (encoded(GREY, "PNG", transparency=0), "IMG-ALPHA"),
    "bomb": (png(30_000, 30_000, 1, 0, b"\0"), "IMG-TOO-LARGE"),
    "bomb of 88 Mpx": (png(9_400, 9_400, 1, 0, b"\0"), "IMG-TOO-LARGE"),
    "one pixel": (encoded(Image.new("L", (1, 1)), "PNG"), "IMG-TOO-SMALL"),
}


@pytest.mark.parametrize(("data", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(data, code):
    assert code_of(decode, data, "") == code


def test_the_real_format_is_named():
    assert "photo.png (PostScript)" in str(refusal(decode, REFUSED["EPS"][0], "photo.png"))


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_cut_files_are_truncated_whatever_another_library_has_set(monkeypatch, kind, share, lenient):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    noise = Image.fromarray(np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    assert code_of(decode, data[: int(share * len(data))], "") == "IMG-TRUNCATED"
    assert lenient == ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_photo_with_another_one_behind_it_is_its_first():
    data = encoded(COLOUR, "MPO", save_all=True, append_images=[GREY.convert("RGB")], quality=95)
    assert np.abs(np.asarray(decode(data, "")).astype(int) - GRADIENT).max() < 40
    assert data.startswith(b"\xff\xd8")  # as JPEG it came


SEEDS = [encoded(COLOUR, kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")]
SEEDS += [encoded(COLOUR.quantize(16), "PNG"), half_transparent("RGBA"), film("WEBP"), film("GIF")]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_broken_bytes_are_pixels_or_a_refusal_and_nothing_else(data, draw):
    broken = bytearray(data)
    places = st.integers(0, min(len(data) - 1, 200)) | st.integers(0, len(data) - 1)
    for place, byte in draw.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        broken[place] = byte
    length = draw.draw(st.integers(0, len(data)) | st.just(len(data)))
    try:
        outcome = decode(bytes(broken[:length]), "x").mode
    except RatherError as error:
        outcome = error.code[:4]
    assert outcome in {"L", "RGB", "IMG-"}


@pytest.mark.parametrize(
    ("size", "shape", "sides", "corner"),  # w x h to c, h, w; the resized image, and where the crop begins
    [
        ((24, 16), (3, 8, 8), (8, 12), (0, 2)),
        ((64, 64), (1, 8, 8), (8, 8), (0, 0)),
        ((20, 60), (3, 10, 10), (30, 10), (10, 0)),
        ((10, 30), (1, 20, 20), (60, 20), (20, 0)),
        ((66, 22), (3, 11, 15), (11, 33), (0, 9)),
    ],
)
def test_fit_is_a_resize_and_a_centre_crop(size, shape, sides, corner):
    c, h, w = shape
    values = np.random.default_rng(1).integers(256, size=(*size[::-1], 3), dtype=np.uint8)
    image = Image.fromarray(values[:, :, 0] if c == 1 else values)
    pixels = fit(image, shape)
    assert torch.equal((pixels * 255).round() / 255, pixels)
    whole = torch.from_numpy(values).permute(2, 0, 1)[:c].double()
    resized = F.interpolate(whole[None], sides, mode="bilinear", antialias=True)[0]
    top, left = corner
    assert (pixels * 255 - resized[:, top : top + h, left : left + w]).abs().max() <= 1.01


def test_fit_keeps_the_pixels_of_an_image_of_that_size():
    assert np.array_equal((fit(COLOUR, (3, 16, 24)) * 255).permute(1, 2, 0).numpy(), GRADIENT)
    grey = fit(GREY, (3, 16, 24))
    assert torch.equal(grey[0], grey[2])


def test_a_very_long_image_is_not_blown_up():
    assert fit(Image.new("L", (1, 20_000), 51), (1, 64, 64)).unique().tolist() == pytest.approx([0.2])


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.png"))
    assert {path.name: code_of(read_bytes, path) for path in [*tmp_path.iterdir(), Path("/dev/null")]} == {
        "pipe.png": "IMG-NOT-FILE",
        "folder.png": "IMG-NOT-FILE",
        "socket.png": "IMG-NOT-FILE",
        "null": "IMG-NOT-FILE",
        "dangling.png": "IMG-PERMISSION",
        "loop.png": "IMG-PERMISSION",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "a.png").chmod(0)
    assert code_of(read_bytes, tmp_path / "a.png") == "IMG-PERMISSION"


def test_a_giant_file_is_not_read(tmp_path):
    with (tmp_path / "a.bmp").open("wb") as file:
        file.truncate(2**40)  # takes no place
    assert code_of(read_bytes, tmp_path / "a.bmp") == "IMG-TOO-LARGE"
