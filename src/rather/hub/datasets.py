"""Datasets by name: those of the package, readers of public ones, a user's own folder, and a user's own code.

A dataset has pictures to explain (`test`) and mostly others to take references from and to train on (`train`):
a counterfactual must not borrow from the pictures that it is judged on. A dataset is one file; see `rather.data`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rather.config.errors import RatherError, did_you_mean
from rather.config.pictures import NO_OPTIONS, PictureOptions
from rather.hub.extensions import loaded, theirs

if TYPE_CHECKING:
    from rather.core import Classifier
    from rather.data.source import Dataset
    from rather.io.images import Shape

_ROOMS: Final = ("rather.data", "rather.worlds")
_GROUP: Final = "rather.datasets"


def list_datasets() -> dict[str, str]:
    """Name and one line of every dataset; read from the files, nothing is imported."""
    ours = {name: line for names in _modules().values() for name, line in names.items()}
    own = {"FOLDER": "your own pictures: a folder per class, or just pictures"}
    return theirs(_GROUP) | dict(sorted(ours.items(), key=lambda item: ":" in item[0])) | own


def load_dataset(
    name: str | Path,
    *,
    shape: Shape | None = None,
    like: Classifier | None = None,
    trust: Sequence[str] = (),
    options: PictureOptions = NO_OPTIONS,
) -> Dataset:
    """A dataset by its name, or a folder of pictures by its path.

    Args:
        name: as in `list_datasets`, where FOLDER and FILE stand for a path; or the path of a folder or a
            picture; or `path/file.py:function`, where the function returns a `Dataset` or a `Source`. Some
            datasets have choices: `celeba/ATTRIBUTE:FOLDER` and `celebamask/ATTRIBUTE:FOLDER` take their
            labels from another attribute than Smiling, `omniglot/ALPHABET:FILE` reads another alphabet than
            Sanskrit, `imagenet/CLASS-CLASS:FOLDER` reads two other classes.
        shape: (c, h, w) of pictures that are read from files, by default (3, 64, 64) for a folder and the
            papers' size for a public dataset; digits, shapes, faces and letters have their own.
        like: a classifier, instead of `shape`: pictures from files are resized and cut as it takes them.
        trust: `sha256:` and the hash of each file of code that may run.
        options: how a folder is read, and what is known of its pictures.

    Raises:
        RatherError: DATA-NOT-FOUND, DATA-EMPTY, DATA-DAMAGED, CFG-UNKNOWN for an unknown choice, MODEL-CODE
            for a file that is not in `trust`, or CFG-OPTIONS for options of what is no folder.
    """
    if like is not None:
        return load_dataset(name, shape=like.shape, trust=trust, options=options).through(like.preprocess)
    name = str(name)
    before, _, path = name.partition(":")
    load = _loader(name)
    for option in options.given() if load is not None or before.endswith(".py") else ():
        raise RatherError("CFG-OPTIONS", where=f"--{option}", why=f"{name} is no folder of pictures")
    if load is not None:
        choice = before.partition("/")[2]
        given = [*([Path(path).expanduser()] if path else []), *([choice] if choice else [])]
        return _called(load, name, given, shape)
    if before.endswith(".py") and path:
        return _made_by_code(name, shape, trust)
    if Path(name).expanduser().exists():
        from rather.data import folder

        return folder.load_files([Path(name).expanduser()], shape=shape or folder.SHAPE, options=options)
    raise RatherError("DATA-NOT-FOUND", where=name, do=_suggestion(before))


@cache
def _modules() -> dict[str, dict[str, str]]:
    """The modules that declare datasets, and what they declare in `NAMES`."""
    found: dict[str, dict[str, str]] = {}
    for room in _ROOMS:
        spec = find_spec(room)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for file in sorted([*Path(folder).glob("[a-z]*.py"), *Path(folder).glob("[a-z]*/__init__.py")]):
                stem = file.parent.name if file.stem == "__init__" else file.stem
                found |= {f"{room}.{stem}": names for names in _declared(file)}
    return found


def _declared(file: Path) -> list[dict[str, str]]:
    statements = ast.parse(file.read_text("utf-8")).body
    return [
        ast.literal_eval(each.value)
        for each in statements
        if isinstance(each, ast.AnnAssign) and ast.unparse(each.target) == "NAMES" and each.value
    ]


def _kind(name: str) -> str:
    return name.partition(":")[0].partition("/")[0]


def _loader(name: str) -> Callable[..., Any] | None:
    """The `load` of the dataset of this name or, where a path follows, of its kind."""
    path = name.partition(":")[2]
    for module, names in _modules().items():
        if name in names or (path and _kind(name) in {_kind(each) for each in names if ":" in each}):
            load: Callable[..., Any] = import_module(module).load
            return load
    added: Callable[..., Any] | None = loaded(_GROUP, _kind(name))
    return added


def _called(load: Callable[..., Any], name: str, given: Sequence[object], shape: Shape | None) -> Dataset:
    takes = signature(load)
    options = {"shape": shape} if shape and "shape" in takes.parameters else {}
    try:
        takes.bind(*given, **options)
    except TypeError as error:
        raise RatherError("DATA-NOT-FOUND", where=name, why=str(error), do="Write one of rather list data") from None
    dataset: Dataset = load(*given, **options)
    return dataset


def _made_by_code(spec: str, shape: Shape | None, trust: Sequence[str]) -> Dataset:
    from rather.data.source import Dataset, Source
    from rather.hub.trusted import run_factory

    made = run_factory(spec, trust, {"shape": shape} if shape else {})
    if not isinstance(made, Dataset | Source):
        raise RatherError("MODEL-FACTORY", where=spec, why=f"it gives {type(made).__name__}, not a Dataset")
    return made if isinstance(made, Dataset) else Dataset(made.name, made)


def _suggestion(kind: str) -> str:
    whole = {name.partition(":")[0]: name for name in list_datasets()}
    return f"Write {whole[kind]}" if kind in whole else did_you_mean(kind, whole.values())
