"""BDD-OIA: 23,000 streets and what a driver may do there (Xu et al., 2020); cut as in `bdd100k`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

import torch

from rather.data.bdd100k import SHAPE
from rather.data.files import ImageFiles, whole
from rather.data.lists import check_paths, damaged, find, read_lines
from rather.data.source import Dataset
from rather.io.images import Shape

NAMES: Final = {"bdd-oia:FOLDER": "streets where a driver may go forward or has to stop"}
ACTIONS: Final = ("forward", "stop", "left", "right")  # in the order of the file's bits
CLASSES: Final = ("stop", "forward")

Part = Literal["val", "test"]


def load(folder: Path, *, shape: Shape = SHAPE, part: Part = "test") -> Dataset:
    """Streets in which one may go on, or has to stop or slow down.

    A picture's label is which of "forward" and "stop" is among its actions; it has none where neither or both
    are. Its four attributes are all actions. Pictures that the annotators found confusing are left out, as the
    authors do. The folder holds `data/` with the pictures and `train_25k_images_actions.json` with its companions,
    or `lastframe/` with them. `part` is explained.
    """
    images = find(folder, "data", "lastframe/data")

    def source(wanted: str) -> ImageFiles:
        actions = _read_actions(find(images.parent, f"{wanted}_25k_images_actions.json"))
        return ImageFiles(
            name="bdd-oia",
            folder=images,
            files=list(actions),
            shape=shape,
            view=whole,
            classes=CLASSES,
            labels=[None if forward == stop else forward for forward, stop, *_ in actions.values()],
            attributes=ACTIONS,
            values=torch.tensor(list(actions.values()), dtype=torch.uint8),
        )

    return Dataset("bdd-oia", test=source(part), train=source("train"))


def _read_actions(path: Path) -> dict[str, list[int]]:
    """The four bits of each picture: `annotations[image["id"]]["category"]` for each of `images`.

    A fifth bit, where there is one, says that the picture is confusing.
    """
    try:
        content = json.loads("\n".join(read_lines(path)))
        files = [str(image["file_name"]) for image in content["images"]]
        bits = [_bits(content["annotations"], image["id"]) for image in content["images"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(path, f"not of BDD-OIA's form: {type(error).__name__} {error}"[:150]) from None
    check_paths(path, files)
    actions = {file: four for file, (*four, confusing) in zip(files, bits, strict=True) if not confusing}
    if not actions:
        raise damaged(path, "it has no picture")
    return dict(sorted(actions.items()))


def _bits(annotations: list[Any], number: int) -> list[int]:
    bits = list(annotations[number]["category"]) if 0 <= number < len(annotations) else []
    bits += [0] * (len(bits) == len(ACTIONS))
    if len(bits) != len(ACTIONS) + 1 or not {0, 1}.issuperset(bits):
        raise ValueError(f"image {number} has no 4 or 5 bits")
    return [int(bit) for bit in bits]
