"""Medical pictures: DICOM files, by the extra `dicom`, as grey levels of the window that the file asks for."""

from __future__ import annotations

import io
import warnings
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rather.config.errors import RatherError
from rather.io.images import MAX_PIXELS

_PREAMBLE: Final = slice(128, 132)
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_BEYOND: Final = 1e9  # more than any pixel: what a window makes of it is black or white


def is_dicom(data: bytes) -> bool:
    """Whether these are the bytes of a DICOM file."""
    return data[_PREAMBLE] == b"DICM"


def decode_dicom(data: bytes, where: object) -> Image.Image:
    """The picture of a DICOM file, of mode L or RGB.

    Numbers become those of the modality (Hounsfield units, ...), and these grey levels by the file's first window or
    table; without one, from the smallest to the largest. MONOCHROME1 is inverted, so that white is white.

    Raises:
        RatherError: MODEL-MISSING-LIBRARY without pydicom; IMG-UNREADABLE, IMG-FORMAT, IMG-ANIMATED for several
            frames, or IMG-TOO-LARGE.
    """
    try:
        import pydicom
    except ImportError:
        do = "pip install 'rather[dicom]'"
        raise RatherError("MODEL-MISSING-LIBRARY", where=f"pydicom, for {where}", do=do) from None
    if _DEFLATED in data:  # it could unpack to any size
        raise RatherError("IMG-FORMAT", where=where, why="deflated DICOM", do="Save it without deflation")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = pydicom.dcmread(io.BytesIO(data))
            _check_size(file, where)
            return Image.fromarray(_levels(file))
    except (RatherError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - its reader and its decoders raise anything for broken bytes
        why = f"DICOM: {type(error).__name__}: {error}"
        raise RatherError("IMG-UNREADABLE", where=where, why=" ".join(why.split())[:150]) from None


def _check_size(file: Any, where: object) -> None:
    frames = int(file.get("NumberOfFrames") or 1)
    if frames > 1:
        raise RatherError("IMG-ANIMATED", where=where, why=f"{frames}", do="Save each frame as a file of its own")
    if int(file.Rows) * int(file.Columns) > MAX_PIXELS:
        raise RatherError("IMG-TOO-LARGE", where=where, why=f"{file.Columns:,} x {file.Rows:,}")


def _levels(file: Any) -> NDArray[np.uint8]:
    from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing, pixel_array

    values: NDArray[Any] = pixel_array(file)
    if values.ndim == 3:  # noqa: PLR2004 - h, w, c: colours, of 8 bits
        return values.astype(np.uint8)
    values = apply_modality_lut(values, file)
    low, high = float(values.min()), float(values.max())
    if "VOILUTSequence" in file:
        values = apply_voi(values, file)
        low, high = 0.0, float(2 ** int(file.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    elif "WindowCenter" in file:
        *seen, low, high = apply_windowing(np.append(values, [-_BEYOND, _BEYOND]), file)
        values = np.reshape(seen, values.shape)
    shares = (values.astype(np.float64) - low) / (high - low or 1.0)
    if str(file.get("PhotometricInterpretation")) == "MONOCHROME1":
        shares = 1 - shares
    levels: NDArray[np.uint8] = np.rint(shares.clip(0, 1) * 255).astype(np.uint8)
    return levels
