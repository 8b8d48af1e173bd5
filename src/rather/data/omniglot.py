"""Omniglot: handwritten letters, from the official archive (Lake, Salakhutdinov and Tenenbaum, 2015).

Goyal et al. (2019), section 4.2, explain a net for the 42 letters of its Sanskrit alphabet (Devanagari).
"""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from PIL import ImageOps
from torch import Tensor

from rather.config.errors import RatherError, did_you_mean
from rather.data.source import Dataset, InMemory
from rather.io.images import decode, fit, read_bytes

#: How many characters the alphabets of images_background_small2.zip have.
CHARACTERS: Final = {"Greek": 24, "Japanese_(katakana)": 47, "Latin": 26, "Sanskrit": 42, "Tagalog": 17}
DRAWINGS: Final = 20  # of each character, by 20 people
SIDE: Final = 105  # pixels
_LARGEST: Final = 2**16  # bytes; the official drawings take a few hundred


def load(file: Path, alphabet: str = "Sanskrit", *, size: int = 28, seed: int = 0) -> Dataset:
    """An alphabet, white on black as MNIST is; of each character 16 drawings to train on, 4 to explain.

    Args:
        file: images_background_small2.zip, or the folder that it unpacks to.
        alphabet: a key of `CHARACTERS`.
        size: pixels a side, of the 105 that there are.
        seed: of the split.

    Raises:
        RatherError: CFG-UNKNOWN for another alphabet, DATA-NOT-FOUND, or DATA-DAMAGED for a file that is not
            whole or not the official one.
    """
    if alphabet not in CHARACTERS:
        raise RatherError("CFG-UNKNOWN", where=f"alphabet {alphabet}", do=did_you_mean(alphabet, CHARACTERS))
    drawings = {(path.parent.name, path.stem): data for path, data in _drawings(file, alphabet)}
    counts = Counter(character for character, _ in drawings)
    expected = {f"character{n:02d}": DRAWINGS for n in range(1, CHARACTERS[alphabet] + 1)}
    if counts != expected:
        raise _damaged(file, f"{counts.total()} drawings of {len(counts)} characters of {alphabet}")
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    stream = np.random.default_rng(seed)
    for character in expected:
        mine = sorted(key for key in drawings if key[0] == character)
        shuffled = [mine[i] for i in stream.permutation(DRAWINGS)]
        parts["train"] += sorted(shuffled[DRAWINGS // 5 :])
        parts["test"] += sorted(shuffled[: DRAWINGS // 5])
    classes = tuple(expected)
    sources = {
        part: InMemory(
            name=f"omniglot/{alphabet}",
            classes=classes,
            images=torch.stack([_picture(drawings[key], file, size) for key in keys]),
            labels=[classes.index(character) for character, _ in keys],
            ids=[stem.replace("_", "-") for _, stem in keys],
        )
        for part, keys in parts.items()
    }
    return Dataset(f"omniglot/{alphabet}", test=sources["test"], train=sources["train"])


def _drawings(file: Path, alphabet: str) -> Iterator[tuple[PurePath, bytes]]:
    """Path and bytes of each drawing of an alphabet; nothing is unpacked to the disk."""
    if file.is_dir():
        for path in sorted(file.rglob("*.png")):
            if path.parts[-3] == alphabet:
                yield path, read_bytes(path)
        return
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                name = PurePath(info.filename)
                if name.suffix == ".png" and name.parts[-3:-2] == (alphabet,):
                    if info.file_size > _LARGEST:
                        raise _damaged(file, f"{name.name} has {info.file_size:,} bytes")
                    yield name, archive.read(info)  # checks its CRC, and never gives more than it announced
    except OSError as error:
        raise RatherError("DATA-NOT-FOUND", where=file, why=error.strerror or "") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(file, f"{type(error).__name__}: {error}"[:120]) from None


def _picture(data: bytes, file: Path, size: int) -> Float[Tensor, "1 h w"]:
    try:
        image = decode(data, file)
    except RatherError as error:
        raise _damaged(file, error.what) from None
    if image.size != (SIDE, SIDE):
        raise _damaged(file, f"a drawing of {image.width} x {image.height}")
    return fit(ImageOps.invert(image), (1, size, size))


def _damaged(file: Path, why: str) -> RatherError:
    return RatherError("DATA-DAMAGED", where=file, why=why, do="Get images_background_small2.zip again")
