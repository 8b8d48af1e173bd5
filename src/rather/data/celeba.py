"""CelebA: 202,599 faces with 40 attributes each (Liu, Luo, Wang and Tang, 2015).

Cut as in the papers: the middle 150 x 150 pixels of the aligned 178 x 218, by default at 128 x 128.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rather.config.errors import RatherError, did_you_mean
from rather.data.files import ImageFiles
from rather.data.lists import check_paths, check_values, damaged, find, numbers, read_lines
from rather.data.source import Dataset
from rather.io.images import Shape

NAMES: Final = {"celeba:FOLDER": "200,000 faces, smiling or not (celeba/Young:FOLDER: by another attribute)"}
_ATTRIBUTES: Final = """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair
    Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup
    High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose
    Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat
    Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
"""
ATTRIBUTES: Final = tuple(_ATTRIBUTES.split())
PARTS: Final = ("train", "valid", "test")  # as list_eval_partition.txt numbers them
CROP: Final = 150  # pixels
SHAPE: Final[Shape] = (3, 128, 128)

Part = Literal["valid", "test"]


def load(folder: Path, attribute: str = "Smiling", *, shape: Shape = SHAPE, part: Part = "test") -> Dataset:
    """The official parts `train` and `test`, labelled by one of `ATTRIBUTES`.

    The folder holds `img_align_celeba/`, `list_attr_celeba.txt` and `list_eval_partition.txt`, or `Img/`, `Anno/`
    and `Eval/` with them, as they are downloaded. `part` is explained; the tables of DiME and ACE explain `valid`.
    """
    attribute = find_attribute(attribute)
    images = find(folder, "img_align_celeba", "Img/img_align_celeba")
    files, values = read_attributes(find(folder, "list_attr_celeba.txt", "Anno/list_attr_celeba.txt"))
    parts = _read_partition(find(folder, "list_eval_partition.txt", "Eval/list_eval_partition.txt"), files)

    def source(wanted: str) -> ImageFiles:
        rows = np.flatnonzero(parts == PARTS.index(wanted))
        return ImageFiles(
            name=f"celeba/{attribute}",
            folder=images,
            files=[files[row] for row in rows],
            shape=shape,
            square=CROP,
            **labelled(attribute, values[rows]),
        )

    return Dataset(f"celeba/{attribute}", test=source(part), train=source("train"))


def find_attribute(name: str) -> str:
    """An attribute's official name, however its capitals are written."""
    official = {attribute.lower(): attribute for attribute in ATTRIBUTES}
    if name.lower() not in official:
        raise RatherError("CFG-UNKNOWN", where=f"attribute {name}", do=did_you_mean(name, ATTRIBUTES))
    return official[name.lower()]


def labelled(attribute: str, values: NDArray[np.uint8]) -> dict[str, Any]:
    """The fields of `ImageFiles` for pictures with these 40 attributes, of which one is the label."""
    words = attribute.replace("_", " ").lower()
    return {
        "classes": (f"not {words}", words),
        "labels": values[:, ATTRIBUTES.index(attribute)].tolist(),
        "attributes": ATTRIBUTES,
        "values": torch.from_numpy(values),
    }


def read_attributes(path: Path) -> tuple[list[str], NDArray[np.uint8]]:
    """The pictures' names, and 1 or 0 for each of their 40 attributes (n, 40).

    The file holds how many pictures there are, then the attributes' names, then a row for each picture with
    -1 or 1 for each attribute.
    """
    lines = read_lines(path)
    header, rows = lines[:2], lines[2:]
    if header[1:] == [] or tuple(header[1].split()) != ATTRIBUTES:
        raise damaged(path, f"expected the 40 names from {ATTRIBUTES[0]} to {ATTRIBUTES[-1]} in line 2")
    if header[0].strip() != str(len(rows)):
        raise damaged(path, f"line 1 says {header[0].strip()[:20]} pictures, there are {len(rows):,}")
    values = numbers(path, range(1, 1 + len(ATTRIBUTES)), np.int8, skip=2)
    if len(values) != len(rows) or not (np.abs(values) == 1).all():
        raise damaged(path, "expected -1 or 1 for each picture and attribute")
    files = [row.split(maxsplit=1)[0] for row in rows]
    check_paths(path, files)
    return files, (values > 0).astype(np.uint8)


def _read_partition(path: Path, files: list[str]) -> NDArray[Any]:
    """The part of each of the pictures, as an index in `PARTS`."""
    pictures = [line.split(maxsplit=1)[0] if line.strip() else "" for line in read_lines(path)]
    parts = numbers(path, [1], np.int8)[:, 0]
    if pictures != files:
        raise damaged(path, f"expected the {len(files):,} pictures of list_attr_celeba.txt, in its order")
    check_values(path, parts, range(len(PARTS)), "a part is not 0, 1 or 2")
    return parts
