"""CUB-200-2011: 11,788 birds of 200 species, with key points, outlines and attributes (Wah et al., 2011).

Goyal et al. (2019), section 4.3, explain a net for its species, and count which parts their edits touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from rather.data.files import ImageFiles, fit_layout, mask
from rather.data.lists import check_paths, check_values, damaged, find, names, numbers, table
from rather.data.source import Dataset
from rather.io.images import Shape

NAMES: Final = {"cub:FOLDER": "birds of 200 species, with attributes, key points and outlines"}
SHAPE: Final[Shape] = (3, 224, 224)
REGIONS: Final = ("background", "bird")
NOT_VISIBLE: Final = 1  # in attributes/certainties.txt


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Birds(ImageFiles):
    """Birds with the places of their 15 parts and, where the segmentations are there, their outlines."""

    segmentations: Path | None = None
    regions: tuple[str, ...] = ()

    @override
    def layout(self, index: int) -> UInt8[Tensor, "h w"]:
        """Which pixels show the bird: those that at least half of the annotators gave it."""
        if self.segmentations is None:
            return super().layout(index)
        bird = mask((self.segmentations / self.files[index]).with_suffix(".png")) > 127  # noqa: PLR2004 - half
        return fit_layout(bird.astype(np.uint8), self.shape, self.view)


def load(folder: Path, *, shape: Shape = SHAPE) -> Dataset:
    """The official parts for training and for test, labelled by the species.

    The folder is `CUB_200_2011` as it is unpacked, or has it inside. `attributes.txt` and `segmentations/`, which
    is another download, may be in it or next to it; without segmentations the birds have no layout.
    """
    home = find(folder, "images.txt", "CUB_200_2011/images.txt").parent
    files = names(home / "images.txt")
    check_paths(home / "images.txt", files)
    classes = names(home / "classes.txt")
    labels = _read_labels(home / "image_class_labels.txt", len(files), len(classes))
    split = home / "train_test_split.txt"
    training = table(split, len(files), 1)[:, 0]
    check_values(split, training, (0, 1), "expected 0 or 1 for each picture")
    parts = names(find(home, "parts/parts.txt"))
    points = _read_points(find(home, "parts/part_locs.txt"), len(files), len(parts))
    attributes = names(find(home, "attributes/attributes.txt", "attributes.txt", "../attributes.txt"))
    values = _read_attributes(find(home, "attributes/image_attribute_labels.txt"), len(files), len(attributes))
    outlines = next((place for up in (home, home.parent) if (place := up / "segmentations").is_dir()), None)

    def source(part: int) -> Birds:
        rows = np.flatnonzero(training == part)
        return Birds(
            name="cub",
            folder=home / "images",
            files=[files[row] for row in rows],
            shape=shape,
            classes=classes,
            labels=labels[rows].tolist(),
            attributes=attributes,
            values=torch.from_numpy(values[rows]),
            point_names=parts,
            points=torch.from_numpy(points[rows]),
            segmentations=outlines,
            regions=REGIONS if outlines else (),
        )

    return Dataset("cub", test=source(0), train=source(1))


def _read_labels(path: Path, count: int, classes: int) -> NDArray[np.int64]:
    ids = table(path, count, 1)[:, 0]
    check_values(path, ids, range(1, classes + 1), f"a class is not one of 1 to {classes}")
    return ids.astype(np.int64) - 1


def _pairs(path: Path, rows: NDArray[Any], count: int, kinds: int) -> NDArray[np.int64]:
    """Which of `count` x `kinds` cells the rows `IMAGE_ID KIND_ID ...` are about; each must occur."""
    image, kind = (rows[:, :2] - 1).T
    if not (np.isin(image, np.arange(count)) & np.isin(kind, np.arange(kinds))).all():
        raise damaged(path, f"an id is not one of 1 to {count:,} and 1 to {kinds}")
    cells: NDArray[np.int64] = image.astype(np.int64) * kinds + kind.astype(np.int64)
    missing = int((np.bincount(cells, minlength=count * kinds) == 0).sum())
    if missing:
        raise damaged(path, f"{missing:,} of {count:,} x {kinds} rows are missing")
    return cells


def _read_points(path: Path, count: int, parts: int) -> NDArray[np.float32]:
    rows = numbers(path, range(5))
    cells = _pairs(path, rows, count, parts)
    check_values(path, rows[:, 4], (0, 1), "expected 0 or 1 in the fifth column")
    points = np.empty((count * parts, 3), np.float32)
    points[cells] = rows[:, 2:]
    return points.reshape(count, parts, 3)


def _read_attributes(path: Path, count: int, attributes: int) -> NDArray[np.float32]:
    """The share of those who could see an attribute that say it is there (n, a); NaN where none could see.

    The rows are `IMAGE_ID ATTRIBUTE_ID IS_PRESENT CERTAINTY_ID TIME`; some of the official file's go on.
    """
    rows = numbers(path, range(4), np.int32)
    cells = _pairs(path, rows, count, attributes)
    check_values(path, rows[:, 2], (0, 1), "expected 0 or 1 in the third column")
    visible = rows[:, 3] != NOT_VISIBLE
    votes = np.bincount(cells[visible], minlength=count * attributes)
    yes = np.bincount(cells[visible], rows[visible, 2], minlength=count * attributes)
    shares = np.divide(yes, votes, out=np.full(len(votes), np.nan), where=votes > 0)
    return np.asarray(shares.reshape(count, attributes), np.float32)
