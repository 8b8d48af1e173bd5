"""BDD100k: 80,000 streets (Yu et al., 2020).

The pictures have no labels of what a driver may do; `bdd_oia` has, and the papers train on it the classifier
that they explain on both. All of a picture's 1280 x 720 pixels is shown, at 512 x 256 as in the papers, which
makes things a little broader than they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rather.data.files import ImageFiles, pictures_in, whole
from rather.data.lists import find
from rather.data.source import Dataset
from rather.io.images import Shape

NAMES: Final = {"bdd100k:FOLDER": "80,000 streets, without labels"}
SHAPE: Final[Shape] = (3, 256, 512)


def load(folder: Path, *, shape: Shape = SHAPE) -> Dataset:
    """The 10,000 pictures of `val` to explain, and the 70,000 of `train`.

    The folder holds `images/100k/train/` and `images/100k/val/`, or `bdd100k/` with them.
    """
    images = find(folder, "images/100k", "bdd100k/images/100k")

    def source(part: str) -> ImageFiles:
        files = pictures_in(images / part)
        return ImageFiles(name="bdd100k", folder=images / part, files=files, shape=shape, view=whole)

    return Dataset("bdd100k", test=source("val"), train=source("train"))
