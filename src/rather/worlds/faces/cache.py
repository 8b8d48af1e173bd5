"""Drawn faces on disk, so that they are drawn once: safetensors, whole or not at all, never trusted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import torch
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from rather.config.errors import RatherError
from rather.io.writing import write_whole, writing

Drawn = tuple[UInt8[Tensor, "n 3 h w"], UInt8[Tensor, "n h w"]]

#: What a picture depends on beside its attributes and nuisances, and what draws those.
_DRAWING: Final = (
    "attributes",
    "canvas",
    "distances",
    "drawing",
    "features",
    "head",
    "nuisances",
    "population",
    "sample",
)


def cached(name: str, key: str, count: int, side: int, draw: Callable[[], Drawn]) -> Drawn:
    """Pictures and layouts from the cache, or drawn and put there if that can be.

    A file that is missing, damaged or of another shape is drawn anew; a folder that cannot be written is no
    error, since a cache only saves time.

    Args:
        name: what the file's name begins with.
        key: what the pictures depend on beside the code that draws them.
        count: how many there must be.
        side: of a picture, in pixels.
        draw: what takes the time.
    """
    there = kept(name, key, count, side)
    if there is not None:
        return there
    images, layouts = draw()
    file = _file(name, key)
    try:
        with writing(file.parent):
            write_whole(file, save({"images": images, "layouts": layouts}))
    except RatherError:
        pass  # drawn anew next time
    return images, layouts


def kept(name: str, key: str, count: int, side: int) -> Drawn | None:
    """What the cache has of this, see `cached`; None if it has nothing."""
    return _read(_file(name, key), count, side)


def folder() -> Path:
    """Where drawn faces are kept; deleting it costs nothing but time."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "rather" / "faces"


def _file(name: str, key: str) -> Path:
    digest = hashlib.sha256(f"{_version()} {key}".encode()).hexdigest()[:16]
    return folder() / f"{name}-{digest}.safetensors"


def _read(file: Path, count: int, side: int) -> Drawn | None:
    try:
        tensors = load_file(file)
        images, layouts = tensors["images"], tensors["layouts"]
    except (OSError, SafetensorError, KeyError):
        return None
    right = images.dtype == layouts.dtype == torch.uint8 and images.shape == (count, 3, side, side)
    return (images, layouts) if right and layouts.shape == (count, side, side) else None


@cache
def _version() -> str:
    """A hash of the code that draws: a cache of other code's pictures has another name."""
    here = Path(__file__).parent
    source = b"".join((here / f"{name}.py").read_bytes() for name in _DRAWING)
    return hashlib.sha256(source).hexdigest()
