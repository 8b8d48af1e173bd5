"""Image files as a source: each is opened, checked and cut only when it is read."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from posixpath import basename, splitext
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from typing_extensions import override

from rather.config.errors import RatherError
from rather.data.source import Source, Whole
from rather.io.arrays import MAX_CHANNELS, Picture, fit_any, wrong_channels
from rather.io.images import EXTENSIONS, Box, Shape, decode, largest, read_bytes
from rather.io.preprocessing import Preprocess

#: The part of a picture of this (width, height) that becomes the pixels of a shape.
View = Callable[[tuple[int, int], Shape], Box]

_SMALL: Final = 320  # pixels of the longer side of a small copy
_EDGE: Final = 0.01  # of a picture, which nobody misses
_NO_ID: Final = re.compile("[^A-Za-z0-9]+")


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageFiles(Source):
    """Image files, whose ids are their names; a missing file raises when it is read."""

    name: str
    folder: Path = Path()
    files: Sequence[str]  # below the folder
    shape: Shape  # (c, h, w) of the pixels of each picture
    square: int | None = None  # side in pixels of the centre that is cut out before anything else
    view: View = largest
    preprocess: Preprocess | None = None  # instead of the view, which then says what part it shows
    classes: tuple[str, ...] = ()
    labels: Sequence[int | None] = ()  # of each file, if there are classes
    attributes: tuple[str, ...] = ()
    values: Shaped[Tensor, "n a"] | None = None  # of each file's attributes, if there are any
    point_names: tuple[str, ...] = ()
    points: Float[Tensor, "n p 3"] | None = None  # x and y in pixels of the file, and 1 where the point is seen

    def __post_init__(self) -> None:
        if not 1 <= self.shape[0] <= MAX_CHANNELS:
            why = f"pictures have 1 to {MAX_CHANNELS} channels, the classifier takes {self.shape[0]}"
            raise RatherError("DATA-SHAPE", where=self.name, why=why)

    @override
    def __len__(self) -> int:
        return len(self.files)

    @override
    def id(self, index: int) -> str:
        return self._names[index]

    @cached_property
    def _names(self) -> list[str]:
        # 100 characters are more than the official names have, and fewer than a file's name may have.
        stems = [_NO_ID.sub("-", splitext(basename(file))[0])[:100] for file in self.files]
        return number_twins(stems)

    @override
    def label(self, index: int) -> int | None:
        return self.labels[index] if self.labels else None

    @override
    def where(self, index: int) -> str:
        return text(self.path(index))

    @override
    def read(self, index: int) -> Float[Tensor, "c h w"]:
        picture = self.picture(index)
        if self.preprocess is None:
            return fit_any(picture, self.shape, self.view(picture.size, self.shape), self.where(index))
        if not isinstance(picture, Image.Image):
            raise wrong_channels(self.where(index), len(picture.channels), self.shape[0])
        return self.preprocess(picture)

    @override
    def whole(self, index: int) -> Whole | None:
        picture = self.picture(index)
        if not isinstance(picture, Image.Image):
            return None
        box = self.view(picture.size, self.shape)
        outside = (box[0], box[1], picture.width - box[2], picture.height - box[3])
        if max(map(abs, outside)) <= _EDGE * max(picture.size):
            return None
        scale = min(1.0, _SMALL / max(picture.size))
        small = picture.convert("RGB").resize([max(round(scale * side), 1) for side in picture.size])
        return Whole(small, (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale))

    @override
    def through(self, preprocess: Preprocess) -> ImageFiles:
        return replace(self, shape=preprocess.shape, preprocess=preprocess, view=lambda size, _: preprocess.box(size))

    @override
    def attribute_values(self, index: int) -> Float[Tensor, " a"]:
        return super().attribute_values(index) if self.values is None else self.values[index].float()

    @override
    def key_points(self, index: int) -> Float[Tensor, "p 3"]:
        """Where each is; one that is hidden or cut off is not seen. Reads the picture, for its size."""
        if self.points is None:
            return super().key_points(index)
        left, top, right, bottom = self.view(self.picture(index).size, self.shape)
        points = self.points[index].clone()
        points[:, :2] = (points[:, :2] - torch.tensor([left, top])) / torch.tensor([right - left, bottom - top])
        hidden = (points[:, 2] != 1) | ((points[:, :2] < 0) | (points[:, :2] > 1)).any(1)
        points[hidden] = torch.tensor([torch.nan, torch.nan, 0])
        return points

    def path(self, index: int) -> Path:
        """The file of a picture."""
        return self.folder / self.files[index]

    def picture(self, index: int) -> Picture:
        """A picture as its file has it, or its `square`."""
        image = decode(read_bytes(self.path(index)), self.where(index))
        if self.square is None:
            return image
        side = min(self.square, *image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return image.crop((left, top, left + side, top + side))


def number_twins(names: Sequence[str]) -> list[str]:
    """The names, where the second of one name gets `-2` behind it, the third `-3`."""
    times = Counter[str]()
    unique = []
    for name in names:
        times[name] += 1
        unique.append(name if times[name] == 1 else f"{name}-{times[name]}")
    return unique


def text(path: str | Path) -> str:
    """A path as text that can be stored and shown: bytes that are not UTF-8 become escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def whole(size: tuple[int, int], _: Shape) -> Box:
    """All of a picture, whatever that does to its proportions."""
    return 0.0, 0.0, float(size[0]), float(size[1])


def fit_layout(regions: NDArray[np.uint8], shape: Shape, view: View) -> UInt8[Tensor, "h w"]:
    """The region of each pixel of what `view` shows: that of the nearest pixel, never a mean of indices."""
    image = Image.fromarray(regions)
    box = view(image.size, shape)
    resized = image.resize((shape[2], shape[1]), Image.Resampling.NEAREST, box=box)
    return torch.from_numpy(np.array(resized))


def mask(path: Path) -> NDArray[np.uint8]:
    """An image file of one channel, (h, w) from 0 to 255."""
    return np.asarray(decode(read_bytes(path), text(path)).convert("L"))


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def pictures_in(folder: Path) -> list[str]:
    """The names of the pictures in a folder, sorted; DATA-NOT-FOUND or DATA-EMPTY without any."""
    try:
        names = sorted(filter(is_picture, os.listdir(folder)))  # noqa: PTH208 - names; 70,000 Paths take their time
    except OSError as error:
        raise RatherError("DATA-NOT-FOUND", where=text(folder), why=error.strerror or "") from None
    if not names:
        raise RatherError("DATA-EMPTY", where=text(folder), why=f"looked for {', '.join(EXTENSIONS)}")
    return names
