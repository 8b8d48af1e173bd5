"""Synthetic worlds whose causes can be set one at a time: drawn faces and drawn shapes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from rather.worlds.face_world import FaceWorld
from rather.worlds.shape_world import ShapeWorld
from rather.worlds.world import Effect, Label, World

__all__ = ["WORLDS", "Effect", "FaceWorld", "Label", "ShapeWorld", "World"]

#: By name.
WORLDS: Final[Mapping[str, World[Any]]] = MappingProxyType({world.name: world for world in (FaceWorld(), ShapeWorld())})
