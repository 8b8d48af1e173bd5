"""BDD100k and BDD-OIA: streets, and what a driver may do there (Yu et al., 2020; Xu et al., 2020).

BDD100k's pictures carry no labels of that kind; BDD-OIA's do, and the papers train on those the classifier
that they explain on both. All of a picture's 1280 x 720 is seen, at 512 x 256 as in the papers, which makes
things a little broader than they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

import torch

from rather.data.listed import Listed, Shape, pictures_in, whole
from rather.data.lists import damaged, find, read_lines, refuse_escapes
from rather.data.source import Dataset

SHAPE: Final[Shape] = (3, 256, 512)
ACTIONS: Final = ("forward", "stop", "left", "right")  # in the order of BDD-OIA's bits
CLASSES: Final = ("stop", "forward")

Part = Literal["val", "test"]


def load(folder: Path, shape: Shape | None = None) -> Dataset:
    """BDD100k: the 10,000 pictures of `val` to explain, the 70,000 of `train`; none is labelled.

    Args:
        folder: holds `images/100k/train/` and `images/100k/val/`, or `bdd100k/` with them.
        shape: (c, h, w) to which each picture is brought, by default (3, 256, 512).

    Raises:
        RatherError: DATA-NOT-FOUND or DATA-EMPTY.
    """
    images = find(folder, "images/100k", "bdd100k/images/100k")

    def source(part: str) -> Listed:
        place = images / part
        return Listed(name="bdd100k", folder=place, files=pictures_in(place), shape=shape or SHAPE, view=whole)

    return Dataset("bdd100k", test=source("val"), train=source("train"))


def load_oia(folder: Path, shape: Shape | None = None, *, part: Part = "test") -> Dataset:
    """BDD-OIA: streets in which one may go on or has to stop or slow down.

    A picture's label is which of "forward" and "stop" is among its actions; it has none where neither or both
    are. Its four attributes are all the actions. Pictures that the annotators found confusing are left out,
    as the authors leave them out.

    Args:
        folder: holds `data/` with the pictures and `train_25k_images_actions.json` with its companions, or
            `lastframe/` with them.
        shape: (c, h, w) to which each picture is brought, by default (3, 256, 512).
        part: the pictures to explain.

    Raises:
        RatherError: DATA-NOT-FOUND, or DATA-DAMAGED for a file that is not of BDD-OIA's form.
    """
    images = find(folder, "data", "lastframe/data")

    def source(wanted: str) -> Listed:
        path = find(images.parent, f"{wanted}_25k_images_actions.json")
        actions = _read_actions(path)
        return Listed(
            name="bdd-oia",
            folder=images,
            files=list(actions),
            shape=shape or SHAPE,
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
    refuse_escapes(path, files)
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
