"""Faces drawn from attributes: every cause of a picture is known, and every pixel's region."""

from __future__ import annotations

from typing import Final

from rather.worlds.faces.attributes import ATTRIBUTES, HAIR_COLOURS, NUISANCES, REGIONS
from rather.worlds.faces.drawing import draw
from rather.worlds.faces.sample import RULES, Faces, Population, sample, set_attributes
from rather.worlds.faces.source import VARIANTS, DrawnFaces, load

__all__ = [
    "ATTRIBUTES",
    "HAIR_COLOURS",
    "NAMES",
    "NUISANCES",
    "REGIONS",
    "RULES",
    "VARIANTS",
    "DrawnFaces",
    "Faces",
    "Population",
    "draw",
    "load",
    "sample",
    "set_attributes",
]

#: Names of data sets, and what each is.
NAMES: Final = {
    "faces": "drawn faces, smiling or not: every attribute and the region of every pixel is known",
    "faces/age": "drawn faces, young or old",
    "faces/age-glasses": "drawn faces, young or old; in training, the old mostly wear glasses and hats",
    "faces/smile-xor-hat": "drawn faces, with a smile or a hat but not both",
    "faces/others": "other drawn faces, smiling or not: for a second classifier that judges the explanations",
}
