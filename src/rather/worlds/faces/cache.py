"""A cache of drawn faces on disk: safetensors files that are written whole and checked when read."""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Final

import safetensors.torch
import torch
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rather.config.errors import RatherError
from rather.io.writing import write_whole, writing

Drawn = tuple[UInt8[Tensor, "n 3 h w"], UInt8[Tensor, "n h w"]]

#: What a picture depends on apart from its attributes and nuisances, and what draws those.
_DRAWING: Final = ("attributes", "canvas", "drawing", "parts", "sample")


def load(name: str, key: str, count: int, side: int) -> Drawn | None:
    """Pictures and layouts from the cache; None if the file is missing, damaged or of another shape.

    Args:
        name: what the file's name begins with.
        key: what the pictures depend on apart from the code that draws them.
        count: how many there must be.
        side: of a picture, in pixels.
    """
    try:
        tensors = load_file(_file(name, key))
        images, layouts = tensors["images"], tensors["layouts"]
    except (OSError, SafetensorError, KeyError):
        return None
    right = images.dtype == layouts.dtype == torch.uint8 and images.shape == (count, 3, side, side)
    return (images, layouts) if right and layouts.shape == (count, side, side) else None


def save(name: str, key: str, drawn: Drawn) -> None:
    """Put pictures and layouts into the cache, if its folder can be written: a cache only saves time."""
    file = _file(name, key)
    with contextlib.suppress(RatherError), writing(file.parent):
        write_whole(file, safetensors.torch.save(dict(zip(("images", "layouts"), drawn, strict=True))))


def folder() -> Path:
    """Where drawn faces are kept; deleting it costs nothing but time."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "rather" / "faces"


def _file(name: str, key: str) -> Path:
    digest = hashlib.sha256(f"{_version()} {key}".encode()).hexdigest()[:16]
    return folder() / f"{name}-{digest}.safetensors"


@cache
def _version() -> str:
    """A hash of the code that draws: a cache of other code's pictures has another name."""
    here = Path(__file__).parent
    source = b"".join((here / f"{name}.py").read_bytes() for name in _DRAWING)
    return hashlib.sha256(source).hexdigest()
