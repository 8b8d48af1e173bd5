"""A user's own code: it runs only if the user has given the hash of its file."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from rather.config.errors import RatherError, brief, did_you_mean

_ALLOWED: Final = ContextVar[frozenset[str]]("allowed", default=frozenset())  # hashes of files that may run now


def run_factory(spec: str, trust: Sequence[str], options: Mapping[str, object]) -> Any:
    """What a function of the user's returns; it gets those of the options that it takes.

    Raises:
        RatherError: see `trusted`; MODEL-FACTORY if the function fails.
    """
    function = trusted(spec, trust)
    try:
        taken = inspect.signature(function).parameters.keys() & options.keys()
        return function(**{name: options[name] for name in taken})
    except RatherError:  # what the code asked of this package was refused: that is the line to read
        raise
    except Exception as error:
        raise RatherError("MODEL-FACTORY", where=spec, why=brief(error)) from error


@contextmanager
def allow(trust: Sequence[str]) -> Iterator[None]:
    """Let files of these hashes, `sha256:` and the hash, run within a `with` block and not after it."""
    before = _ALLOWED.set(_ALLOWED.get() | {*trust})
    try:
        yield
    finally:
        _ALLOWED.reset(before)


def is_allowed(what: str, trust: Sequence[str]) -> bool:
    """Whether consent was given to a hash or an address."""
    return what in _ALLOWED.get() | {*trust}


def trusted_bytes(path: Path, trust: Sequence[str] = ()) -> bytes:
    """The content of a file of code whose hash was given.

    Raises:
        RatherError: MODEL-NOT-FOUND, or MODEL-CODE if the file is not trusted.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RatherError("MODEL-NOT-FOUND", where=path, why=error.strerror or "cannot be read") from None
    digest = hashlib.sha256(content).hexdigest()
    if not is_allowed(f"sha256:{digest}", trust):
        do = f"Read it, or trust who wrote it, then add --trust sha256:{digest}"
        raise RatherError("MODEL-CODE", where=path, why=f"sha256 {digest}", do=do)
    return content


def trusted(spec: str, trust: Sequence[str] = ()) -> Any:
    """A function or class of the user's, from `module:name` or `path/file.py:name`.

    The very bytes that were hashed run: no import, which would run a package's own code first, and no cached
    bytecode. What the code imports itself is not hashed.

    Raises:
        RatherError: MODEL-NOT-FOUND, MODEL-CODE if the file is not trusted, MODEL-FACTORY if its code fails.
    """
    place, _, name = spec.rpartition(":")
    path = _file_of(place)
    source = trusted_bytes(path, trust)
    digest = hashlib.sha256(source).hexdigest()
    # A name that no module has, so that none is replaced: the file may be called `torch.py`. The place counts as
    # well, because code may read what lies next to it.
    title = f"rather_trusted_{hashlib.sha256(f'{digest} {path.resolve()}'.encode()).hexdigest()[:16]}"
    module = sys.modules.get(title)
    if module is None:  # else it has run before, and a class of it is still the same class
        module = ModuleType(title)
        module.__file__ = str(path)
        module.__package__ = "" if place.endswith(".py") else place.rpartition(".")[0]
        sys.modules[module.__name__] = module
        try:
            exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - the user has given the hash
        except Exception as error:
            del sys.modules[module.__name__]
            if isinstance(error, RatherError):
                raise
            raise RatherError("MODEL-FACTORY", where=spec, why=brief(error)) from error
    if name not in vars(module):
        functions = [key for key, value in vars(module).items() if callable(value)]
        raise RatherError("MODEL-NOT-FOUND", where=spec, why=f"no {name} there", do=did_you_mean(name, functions))
    return vars(module)[name]


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
