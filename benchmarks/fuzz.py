"""Read many broken files: `python benchmarks/fuzz.py images|models --count 100000`; only a RatherError may come of one.

Each mutant is made from a sound file by its number, so that a crash can be repeated: `--first NUMBER --count 1`. What
raises anything else, takes longer than ten seconds or needs more than eight gigabytes is a crash.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import io
import os
import pickle
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rather.config.errors import RatherError

SECONDS = 10
BYTES = 8 * 2**30
Read = Callable[[bytes], object]


def mutant(seeds: Sequence[bytes], number: int) -> bytes:
    """One of the files, with one to eight changes of a few kinds."""
    draw = random.Random(number)
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.randint(1, 8)):
        if not data:
            break
        near = draw.random() < 0.5  # half of the changes are in the header
        place = draw.randrange(min(len(data), 160) if near else len(data))
        width = draw.choice((1, 1, 2, 4, 8))
        match draw.randrange(7):
            case 0:
                data[place] ^= 1 << draw.randrange(8)
            case 1:
                data[place : place + width] = draw.randbytes(width)
            case 2:  # what lengths and counts must not be trusted with
                data[place : place + width] = draw.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * width
            case 3:
                del data[place : place + draw.randrange(1, 64)]
            case 4:
                data[place:place] = data[place : place + draw.randrange(1, 64)]
            case 5:
                other = draw.choice(seeds)
                data[place:] = other[draw.randrange(len(other)) :]
            case _:
                if draw.random() < 0.3:
                    del data[place:]
    return bytes(data)


def images() -> tuple[list[bytes], Read]:
    """Small sound pictures of every kind that is read, and what reads them, with and without options."""
    import numpy as np
    from PIL import Image, PngImagePlugin

    from rather.config.pictures import PictureOptions
    from rather.io.arrays import decode_any, fit_any
    from rather.io.images import indices, largest

    noise = np.random.default_rng(0).integers(256, size=(20, 24, 3), dtype=np.uint8)
    colour, grey = Image.fromarray(noise), Image.fromarray(noise[:, :, 0])
    deep = Image.fromarray(noise[:, :, 0].astype(np.uint16) * 200)
    clear = Image.merge("RGBA", (*colour.split(), grey))

    def saved(image: Image.Image, kind: str, **options: object) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)  # type: ignore[arg-type]
        return file.getvalue()

    def array(values: np.ndarray, save: Callable[..., None] = np.save) -> bytes:
        file = io.BytesIO()
        save(file, values)
        return file.getvalue()

    comment, exif = PngImagePlugin.PngInfo(), Image.Exif()
    comment.add_text("comment", "words " * 20, zip=True)
    exif[0x0112] = 6
    seeds = [saved(image, kind) for kind in ("PNG", "WEBP", "GIF", "TIFF", "AVIF") for image in (colour, grey, clear)]
    seeds += [saved(image, kind, quality=90) for kind in ("JPEG",) for image in (colour, grey, colour.convert("CMYK"))]
    seeds += [saved(colour, "JPEG", progressive=True, exif=exif), saved(colour, "BMP"), saved(grey, "BMP")]
    seeds += [saved(deep, "PNG"), saved(deep, "TIFF"), saved(colour.quantize(16), "PNG", transparency=3)]
    seeds += [saved(colour, "PNG", pnginfo=comment, exif=exif), saved(grey.convert("1"), "TIFF", compression="group4")]
    seeds += [saved(colour, "TIFF", compression=packed) for packed in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")]
    seeds += [saved(grey, kind, save_all=True, append_images=[grey, grey]) for kind in ("TIFF", "GIF", "WEBP", "PNG")]
    seeds += [array(noise), array(noise / 255), array(noise.astype(np.uint16)), array(noise, np.savez_compressed)]
    seeds += _dicom(noise)
    choices = [PictureOptions(), PictureOptions(depth16="scale", background="white"), PictureOptions(depth16="window")]

    def read(data: bytes) -> object:
        if len(data) % 11 == 0:
            return indices(data, "mutant")
        channels = (None, 1, 3, 4)[len(data) % 4]
        picture = decode_any(data, "mutant", choices[len(data) % 3], channels)
        return fit_any(picture, (channels or 3, 8, 8), largest(picture.size, (1, 8, 8)), "mutant")

    return seeds, read


def _dicom(noise: object) -> list[bytes]:
    """Medical pictures, where the library that reads them is installed."""
    import numpy as np

    try:
        import pydicom
    except ImportError:
        return []
    files = []
    for values in (np.asarray(noise)[:, :, 0].astype(np.uint16) * 16, np.asarray(noise)):
        file = pydicom.Dataset()
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        file.Rows, file.Columns, file.PlanarConfiguration = *values.shape[:2], 0
        file.SamplesPerPixel, file.PhotometricInterpretation = (3, "RGB") if values.ndim == 3 else (1, "MONOCHROME2")
        file.BitsAllocated = file.BitsStored = 8 * values.itemsize
        file.HighBit, file.PixelRepresentation = 8 * values.itemsize - 1, 0
        file.WindowCenter, file.WindowWidth, file.RescaleSlope, file.RescaleIntercept = "900", "1500", "1", "-100"
        file.PixelData = values.tobytes()
        sink = io.BytesIO()
        pydicom.dcmwrite(sink, file, enforce_file_format=True)
        files.append(sink.getvalue())
    return files


class Runs:
    """A pickle of it makes a folder, if it is run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def models() -> tuple[list[bytes], Read]:
    """Small files of nets of every kind, among them pickles that would run something, and what reads them."""
    import numpy as np
    import torch
    from safetensors.torch import save
    from torch import nn

    from rather.hub.classifiers import load_classifier
    from rather.io.bundled import weights_file
    from rather.io.file_kinds import file_kind
    from rather.io.state_dicts import load_state, read_state, weights_of

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder)
    mark, file, net = folder / "mark", folder / "net", nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 3))
    net.eval()
    state, x = net.state_dict(), torch.rand(1, 1, 6, 6)

    def saved(write: Callable[[io.BytesIO], object]) -> bytes:
        sink = io.BytesIO()
        with warnings.catch_warnings(action="ignore"):
            write(sink)
        return sink.getvalue()

    beside = {"state_dict": state, "best": np.float64(1), "epoch": 3}
    seeds = [saved(partial(torch.save, content)) for content in (state, beside, {"a": state, "b": Runs(mark)}, net)]
    seeds += [saved(partial(torch.save, beside, _use_new_zipfile_serialization=False)), save(state)]
    seeds += [pickle.dumps({"weight": Runs(mark)}, protocol=protocol) for protocol in (2, 4)]
    seeds += [saved(lambda sink: torch.jit.save(torch.jit.trace(net, x), sink))]
    seeds += [saved(partial(torch.export.save, torch.export.export(net, (x,))))]
    seeds += [weights_file("shapes", "classifier").read_bytes()]
    with contextlib.suppress(ImportError):
        import onnxruntime  # noqa: F401 - without it the kind is refused

        seeds += [saved(lambda sink: torch.onnx.export(net, (x,), sink, dynamo=False))] * 2

    def read(data: bytes) -> object:
        file.write_bytes(data)
        kind = file_kind(file)
        with warnings.catch_warnings(action="ignore"):
            try:
                if len(data) % 5 == 0 or b"__metadata__" in data[:400]:
                    return load_classifier(str(file))
                if kind in {"onnx", "torchscript", "export"}:
                    return load_classifier(f"{kind}:{file}")
                part, _ = weights_of(state, read_state(file), file)
                return load_state(net, part, file)
            finally:
                if mark.exists():
                    raise AssertionError("something ran")

    return seeds, read


