"""CelebAMask-HQ: 30,000 faces of CelebA at 1024 x 1024, with a mask for each part (Lee et al., 2020).

The pictures belong to `train`, `valid` and `test` as their originals do in CelebA.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from rather.data.celeba import PARTS, Part, find_attribute, labelled, read_attributes
from rather.data.files import ImageFiles, fit_layout, mask
from rather.data.lists import damaged, find, not_found, read_lines
from rather.data.source import Dataset
from rather.io.images import Shape

NAMES: Final = {"celebamask:FOLDER": "30,000 large faces of CelebA with the regions of their pixels"}
_MASKS: Final = """
    skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip hair hat ear_r neck_l neck cloth
"""
#: The parts of a face by the names of their masks, in the order in which the authors paint them: where two
#: masks overlap, the later one is seen.
MASKS: Final = tuple(_MASKS.split())
REGIONS: Final = ("background", *MASKS)
SHAPE: Final[Shape] = (3, 256, 256)
A_FOLDER: Final = 2_000  # pictures, whose masks are together in one of the folders 0 to 14
#: The number of the last picture of each of `PARTS`, in list_eval_partition.txt of CelebA.
_LAST: Final = (162_770, 182_637, 202_599)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class MaskedFaces(ImageFiles):
    """Faces with a mask for each part."""

    masks: Path  # CelebAMask-HQ-mask-anno

    regions = REGIONS

    @override
    def layout(self, index: int) -> UInt8[Tensor, "h w"]:
        """The part of the face that each pixel shows; a part without a mask does not occur in the picture."""
        number = int(Path(self.files[index]).stem)
        place = self.masks / str(number // A_FOLDER)
        regions: NDArray[np.uint8] | None = None
        for region, name in enumerate(MASKS, start=1):
            path = place / f"{number:05d}_{name}.png"
            if not path.exists():
                continue
            shown = mask(path) > 0
            if regions is None:
                regions = np.zeros(shown.shape, np.uint8)
            if shown.shape != regions.shape:
                raise damaged(path, "it has another size than the masks before it")
            regions[shown] = region
        if regions is None:
            raise not_found(place / f"{number:05d}_skin.png", "nor another mask of the face")
        return fit_layout(regions, self.shape, self.view)


def load(folder: Path, attribute: str = "Smiling", *, shape: Shape = SHAPE, part: Part = "test") -> Dataset:
    """CelebA's parts `train` and `test` of the 30,000 faces, labelled by one of `celeba.ATTRIBUTES`.

    The folder holds `CelebA-HQ-img/`, `CelebAMask-HQ-mask-anno/`, `CelebAMask-HQ-attribute-anno.txt` and
    `CelebA-HQ-to-CelebA-mapping.txt`. `part` is explained.
    """
    attribute = find_attribute(attribute)
    images, masks = find(folder, "CelebA-HQ-img"), find(folder, "CelebAMask-HQ-mask-anno")
    path = find(folder, "CelebAMask-HQ-attribute-anno.txt")
    files, values = read_attributes(path)
    if files != [f"{n}.jpg" for n in range(len(files))]:
        raise damaged(path, f"expected the pictures 0.jpg to {len(files) - 1}.jpg, in this order")
    originals = _read_originals(find(folder, "CelebA-HQ-to-CelebA-mapping.txt"), len(files))
    parts = np.searchsorted(_LAST, originals)

    def source(wanted: str) -> MaskedFaces:
        rows = np.flatnonzero(parts == PARTS.index(wanted))
        return MaskedFaces(
            name=f"celebamask/{attribute}",
            folder=images,
            files=[files[row] for row in rows],
            masks=masks,
            shape=shape,
            **labelled(attribute, values[rows]),
        )

    return Dataset(f"celebamask/{attribute}", test=source(part), train=source("train"))


def _read_originals(path: Path, count: int) -> list[int]:
    """The number that each picture's file has in CelebA; the rows are `idx orig_idx orig_file`.

    The authors' own script compares orig_idx, which begins at 0, with bounds for the files' numbers, which
    begin at 1. Here the files count, so that no picture is in `train` of one set and in `valid` of the other.
    """
    header, *rows = [line.split() for line in read_lines(path)]
    if header != ["idx", "orig_idx", "orig_file"]:
        raise damaged(path, "expected idx orig_idx orig_file in line 1")
    if [row[0] for row in rows if len(row) == len(header)] != [str(n) for n in range(count)]:
        raise damaged(path, f"expected a row for each of the {count:,} pictures, in their order")
    found = [re.fullmatch(r"([0-9]{6})\.jpg", row[2]) for row in rows]
    originals = [int(match[1]) for match in found if match]
    if len(set(originals)) != count or not 1 <= min(originals) <= max(originals) <= _LAST[-1]:
        raise damaged(path, f"expected {count:,} different pictures of CelebA's 000001.jpg to 202599.jpg")
    return originals
