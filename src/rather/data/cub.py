"""CUB-200-2011: 11,788 birds of 200 species, with key points, outlines and attributes (Wah et al., 2011).

Goyal et al. (2019), section 4.3, explain a net for its species, and ask of each edit which parts it touches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from rather.data.listed import Listed, Shape, fit_layout, mask
from rather.data.lists import damaged, find, names, numbers, refuse_escapes, table
from rather.data.source import Dataset

SHAPE: Final[Shape] = (3, 224, 224)
REGIONS: Final = ("background", "bird")
NOT_VISIBLE: Final = 1  # in attributes/certainties.txt


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Birds(Listed):
    """Birds with the places of their parts and, where the segmentations are there, their outlines."""

    point_names: tuple[str, ...]  # of 15 parts
    points: Float[Tensor, "n p 3"]  # x and y in pixels of the file, and 1 where the part is seen
    boxes: Float[Tensor, "n 4"]  # left, top, width and height in pixels of the file
    segmentations: Path | None = None
    regions: tuple[str, ...] = ()

    @override
    def key_points(self, index: int) -> Float[Tensor, "p 3"]:
        """Where each part is; a part that is hidden or cut off is not seen.

        Raises:
            RatherError: IMG-* if the picture, whose size is needed, cannot be read.
        """
        points = self.points[index].clone()
        points[:, :2] = self._placed(index, points[:, :2])
        hidden = (points[:, 2] != 1) | ((points[:, :2] < 0) | (points[:, :2] > 1)).any(1)
        points[hidden] = torch.tensor([torch.nan, torch.nan, 0])
        return points

    def bounding_box(self, index: int) -> Float[Tensor, " 4"]:
        """Left, top, right and bottom of the bird in the pixels of `read`, from 0 to 1.

        Raises:
            RatherError: IMG-* if the picture, whose size is needed, cannot be read.
        """
        corner, size = self.boxes[index].view(2, 2)
        return self._placed(index, torch.stack([corner, corner + size])).clamp(0, 1).flatten()

    def _placed(self, index: int, places: Float[Tensor, "k 2"]) -> Float[Tensor, "k 2"]:
        left, top, right, bottom = self.view(self.picture(index).size, self.shape)
        return (places - torch.tensor([left, top])) / torch.tensor([right - left, bottom - top])

    @override
    def layout(self, index: int) -> UInt8[Tensor, "h w"]:
        """Which pixels show the bird: those that at least half of the annotators gave it.

        Raises:
            RatherError: IMG-* if the file cannot be read.
        """
        if self.segmentations is None:
            raise NotImplementedError(f"{self.name} knows no regions")
        bird = mask((self.segmentations / self.files[index]).with_suffix(".png")) > 127  # noqa: PLR2004 - half
        return fit_layout(bird.astype(np.uint8), self.shape, self.view)


def load(folder: Path, shape: Shape | None = None) -> Dataset:
    """The official parts for training and for test, labelled by the species.

    Args:
        folder: `CUB_200_2011` as it is unpacked, or the folder that it is in. `attributes.txt` and
            `segmentations/`, which is another download, may be in it or beside it; without segmentations the
            birds have no layout.
        shape: (c, h, w) to which each picture is brought (shorter side to size, then centre crop), by default
            (3, 224, 224).

    Raises:
        RatherError: DATA-NOT-FOUND, or DATA-DAMAGED for a list that is not whole or not the official one.
    """
    home = find(folder, "images.txt", "CUB_200_2011/images.txt").parent
    files = names(home / "images.txt")
    refuse_escapes(home / "images.txt", files)
    count = len(files)
    classes = names(home / "classes.txt")
    labels = _indices(home / "image_class_labels.txt", count, len(classes))
    training = table(home / "train_test_split.txt", count, 1)[:, 0]
    if not np.isin(training, (0, 1)).all():
        raise damaged(home / "train_test_split.txt", "expected 0 or 1 for each picture")
    boxes = table(home / "bounding_boxes.txt", count, 4)
    parts = names(find(home, "parts/parts.txt"))
    points = _read_points(find(home, "parts/part_locs.txt"), count, len(parts))
    attributes = names(find(home, "attributes/attributes.txt", "attributes.txt", "../attributes.txt"))
    values = _read_attributes(find(home, "attributes/image_attribute_labels.txt"), count, len(attributes))
    segmentations = [place for place in (home / "segmentations", home.parent / "segmentations") if place.is_dir()]

    def source(part: int) -> Birds:
        rows = np.flatnonzero(training == part)
        return Birds(
            name="cub",
            folder=home / "images",
            files=[files[row] for row in rows],
            shape=shape or SHAPE,
            classes=classes,
            labels=labels[rows].tolist(),
            attributes=attributes,
            values=torch.from_numpy(values[rows]),
            point_names=parts,
            points=torch.from_numpy(points[rows]),
            boxes=torch.from_numpy(boxes[rows].astype(np.float32)),
            segmentations=segmentations[0] if segmentations else None,
            regions=REGIONS if segmentations else (),
        )

    return Dataset("cub", test=source(0), train=source(1))


def _indices(path: Path, count: int, classes: int) -> NDArray[np.int64]:
    ids = table(path, count, 1)[:, 0]
    if not np.isin(ids, np.arange(1, classes + 1)).all():
        raise damaged(path, f"a class is not one of 1 to {classes}")
    indices: NDArray[np.int64] = ids.astype(np.int64) - 1
    return indices


def _pairs(path: Path, rows: NDArray[Any], count: int, kinds: int) -> NDArray[np.int64]:
    """Which of `count` x `kinds` cells the rows `IMAGE_ID KIND_ID ...` are about; each must be there."""
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
    if not np.isin(rows[:, 4], (0, 1)).all():
        raise damaged(path, "expected 0 or 1 in the fifth column")
    points = np.empty((count * parts, 3), np.float32)
    points[cells] = rows[:, 2:]
    return points.reshape(count, parts, 3)


def _read_attributes(path: Path, count: int, attributes: int) -> NDArray[np.float32]:
    """How many of those who could see say that an attribute is there (n, a); NaN where nobody could.

    The rows are `IMAGE_ID ATTRIBUTE_ID IS_PRESENT CERTAINTY_ID TIME`; some of the official file's go on.
    """
    rows = numbers(path, range(4), np.int32)
    cells = _pairs(path, rows, count, attributes)
    if not np.isin(rows[:, 2], (0, 1)).all():
        raise damaged(path, "expected 0 or 1 in the third column")
    sees = rows[:, 3] != NOT_VISIBLE
    asked = np.bincount(cells[sees], minlength=count * attributes)
    there = np.bincount(cells[sees], rows[sees, 2], minlength=count * attributes)
    values = np.divide(there, asked, out=np.full(len(asked), np.nan), where=asked > 0)
    shares: NDArray[np.float32] = values.reshape(count, attributes).astype(np.float32)
    return shares