#: What can be broken: each gives sound files and what reads them.
KINDS: dict[str, Callable[[], tuple[list[bytes], Read]]] = {"images": images, "models": models}


def outcome(read: Read, data: bytes) -> str:
    """`read`, the code of a refusal, or what crashed."""
    signal.alarm(SECONDS)
    try:
        read(data)
    except RatherError as error:
        return error.code
    except BaseException as error:  # any other is what is looked for
        if isinstance(error, KeyboardInterrupt):
            raise
        traceback.print_exc()
        return f"CRASH {type(error).__name__}"
    finally:
        signal.alarm(0)
    return "read"


class Late(BaseException):
    """Ten seconds are over; no `Exception`, which a reader would take for the file's fault."""


def _late(signum: int, frame: object) -> None:
    raise Late(signum, frame)


def main() -> int:
    """Read the mutants, and say what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    asked = parser.parse_args()
    signal.signal(signal.SIGALRM, _late)
    seeds, read = KINDS[asked.kind]()
    sound = [outcome(read, seed) for seed in seeds]
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, resource.RLIM_INFINITY))
    began, found = time.monotonic(), Counter[str]()
    for number in range(asked.first, asked.first + asked.count):
        what = outcome(read, mutant(seeds, number))
        found[what] += 1
        if what.startswith("CRASH"):
            print(f"mutant {number}: {what}", flush=True)
    crashes = sum(count for what, count in found.items() if what.startswith("CRASH"))
    each = ", ".join(f"{what} {count:,}" for what, count in found.most_common())
    seconds = time.monotonic() - began
    print(f"{asked.count:,} files of {len(seeds)} sound ones ({sound.count('read')} read) in {seconds:.0f} s: {each}")
    print(f"{crashes} crashes")
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
