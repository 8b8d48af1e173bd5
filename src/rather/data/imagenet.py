"""ImageNet: two of the 1,000 classes of ILSVRC 2012, from the official folders (Russakovsky et al., 2015).

The pairs that ACE explains have names; any two other classes are given by their WordNet ids.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from rather.config.errors import RatherError, did_you_mean
from rather.data.files import ImageFiles, pictures_in
from rather.data.lists import damaged, find, numbers, read_lines
from rather.data.source import Dataset
from rather.io.images import Shape, read_bytes

NAMES: Final = {
    "imagenet/zebra-sorrel:FOLDER": "two classes of ImageNet (cheetah-cougar, egyptian-persian, any WordNet ids)"
}
#: A short name -> WordNet id, and the class as classifiers call it. Their pairs in ACE: zebra-sorrel,
#: cheetah-cougar and egyptian-persian.
CLASSES: Final = {
    "zebra": ("n02391049", "zebra"),
    "sorrel": ("n02389026", "sorrel"),
    "cheetah": ("n02130308", "cheetah"),
    "cougar": ("n02125311", "cougar"),
    "egyptian": ("n02124075", "Egyptian cat"),
    "persian": ("n02123394", "Persian cat"),
}
SHAPE: Final[Shape] = (3, 256, 256)
VALIDATION: Final = 50_000  # pictures
_IDS: Final = 1_000  # of the classes, in ILSVRC2012_validation_ground_truth.txt
_TRUTH: Final = "ILSVRC2012_validation_ground_truth.txt"
_DEVKIT: Final = "ILSVRC2012_devkit_t12/data"
_KAGGLE: Final = "ILSVRC/Data/CLS-LOC"


def load(folder: Path, pair: str = "zebra-sorrel", *, shape: Shape = SHAPE) -> Dataset:
    """The pictures of two classes: those of the validation set to explain, those of the training set.

    The folder holds `val/` and, if it is there, `train/`, with a folder for each class (`n02391049/`); both may be in
    Kaggle's `ILSVRC/Data/CLS-LOC/`. `val/` may also be flat, as it is unpacked, with `ILSVRC2012_devkit_t12/` (or
    both files of its `data/`) or Kaggle's `LOC_val_solution.csv` next to it. A pair is two names or WordNet ids, as
    zebra-sorrel or n02391049-n02389026.
    """
    wnids, classes = zip(*map(_class, _two(pair)), strict=True)
    val = find(folder, "val", f"{_KAGGLE}/val")
    train = val.parent / "train"

    def source(place: Path, files: list[list[str]]) -> ImageFiles:
        return ImageFiles(
            name=f"imagenet/{pair}",
            folder=place,
            files=[file for of_class in files for file in of_class],
            shape=shape,
            classes=classes,
            labels=[label for label, of_class in enumerate(files) for _ in of_class],
        )

    flat = not any((val / wnid).is_dir() for wnid in wnids)
    test = source(val, _flat(folder, wnids) if flat else _by_folder(val, wnids))
    return Dataset(test.name, test, source(train, _by_folder(train, wnids)) if train.is_dir() else None)


def _two(pair: str) -> list[str]:
    two = pair.split("-")
    if len(two) != 2 or two[0] == two[1]:  # noqa: PLR2004 - a pair
        raise RatherError("CFG-UNKNOWN", where=f"pair {pair}", do="Write two classes, as zebra-sorrel")
    return two


def _class(name: str) -> tuple[str, str]:
    """A class' WordNet id and name; the id is the name of a class that has no name here."""
    if name.lower() in CLASSES:
        return CLASSES[name.lower()]
    if re.fullmatch("n[0-9]{8}", name):
        return next((known for known in CLASSES.values() if known[0] == name), (name, name))
    raise RatherError("CFG-UNKNOWN", where=f"class {name}", do=did_you_mean(name, CLASSES))


def _by_folder(place: Path, wnids: Iterable[str]) -> list[list[str]]:
    return [[f"{wnid}/{file}" for file in pictures_in(place / wnid)] for wnid in wnids]


def _flat(folder: Path, wnids: Iterable[str]) -> list[list[str]]:
    """The files of each class in the flat folder, by one of the two official lists."""
    solution = folder / "LOC_val_solution.csv"
    of_file = _read_solution(solution) if solution.exists() else _read_devkit(folder)
    files: dict[str, list[str]] = {wnid: [] for wnid in wnids}
    for n, wnid in sorted(of_file.items()):
        if wnid in files:
            files[wnid].append(f"ILSVRC2012_val_{n:08d}.JPEG")
    for wnid, found in files.items():
        if not found:
            raise RatherError("DATA-EMPTY", where=f"{wnid} in val/", why="not a class of ILSVRC 2012")
    return list(files.values())


def _read_solution(path: Path) -> dict[int, str]:
    """The class of each picture, by its number; the rows are `ILSVRC2012_val_00000001,n01751748 ...`."""
    rows = re.compile(r"ILSVRC2012_val_([0-9]{8}),(n[0-9]{8})\b.*")
    found = [rows.fullmatch(line) for line in read_lines(path)[1:]]
    of_file = {int(row[1]): row[2] for row in found if row}
    if not len(of_file) == len(found) == VALIDATION:
        raise damaged(path, f"expected a header and {VALIDATION:,} rows ILSVRC2012_val_NUMBER,CLASS ...")
    return of_file


def _read_devkit(folder: Path) -> dict[int, str]:
    """The class of each picture, by its number: line n of the ground truth has the class' id in meta.mat."""
    path = find(folder, f"{_DEVKIT}/{_TRUTH}", _TRUTH, "LOC_val_solution.csv", "a folder for each class in val/")
    ids = numbers(path, [0], np.int64)[:, 0]
    wnids = _read_meta(find(path.parent, "meta.mat"))
    if len(ids) != VALIDATION or not set(ids.tolist()) <= set(wnids):
        raise damaged(path, f"expected {VALIDATION:,} numbers from 1 to {_IDS:,}")
    return {n: wnids[number] for n, number in enumerate(ids.tolist(), start=1)}


def _read_meta(path: Path) -> dict[int, str]:
    """The WordNet id of each of the ids 1 to 1,000, from a MATLAB file; further ids are no classes."""
    from scipy.io import loadmat

    try:
        content: Any = loadmat(io.BytesIO(read_bytes(path)), variable_names=["synsets"])
        synsets = content["synsets"].ravel()
        wnids = {int(one["ILSVRC2012_ID"].item()): str(one["WNID"].item()) for one in synsets}
    except RatherError:
        raise
    except Exception as error:  # noqa: BLE001 - a reader raises anything for broken bytes
        raise damaged(path, f"not the devkit's: {type(error).__name__} {error}"[:150]) from None
    if not all(re.fullmatch("n[0-9]{8}", wnids.get(n, "")) for n in range(1, _IDS + 1)):
        raise damaged(path, f"expected a WordNet id for each of 1 to {_IDS:,}")
    return {n: wnids[n] for n in range(1, _IDS + 1)}
