"""Datasets by name: bundled ones, readers of public ones, and a folder of your own.

A dataset has pictures to explain (`test`) and, where there are some, others to take references from and to
train on (`train`): a counterfactual must not borrow from the very pictures that it is judged on.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rather.config.errors import RatherError, did_you_mean

Shape = tuple[int, int, int]  # c, h, w
if TYPE_CHECKING:
    from rather.data.source import Dataset

_WORLDS: Final = ("faces", "shapes")


def list_datasets() -> dict[str, str]:
    """Name and one line of every data set; nothing is imported for it."""
    return {
        "digits": "handwritten digits, in the package: 10,000 to train on, 2,000 to explain",
        "shapes": "drawn grids of coloured shapes with a known rule: the right edit is known",
        "faces": "drawn faces, smiling or not: every attribute and the region of every pixel is known",
        "faces/age": "the same, young or old",
        "faces/age-glasses": "the same to explain; in training, the old mostly wear glasses and hats",
        "faces/smile-xor-hat": "the same, with a smile or a hat but not both",
        "faces/others": "other faces, smiling or not: for a net that shall judge what the first ones led to",
        "mnist:FOLDER": "all 70,000 handwritten digits, from the four official files in a folder",
        "omniglot:FILE": "handwritten Sanskrit letters, from images_background_small2.zip or its folder",
        "celeba:FOLDER": "200,000 faces, smiling or not (celeba/Young:FOLDER: by another attribute)",
        "celebamask:FOLDER": "30,000 large faces of CelebA with the regions of their pixels",
        "bdd100k:FOLDER": "80,000 streets, not labelled",
        "bdd-oia:FOLDER": "streets where one may go forward or has to stop",
        "cub:FOLDER": "birds of 200 species, with attributes, key points and outlines",
        "imagenet/zebra-sorrel:FOLDER": "two classes of ImageNet (cheetah-cougar, egyptian-persian, any ids)",
        "FOLDER": "your own pictures: a folder per class, or just pictures",
    }


def load_dataset(name: str, *, shape: Shape | None = None) -> Dataset:
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
    from rather.data import digits, folder

    kind, _, place = name.partition(":")
    world, _, variant = name.partition("/")
    if name == "digits":
        return digits.load()
    if name in list_datasets() and world in _WORLDS:  # by name alone: nothing else knows the drawn worlds
        drawn: Dataset = import_module(f"rather.worlds.{world}").load(*filter(None, [variant]))
        return drawn
    public = _public(kind, Path(place).expanduser(), shape) if place else None
    if public is not None:
        return public
    path = Path(name).expanduser()
    if path.is_dir():
        return folder.load(path, shape)
    if path.exists():
        return folder.load_files([path], shape)
    raise RatherError("DATA-NOT-FOUND", where=name, do=_suggestion(kind))


def load_files(paths: Sequence[Path], *, shape: Shape | None = None) -> Dataset:
    """Image files and folders of them; see `folder.load_files`."""
    from rather.data import folder

    return folder.load_files(paths, shape)


def _public(kind: str, place: Path, shape: Shape | None) -> Dataset | None:
    """The public data set of this kind, which is a name or NAME/CHOICE; None if there is no such."""
    from rather.data import bdd, celeba, celebamask, cub, imagenet, mnist, omniglot

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
    whole = {name.partition(":")[0]: name for name in list_datasets()}
    return f"Write {whole[kind]}" if kind in whole else did_you_mean(kind, whole.values())
