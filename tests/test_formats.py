"""What image files leave open is refused, or read as the user says: 16 bits, transparency, DICOM, arrays."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from rather.config.pictures import PictureOptions
from rather.io.arrays import Bands, decode_any
from refusing import code_of, refusal
from test_reading import COLOUR, GRADIENT, GREY, encoded, png

SCALE, WINDOW = PictureOptions(depth16="scale"), PictureOptions(depth16="window")
DEEP = (np.arange(256, dtype=np.uint16) * 16).reshape(16, 16)  # 12 bits in 16


def pixels(data, options=SCALE, channels=None):
    return np.asarray(decode_any(data, "x", options, channels))


def npy(values: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


def npz(*values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, *values)
    return file.getvalue()


@pytest.mark.parametrize(
    "data", [encoded(Image.fromarray(DEEP), "PNG"), encoded(Image.fromarray(DEEP), "TIFF"), npy(DEEP)]
)
def test_16_bits_are_scaled_or_windowed_or_refused(data):
    assert refusal(decode_any, data, "x").code == "IMG-DEPTH"
    assert np.abs(pixels(data, SCALE) - DEEP / 257).max() <= 0.5
    assert np.array_equal(pixels(data, WINDOW).ravel(), np.arange(256))


def test_16_bits_in_colour_are_scaled_only():
    data = png(2, 1, 16, 2, b"\0" + b"\x12\x34\x80\x00\xff\xff" * 2)
    assert code_of(decode_any, data, "x", WINDOW) == "IMG-DEPTH"
    assert pixels(data)[0, 0].tolist() == [0x12, 0x80, 0xFF]


def test_numbers_from_0_to_1_need_no_words_and_others_do():
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    assert np.array_equal(pixels(npy(values), PictureOptions()).ravel(), np.arange(256))
    assert np.array_equal(pixels(npy(values > 0.5), PictureOptions()), 255 * (values > 0.5))
    for odd in (values * 3 - 1, (values * 1000).astype(np.int32)):
        assert code_of(decode_any, npy(odd), "x") == "IMG-DEPTH"
        assert pixels(npy(odd), WINDOW).min() == 0
        assert pixels(npy(odd), WINDOW).max() == 255
    for bad in (np.nan, np.inf, 1e308, -1e308):
        broken = values.astype(np.float64)
        broken[3, 3], broken[3, 4] = bad, -bad
        assert code_of(decode_any, npy(broken), "x", WINDOW) == "IMG-DEPTH"


@pytest.mark.parametrize(("background", "behind"), [("white", 255), ("black", 0), ("#808080", 128)])
def test_a_background_shows_through(background, behind):
    half = Image.new("L", GREY.size, 128)
    for mode, image in {"LA": GREY, "RGBA": COLOUR}.items():
        seen = pixels(encoded(Image.merge(mode, (*image.split(), half)), "PNG"), PictureOptions(background=background))
        expected = np.asarray(image) * (128 / 255) + behind * (127 / 255)
        assert np.abs(seen - expected).max() <= 1


def test_a_coloured_background_makes_grey_a_colour():
    half = Image.merge("LA", (GREY, Image.new("L", GREY.size, 0)))
    assert pixels(encoded(half, "PNG"), PictureOptions(background="#0a141e"))[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("packed", [True, False])
def test_a_png_with_megabytes_of_comments_is_read(packed):
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 3_000_000, zip=packed)
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encoded(COLOUR, "PNG", pnginfo=info, exif=exif)
    assert np.array_equal(pixels(data), GRADIENT[::-1, ::-1])


@pytest.mark.parametrize("channels", [2, 4, 16])
def test_pages_of_a_tiff_are_channels(channels):
    pages = [Image.new("L", (6, 4), 10 * n) for n in range(channels)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    found = decode_any(data, "x", channels=channels)
    assert isinstance(found, Bands)
    assert [band.getpixel((0, 0)) for band in found.channels] == [10 * n for n in range(channels)]
    assert code_of(decode_any, data, "x", PictureOptions(), 7) == "IMG-CHANNELS"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (npy(np.array([{}]), allow_pickle=True), "IMG-UNREADABLE"),  # it would run code
        (npy(np.zeros((4, 4), np.uint8))[:-3], "IMG-UNREADABLE"),
        (npy(np.zeros((4, 4), np.uint8)).replace(b"(4, 4)", b"(9**"), "IMG-UNREADABLE"),
        (npy(np.zeros((4, 4), complex)), "IMG-FORMAT"),
        (npy(np.zeros((4, 4, 4, 4), np.uint8)), "IMG-FORMAT"),
        (npy(np.zeros((0, 4), np.uint8)), "IMG-FORMAT"),
        (npy(np.zeros((1, 1), np.uint8)), "IMG-TOO-SMALL"),
        (npy(np.zeros((40, 50, 60), np.uint8)), "IMG-CHANNELS"),
        (npz(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)), "IMG-FORMAT"),
        (npz(np.zeros(2**28 + 1, np.uint8)), "IMG-FORMAT"),  # a bomb
        (npz(np.zeros((4, 4), np.uint8))[:-30], "IMG-UNREADABLE"),
    ],
)
def test_arrays_that_are_no_pictures(data, code):
    assert code_of(decode_any, data, "x") == code


def test_an_array_of_an_archive_and_of_columns():
    values = np.random.default_rng(0).integers(256, size=(5, 7), dtype=np.uint8)
    assert np.array_equal(pixels(npz(values)), values)
    assert np.array_equal(pixels(npy(np.asfortranarray(values))), values)
    assert np.array_equal(pixels(npy(GRADIENT), channels=1), GRADIENT)  # becomes grey where it is fitted


# ---------------------------------------------------------------- DICOM


def dicom(values: np.ndarray, **tags: object) -> bytes:
    pydicom = pytest.importorskip("pydicom")
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = tags.pop("syntax", pydicom.uid.ExplicitVRLittleEndian)
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file.Rows, file.Columns = values.shape[:2]
    file.SamplesPerPixel, file.PhotometricInterpretation = (3, "RGB") if values.ndim == 3 else (1, "MONOCHROME2")
    file.PlanarConfiguration = 0
    file.BitsAllocated = file.BitsStored = 8 * values.itemsize
    file.HighBit, file.PixelRepresentation = 8 * values.itemsize - 1, int(values.dtype.kind == "i")
    file.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(file, name, value)
    sink = io.BytesIO()
    pydicom.dcmwrite(sink, file, enforce_file_format=True)
    return sink.getvalue()


HOUNSFIELD = (np.arange(256) * 8 - 1024).astype(np.int16).reshape(16, 16)


def test_dicom_is_seen_through_its_window():
    levels = pixels(dicom(HOUNSFIELD, WindowCenter="40", WindowWidth="400"))
    inside = (HOUNSFIELD > -160) & (HOUNSFIELD < 239)
    assert set(levels[HOUNSFIELD <= -160]) == {0}
    assert set(levels[HOUNSFIELD >= 240]) == {255}
    expected = ((HOUNSFIELD - 39.5) / 399 + 0.5) * 255  # PS3.3, C.11.2.1.2
    assert np.abs(levels - expected)[inside].max() <= 0.5
    scaled = dicom(HOUNSFIELD, WindowCenter="540", WindowWidth="400", RescaleSlope="1", RescaleIntercept="500")
    assert np.array_equal(pixels(scaled), levels)


def test_dicom_without_a_window_and_upside_down():
    levels = pixels(dicom(HOUNSFIELD))
    assert (levels.min(), levels.max()) == (0, 255)
    inverted = pixels(dicom(HOUNSFIELD, PhotometricInterpretation="MONOCHROME1"))
    assert np.abs(levels.astype(int) + inverted - 255).max() <= 1
    assert np.array_equal(pixels(dicom(GRADIENT)), GRADIENT)


def test_dicom_that_is_refused():
    frames = dicom(np.zeros((8, 4), np.uint8), Rows=4, NumberOfFrames=2)
    assert code_of(decode_any, frames, "x") == "IMG-ANIMATED"
    assert code_of(decode_any, dicom(HOUNSFIELD, Rows=20_000, Columns=20_000), "x") == "IMG-TOO-LARGE"
    assert code_of(decode_any, dicom(HOUNSFIELD)[:-200], "x") == "IMG-UNREADABLE"
    assert code_of(decode_any, dicom(HOUNSFIELD, syntax="1.2.840.10008.1.2.1.99"), "x") == "IMG-FORMAT"  # a bomb


def test_dicom_without_its_library_says_what_to_install(monkeypatch):
    data = dicom(HOUNSFIELD)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert refusal(decode_any, data, "x").do == "pip install 'rather[dicom]'"


# ---------------------------------------------------------------- many broken files


@pytest.mark.parametrize("kind", ["images", "models"])
def test_a_few_hundred_broken_files_crash_nothing(kind):
    script = Path(__file__).parent.parent / "benchmarks" / "fuzz.py"
    done = subprocess.run(
        [sys.executable, script, kind, "--count", "600"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "600 files" in done.stdout
    assert "0 crashes" in done.stdout
