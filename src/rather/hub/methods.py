"""The methods, one file each: a new file in this folder is a new method, and nothing else needs to know.

Third parties add theirs under the entry-point group `rather.methods` (name -> class).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rather.config.errors import RatherError, did_you_mean

if TYPE_CHECKING:
    from rather.core import Method

_HERE = Path(__file__).parent.parent / "methods"


def list_methods() -> dict[str, str]:
    """Name and first docstring line of every method; read from the files, nothing is imported."""
    ours = {
        file.stem: (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").partition("\n")[0]
        for file in sorted(_HERE.glob("[a-z]*.py"))
    }
    theirs = {point.name: f"from {point.value}" for point in entry_points(group="rather.methods")}
    return theirs | ours


def method_class(name: str) -> type[Method]:
    """The class of a method by its name."""
    from rather.config.settings import class_in
    from rather.core import Method

    if (_HERE / f"{name}.py").is_file() and name.isidentifier():
        return class_in(import_module(f"rather.methods.{name}"), Method)  # type: ignore[type-abstract] # to look for, not to make
    for point in entry_points(group="rather.methods", name=name):
        loaded: type[Method] = point.load()
        return loaded
    raise RatherError("CFG-UNKNOWN", where=f"method {name}", do=did_you_mean(name, list_methods()))


def build_method(settings: Mapping[str, Any], resources: Mapping[str, Any] | None = None) -> Method:
    """The method that `Method.settings` described, with what it needs beside its settings.

    Args:
        settings: plain data; `name` says which method, a nested mapping with a `name` is a method itself.
        resources: reference images, generators, ...: given to every field of that name, at any depth.
    """
    from rather.core import Method

    rest = dict(settings)
    found = method_class(str(rest.pop("name", "")))
    for key, field in found.model_fields.items():
        if resources and key in resources and key not in rest:
            rest[key] = resources[key]
        elif isinstance(rest.get(key), Mapping | str) and field.annotation is Method:
            inner = rest[key]
            rest[key] = build_method({"name": inner} if isinstance(inner, str) else inner, resources)
    return found.of(rest)
