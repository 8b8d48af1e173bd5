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
from rather.data.lists import damaged
from rather.data.source import Dataset, InMemory
from rather.io.images import decode, fit, read_bytes

NAMES: Final = {"omniglot:FILE": "handwritten Sanskrit letters, from images_background_small2.zip or its folder"}
#: How many characters the alphabets of images_background_small2.zip have.
CHARACTERS: Final = {"Greek": 24, "Japanese_(katakana)": 47, "Latin": 26, "Sanskrit": 42, "Tagalog": 17}
DRAWINGS: Final = 20  # of each character, by 20 people
SIDE: Final = 105  # pixels
_LARGEST: Final = 2**16  # bytes; the official drawings take a few hundred
_AGAIN: Final = "Get images_background_small2.zip again"


def load(file: Path, alphabet: str = "Sanskrit", *, size: int = 28, seed: int = 0) -> Dataset:
    """An alphabet, white on black as MNIST is; of each character 16 drawings to train on, 4 to explain.

    The file is images_background_small2.zip, or the folder that it unpacks to; the alphabet is a key of `CHARACTERS`,
    `size` the side in pixels, of the 105 that there are, and `seed` that of the split.
    """
    if alphabet not in CHARACTERS:
        raise RatherError("CFG-UNKNOWN", where=f"alphabet {alphabet}", do=did_you_mean(alphabet, CHARACTERS))
    drawings = {(path.parent.name, path.stem): data for path, data in _drawings(file, alphabet)}
    counts = Counter(character for character, _ in drawings)
    classes = tuple(f"character{n:02d}" for n in range(1, CHARACTERS[alphabet] + 1))
    if counts != dict.fromkeys(classes, DRAWINGS):
        raise damaged(file, f"{counts.total()} drawings of {len(counts)} characters of {alphabet}", _AGAIN)
    stream = np.random.default_rng(seed)
    orders = {character: stream.permutation(DRAWINGS) for character in classes}

    def source(part: slice) -> InMemory:
        keys = []
        for character, order in orders.items():
            of_character = sorted(key for key in drawings if key[0] == character)
            keys += sorted(of_character[n] for n in order[part])
        return InMemory(
            name=f"omniglot/{alphabet}",
            classes=classes,
            images=torch.stack([_picture(drawings[key], file, size) for key in keys]),
            labels=[classes.index(character) for character, _ in keys],
            ids=[stem.replace("_", "-") for _, stem in keys],
        )

    fifth = DRAWINGS // 5
    return Dataset(f"omniglot/{alphabet}", test=source(slice(fifth)), train=source(slice(fifth, None)))


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
                        raise damaged(file, f"{name.name} has {info.file_size:,} bytes", _AGAIN)
                    yield name, archive.read(info)  # checks its CRC, and never gives more than it announced
    except OSError as error:
        raise RatherError("DATA-NOT-FOUND", where=file, why=error.strerror or "") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise damaged(file, f"{type(error).__name__}: {error}"[:120], _AGAIN) from None


def _picture(data: bytes, file: Path, size: int) -> Float[Tensor, "1 h w"]:
    try:
        image = decode(data, file)
    except RatherError as error:
        raise damaged(file, error.what, _AGAIN) from None
    if image.size != (SIDE, SIDE):
        raise damaged(file, f"a drawing of {image.width} x {image.height}", _AGAIN)
    return fit(ImageOps.invert(image), (1, size, size))
