"""From a data set's name, as the command line has it, to the data set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rather.data import (
    bdd,
    celeba,
    celebamask,
    cub,
    digits,
    faces,
    folder,
    imagenet,
    list_data,
    mnist,
    omniglot,
    shapes,
)
from rather.data.source import DataSet
from rather.errors import RatherError
from rather.suggest import near

Shape = tuple[int, int, int]  # c, h, w


def load(name: str, *, shape: Shape | None = None) -> DataSet:
    """A data set by its name, or a folder of pictures by its path.

    Args:
        name: a name as `list_data` has them, FOLDER and FILE being a path; `omniglot/ALPHABET:FILE` is
            another alphabet than Sanskrit, `celeba/ATTRIBUTE:FOLDER` and `celebamask/ATTRIBUTE:FOLDER` are
            labelled by another attribute than Smiling, `imagenet/CLASS-CLASS:FOLDER` has two other classes.
        shape: (c, h, w) to which pictures that are read from files are brought, by default (3, 64, 64) for a
            folder's and the papers' size for a public data set's; digits, shapes and letters have their own.

    Raises:
        RatherError: DATA-NOT-FOUND, DATA-EMPTY, DATA-DAMAGED or, for such a choice, CFG-UNKNOWN.
    """
    own = {"digits": digits.load, "shapes": shapes.load, "faces": faces.load}
    own |= {f"faces/{variant}": partial(faces.load, variant) for variant in faces.VARIANTS}
    if name in own:
        return own[name]()
    kind, _, place = name.partition(":")
    public = _public(kind, Path(place).expanduser(), shape) if place else None
    if public is not None:
        return public
    path = Path(name).expanduser()
    if path.is_dir():
        return folder.load(path, shape)
    if path.exists():
        return folder.load_files([path], shape)
    raise RatherError("DATA-NOT-FOUND", where=name, do=_suggestion(kind))


def load_files(paths: Sequence[Path], *, shape: Shape | None = None) -> DataSet:
    """Image files and folders of them; see `folder.load_files`."""
    return folder.load_files(paths, shape)


def _public(kind: str, place: Path, shape: Shape | None) -> DataSet | None:
    """The public data set of this kind, which is a name or NAME/CHOICE; None if there is no such."""
    name, _, choice = kind.partition("/")
    with_choice = {
        "omniglot": lambda: omniglot.load(place, choice or "Sanskrit"),
        "celeba": lambda: celeba.load(place, choice or "Smiling", shape),
        "celebamask": lambda: celebamask.load(place, choice or "Smiling", shape),
        "imagenet": lambda: imagenet.load(place, choice or "zebra-sorrel", shape),
    }
    without = {
        "mnist": lambda: mnist.load(place),
        "bdd100k": lambda: bdd.load(place, shape),
        "bdd-oia": lambda: bdd.load_oia(place, shape),
        "cub": lambda: cub.load(place, shape),
    }
    read = with_choice.get(name) or without.get(kind)
    return read() if read else None


def _suggestion(kind: str) -> str:
    whole = {name.partition(":")[0]: name for name in list_data()}
    return f"Write {whole[kind]}" if kind in whole else near(kind, whole.values())
