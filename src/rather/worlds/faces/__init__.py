"""Faces drawn from attributes: every cause of a picture is known, and every pixel's region."""

from __future__ import annotations

from rather.worlds.faces.attributes import ATTRIBUTES, HAIR_COLOURS, NUISANCES, REGIONS
from rather.worlds.faces.drawing import draw
from rather.worlds.faces.effects import effects
from rather.worlds.faces.sample import RULES, Faces, Population, sample, set_attributes
from rather.worlds.faces.source import VARIANTS, DrawnFaces, load

__all__ = [
    "ATTRIBUTES",
    "HAIR_COLOURS",
    "NUISANCES",
    "REGIONS",
    "RULES",
    "VARIANTS",
    "DrawnFaces",
    "Faces",
    "Population",
    "draw",
    "effects",
    "load",
    "sample",
    "set_attributes",
]
