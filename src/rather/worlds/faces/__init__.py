"""Faces drawn from attributes: every cause of a picture is known, and every pixel's region."""

from __future__ import annotations

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
