"""What anyone may add: a file in a folder of the package, an entry point of another package, or `FILE.py:NAME`.

Listing reads files and names of entry points, and imports nothing. Code in a file needs consent: see `trusted`.
"""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from rather.config.errors import RatherError, did_you_mean

_T = TypeVar("_T")


def listed(room: str, *, holding: str = "") -> dict[str, str]:
    """Name and one line of every file of a folder that holds a text, and of what other packages add."""
    texts = {name: file.read_text("utf-8") for name, file in _files(room).items()}
    ours = {
        name: (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        for name, text in texts.items()
        if holding in text
    }
    return theirs(f"rather.{room}") | ours


def theirs(group: str) -> dict[str, str]:
    """Names of the entry points of a group, and where each is from."""
    return {point.name: f"from {point.value}" for point in entry_points(group=group)}


def loaded(group: str, name: str) -> Any:
    """What another package adds under a name, or what `FILE.py:NAME` is; None if there is no such thing.

    Raises:
        RatherError: what `trusted` raises of code.
    """
    from rather.hub.trusted import trusted

    if is_code(name):
        return trusted(name)
    return next((point.load() for point in entry_points(group=group, name=name)), None)


def is_code(name: str) -> bool:
    """Whether a name is that of something in a file or module: `FILE.py:NAME`."""
    return ":" in name


def class_of(name: str, room: str, base: type[_T], known: dict[str, str]) -> type[_T]:
    """The class that a file of the package, another package, or a file of yours has.

    Raises:
        RatherError: CFG-UNKNOWN, or what `trusted` raises of code.
    """
    from rather.config.settings import class_in

    word = room.removesuffix("s")
    if name in known and name in _files(room):
        return class_in(import_module(f"rather.{room}.{name}"), base)  # type: ignore[type-var]
    found = loaded(f"rather.{room}", name)
    if found is None:
        raise RatherError("CFG-UNKNOWN", where=f"{word} {name}", do=did_you_mean(name, known))
    if isinstance(found, type) and issubclass(found, base):
        return found
    raise RatherError("CFG-UNKNOWN", where=f"{word} {name}", why=f"no class of {base.__name__}")


def _files(room: str) -> dict[str, Path]:
    """The files of a folder of the package; private ones are not listed."""
    spec = find_spec(f"rather.{room}")
    folders = map(Path, (spec.submodule_search_locations if spec else None) or ())
    return {file.stem: file for folder in folders for file in sorted(folder.glob("[a-z]*.py"))}
