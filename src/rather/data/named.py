"""From a data set's name, as the command line has it, to the data set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rather.data import digits, faces, folder, list_data, mnist, omniglot, shapes
from rather.data.source import DataSet
from rather.errors import RatherError
from rather.suggest import near

Shape = tuple[int, int, int]  # c, h, w


def load(name: str, *, shape: Shape | None = None) -> DataSet:
    """A data set by its name, or a folder of pictures by its path.

    Args:
        name: a name as `list_data` has them, FOLDER and FILE being a path; `omniglot/ALPHABET:FILE` is
            another alphabet than Sanskrit.
        shape: (c, h, w) to which a folder's pictures are brought, by default (3, 64, 64); the data sets that
            have a name have their own shape.

    Raises:
        RatherError: DATA-NOT-FOUND, DATA-EMPTY or DATA-DAMAGED.
    """
    own = {"digits": digits.load, "shapes": shapes.load, "faces": faces.load}
    own |= {f"faces/{variant}": partial(faces.load, variant) for variant in faces.VARIANTS}
    if name in own:
        return own[name]()
    kind, _, place = name.partition(":")
    if kind == "mnist" and place:
        return mnist.load(Path(place).expanduser())
    if kind.partition("/")[0] == "omniglot" and place:
        return omniglot.load(Path(place).expanduser(), kind.partition("/")[2] or "Sanskrit")
    path = Path(name).expanduser()
    if path.is_dir():
        return folder.load(path, shape)
    if path.exists():
        return folder.load_files([path], shape)
    raise RatherError("DATA-NOT-FOUND", where=name, do=_suggestion(kind))


def load_files(paths: Sequence[Path], *, shape: Shape | None = None) -> DataSet:
    """Image files and folders of them; see `folder.load_files`."""
    return folder.load_files(paths, shape)


def _suggestion(kind: str) -> str:
    whole = {name.partition(":")[0]: name for name in list_data()}
    return f"Write {whole[kind]}" if kind in whole else near(kind, whole.values())
