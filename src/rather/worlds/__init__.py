"""Worlds whose causes can be set one at a time, by name: drawn faces, and drawn shapes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from rather.worlds.face_world import FaceWorld
from rather.worlds.shape_world import ShapeWorld
from rather.worlds.world import Label, World, switched

__all__ = ["WORLDS", "FaceWorld", "Label", "ShapeWorld", "World", "switched"]

#: By name.
WORLDS: Final[Mapping[str, World[Any]]] = MappingProxyType({world.name: world for world in (FaceWorld(), ShapeWorld())})
