"""The generators, one file each: nets that know what images of a kind look like, and how they are trained."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from rather.errors import RatherError
from rather.suggest import near

if TYPE_CHECKING:
    from rather.nets.frozen import FrozenNet
    from rather.nets.generator import Generator

_HERE = Path(__file__).parent


def list_generators() -> dict[str, str]:
    """Name and first docstring line of every kind; read from the files, nothing is imported."""
    return {
        file.stem: (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").partition("\n")[0]
        for file in sorted(_HERE.glob("[a-z]*.py"))
    }


def generator_class(name: str) -> type[Generator]:
    """The class of a kind by its name.

    Raises:
        RatherError: CFG-UNKNOWN.
    """
    from rather.nets.generator import Generator
    from rather.settings import class_in

    if name not in list_generators():
        raise RatherError("CFG-UNKNOWN", where=f"generator {name}", do=near(name, list_generators()))
    return class_in(import_module(f"{__name__}.{name}"), Generator)  # type: ignore[type-abstract] # to look for, not to make


def generator_file(spec: str) -> Path:
    """The file of a name, as the command line takes it: of a bundled generator, or a file itself.

    Raises:
        RatherError: GEN-NOT-FOUND.
    """
    from rather.nets.bundled import list_weights, weights_file

    bundled = list_weights("generator")
    if spec in bundled:
        return weights_file(spec, "generator")
    if not Path(spec).exists():
        raise RatherError("GEN-NOT-FOUND", where=spec, do=near(spec, [*bundled, "FILE.safetensors"]))
    return Path(spec)


def bring_generator(spec: str) -> FrozenNet:
    """What a name, or a file, holds: an autoencoder, a semantic generator, ..., see `generator_file`.

    Raises:
        RatherError: GEN-NOT-FOUND, or what `nets.file.read_net` raises of a file.
    """
    from rather.generators._file import load_generator

    return load_generator(generator_file(spec))
