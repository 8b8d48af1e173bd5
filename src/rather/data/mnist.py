"""MNIST: the reader of the four official files (LeCun, Cortes and Burges; see Deng, 2012)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from rather.config.errors import RatherError
from rather.data.source import Dataset, InMemory

Bytes = NDArray[np.uint8]
CLASSES: Final = tuple("0123456789")
SIDE: Final = 28
_COUNTS: Final = {"train": 60_000, "t10k": 10_000}


def load(folder: Path) -> Dataset:
    """All 60,000 training and 10,000 test digits.

    Args:
        folder: holds `train-images-idx3-ubyte.gz` and its three companions, packed or unpacked.

    Raises:
        RatherError: DATA-NOT-FOUND, or DATA-DAMAGED for a file that is not whole or not the official one.
    """
    return Dataset(
        "mnist",
        test=as_source("mnist", "test", *read(folder, "t10k")),
        train=as_source("mnist", "train", *read(folder, "train")),
    )


def read(folder: Path, part: str) -> tuple[Bytes, Bytes]:
    """Images (n, 28, 28) and labels (n,) of `train` or `t10k`, checked against the official counts."""
    count = _COUNTS[part]
    images = _read_idx(folder, f"{part}-images-idx3-ubyte", (count, SIDE, SIDE))
    labels = _read_idx(folder, f"{part}-labels-idx1-ubyte", (count,))
    if labels.max() >= len(CLASSES):
        raise RatherError("DATA-DAMAGED", where=folder / f"{part}-labels-idx1-ubyte", why="a label above 9")
    return images, labels


def as_source(name: str, part: str, images: Bytes, labels: Iterable[Any]) -> InMemory:
    """Digits in memory; one has the same id in `digits` as in `mnist`, because it is the same picture."""
    return InMemory(
        name=name,
        classes=CLASSES,
        images=torch.from_numpy(images.astype(np.float32) / 255)[:, None],
        labels=[int(label) for label in labels],
        ids=[f"{part}-{n:05d}" for n in range(len(images))],
    )


def _read_idx(folder: Path, name: str, shape: tuple[int, ...]) -> Bytes:
    """An array of bytes in the files' own format: 0, 0, 8 (bytes), number of sides, the sides, the bytes."""
    packed, plain = folder / f"{name}.gz", folder / name
    path = packed if packed.is_file() else plain
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    size = len(header) + math.prod(shape)
    try:
        with gzip.open(path) if path == packed else path.open("rb") as file:
            data = file.read(size + 1)  # never more, whatever the file unpacks to
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise RatherError("DATA-DAMAGED", where=path, why="not a gzip file") from None
        raise RatherError(
            "DATA-NOT-FOUND", where=path, why=error.strerror or "", do="Give the folder of the official files"
        ) from None
    except (EOFError, zlib.error):
        raise RatherError("DATA-DAMAGED", where=path, why="the gzip file ends early or is broken") from None
    if data[: len(header)] != header or len(data) != size:
        raise RatherError("DATA-DAMAGED", where=path, why=f"expected {shape} bytes and their header")
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape)
