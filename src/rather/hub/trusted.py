"""Code that makes a classifier: run only if the person who runs it has named the hash of its file."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from torch import nn

from rather.classifiers.preflight import brief
from rather.config.errors import RatherError, did_you_mean


def run_factory(spec: str, trust: Sequence[str]) -> nn.Module:
    """The net that a function without arguments makes.

    The very bytes that were hashed are run: no import, which would run a package's own code first, and no
    cached bytecode. What the code imports itself is not hashed.

    Args:
        spec: `module:function` or `path/file.py:function`.
        trust: `sha256:` and the hash, of each file that may be run.

    Raises:
        RatherError: MODEL-NOT-FOUND, MODEL-CODE if the file is not trusted, MODEL-FACTORY if its code fails.
    """
    place, _, name = spec.rpartition(":")
    path = _file_of(place)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise RatherError("MODEL-NOT-FOUND", where=path, why=error.strerror or "cannot be read") from None
    digest = hashlib.sha256(source).hexdigest()
    if f"sha256:{digest}" not in trust:
        raise RatherError(
            "MODEL-CODE", where=path, why=f"sha256 {digest}", do=f"Read it, then say --trust sha256:{digest}"
        )
    # A name that no module has: another of that name, or a `torch.py`, must not be replaced.
    module = ModuleType(f"rather_trusted_{digest[:16]}")
    module.__file__ = str(path)
    module.__package__ = "" if place.endswith(".py") else place.rpartition(".")[0]
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - the hash was named by who runs this
        made = getattr(module, name)() if name in vars(module) else None
    except RatherError:  # what the code asked of us was refused: that is the line to read
        raise
    except Exception as error:
        raise RatherError("MODEL-FACTORY", where=spec, why=brief(error)) from error
    if name not in vars(module):
        functions = [key for key, value in vars(module).items() if callable(value)]
        raise RatherError("MODEL-NOT-FOUND", where=spec, why=f"no {name} there", do=did_you_mean(name, functions))
    if not isinstance(made, nn.Module):
        raise RatherError("MODEL-FACTORY", where=spec, why=f"it gives {type(made).__name__}, not a net")
    return made


def _file_of(place: str) -> Path:
    """The file of `path/file.py`, or of a module; nothing is imported to find it."""
    if place.endswith(".py"):
        return Path(place)
    inside = Path(*place.split("."))
    for folder in (*sys.path, ""):
        for file in (folder / inside.with_suffix(".py"), folder / inside / "__init__.py"):
            if file.is_file():
                return file
    raise RatherError("MODEL-NOT-FOUND", where=place, why="no module of this name", do="Give path/file.py:function")
