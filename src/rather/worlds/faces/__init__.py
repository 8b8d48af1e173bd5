"""Faces drawn from attributes: every cause of a picture is known, and every pixel's region."""

from __future__ import annotations

from typing import Final

from rather.worlds.faces.attributes import ATTRIBUTES, HAIR_COLOURS, REGIONS, Attribute
from rather.worlds.faces.drawing import draw
from rather.worlds.faces.effects import Effect, effects
from rather.worlds.faces.nuisances import NUISANCES, Nuisance
from rather.worlds.faces.population import RULES, Population, Rule
from rather.worlds.faces.sample import Faces, sample, set, values  # noqa: A004 - to be read as faces.set
from rather.worlds.faces.source import VARIANTS, DrawnFaces, Everything, load

__all__ = [
    "ATTRIBUTES",
    "HAIR_COLOURS",
    "NAMES",
    "NUISANCES",
    "REGIONS",
    "RULES",
    "VARIANTS",
    "Attribute",
    "DrawnFaces",
    "Effect",
    "Everything",
    "Faces",
    "Nuisance",
    "Population",
    "Rule",
    "draw",
    "effects",
    "load",
    "sample",
    "set",
    "values",
]

NAMES: Final = {
    "faces": "drawn faces, smiling or not: every attribute and the region of every pixel is known",
    "faces/age": "the same, young or old",
    "faces/age-glasses": "the same to explain; in training, the old mostly wear glasses and hats",
    "faces/smile-xor-hat": "the same, with a smile or a hat but not both",
    "faces/others": "other faces, smiling or not: for a second classifier that judges the explanations",
}
