"""Data sets by name: two that come with the package, readers of public ones, and anybody's own folder.

A data set has pictures to explain (`test`) and, where there are some, others to take references from and to
train on (`train`): a counterfactual must not borrow from the very pictures that it is judged on.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rather.data.named import load, load_files
    from rather.data.source import DataSet, InMemory, Source, read_all

__all__ = ["DataSet", "InMemory", "Source", "list_data", "load", "load_files", "read_all"]

_HOME: Final = {
    "DataSet": "source",
    "InMemory": "source",
    "Source": "source",
    "load": "named",
    "load_files": "named",
    "read_all": "source",
}


def list_data() -> dict[str, str]:
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


def __getattr__(name: str) -> Any:  # so that listing names does not import torch
    if name not in _HOME:
        raise AttributeError(f"module 'rather.data' has no attribute {name!r}")
    return getattr(import_module(f"rather.data.{_HOME[name]}"), name)
