"""MNIST: 70,000 handwritten digits (LeCun, Cortes and Burges; see Deng, 2012), of which 12,000 are in the package."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from rather.data.lists import check_values, damaged, not_found
from rather.data.source import Dataset, InMemory

Bytes = NDArray[np.uint8]
NAMES: Final = {
    "digits": "handwritten digits, in the package: 10,000 to train on, 2,000 to explain",
    "mnist:FOLDER": "all 70,000 handwritten digits, from the four official files in a folder",
}
FILE: Final = Path(__file__).with_name("digits.npz")  # described by digits.json
CLASSES: Final = tuple("0123456789")
SIDE: Final = 28
_COUNTS: Final = {"train": 60_000, "t10k": 10_000}


def load(folder: Path | None = None) -> Dataset:
    """All 60,000 training and 10,000 test digits, or without a folder the first 10,000 and 2,000 of them.

    The folder holds `train-images-idx3-ubyte.gz` and its three companions, packed or unpacked.
    """
    name = "mnist" if folder else "digits"
    test, train = (read(folder, "t10k"), read(folder, "train")) if folder else _bundled()
    return Dataset(name, test=_source(name, "test", *test), train=_source(name, "train", *train))


def _bundled() -> Iterator[tuple[Bytes, Bytes]]:
    """Images and labels of the test and the training digits in the package."""
    try:
        data, card = FILE.read_bytes(), json.loads(FILE.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(FILE, str(error), "Install rather again") from None
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise damaged(FILE, "its sha256 is not the card's", "Install rather again")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        yield from ((arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in ("test", "train"))


def read(folder: Path, part: str) -> tuple[Bytes, Bytes]:
    """Images (n, 28, 28) and labels (n,) of `train` or `t10k`, checked against the official counts."""
    count = _COUNTS[part]
    images = _read_idx(folder / f"{part}-images-idx3-ubyte", (count, SIDE, SIDE))
    path = folder / f"{part}-labels-idx1-ubyte"
    labels = _read_idx(path, (count,))
    check_values(path, labels, range(len(CLASSES)), "a label above 9")
    return images, labels


def _source(name: str, part: str, images: Bytes, labels: Iterable[Any]) -> InMemory:
    """Digits in memory; a digit has one id in `digits` and in `mnist`, because it is the same picture."""
    return InMemory(
        name=name,
        classes=CLASSES,
        images=torch.from_numpy(images.astype(np.float32) / 255)[:, None],
        labels=[int(label) for label in labels],
        ids=[f"{part}-{n:05d}" for n in range(len(images))],
    )


def _read_idx(plain: Path, shape: tuple[int, ...]) -> Bytes:
    """An array of bytes in the files' own format: 0, 0, 8 (bytes), number of sides, the sides, the bytes."""
    packed = plain.with_name(f"{plain.name}.gz")
    path = packed if packed.is_file() else plain
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    size = len(header) + math.prod(shape)
    try:
        with gzip.open(path) if path == packed else path.open("rb") as file:
            data = file.read(size + 1)  # never more, whatever the file unpacks to
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise damaged(path, "the gzip file ends early or is broken") from None
    except OSError as error:
        raise not_found(path, error.strerror or "") from None
    if data[: len(header)] != header or len(data) != size:
        raise damaged(path, f"expected {shape} bytes and their header")
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape)
