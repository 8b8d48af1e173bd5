"""A person's own pictures: a folder for each class, a folder of pictures, or a list of files."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, final

from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from rather.config.errors import RatherError
from rather.data.source import Dataset, Source
from rather.io.images import EXTENSIONS, decode, fit, read_bytes

Shape = tuple[int, int, int]  # c, h, w
SHAPE: Final[Shape] = (3, 64, 64)  # where nobody says for which classifier


@final
class Folder(Source):
    """Image files, read one at a time when they are asked for.

    A picture's id is the beginning of its bytes' sha256 (of its path's, where the file cannot be opened), so
    that neither its name nor its place matters; the second file with the same bytes has `-2` behind it.

    Args:
        name: of the whole.
        paths: of the files.
        shape: (c, h, w) to which each picture is brought.
        classes: names of the labels, if there are any.
        labels: an index into `classes` for each file, if there are classes.
    """

    def __init__(
        self, name: str, paths: Sequence[Path], shape: Shape, classes: Sequence[str] = (), labels: Sequence[int] = ()
    ) -> None:
        if shape[0] not in {1, 3}:
            raise RatherError(
                "DATA-SHAPE", where=name, why=f"pictures have 1 or 3 channels, the classifier takes {shape[0]}"
            )
        self.name, self.paths, self.shape = name, tuple(paths), shape
        self.classes, self.labels = tuple(classes), tuple(labels)
        self._ids: dict[int, str] = {}

    @override
    def __len__(self) -> int:
        return len(self.paths)

    @override
    def id(self, index: int) -> str:
        if index not in self._ids:
            # Only files of the same size can have the same bytes: the others need not be read to know.
            times = Counter[str]()
            for twin in self._of_size[_size(self.paths[index])]:
                digest = _digest_of(self.paths[twin])
                times[digest] += 1
                self._ids[twin] = digest if times[digest] == 1 else f"{digest}-{times[digest]}"
        return self._ids[index]

    @cached_property
    def _of_size(self) -> dict[int, list[int]]:
        groups: dict[int, list[int]] = {}
        for index, path in enumerate(self.paths):
            groups.setdefault(_size(path), []).append(index)
        return groups

    @override
    def label(self, index: int) -> int | None:
        return self.labels[index] if self.labels else None

    @override
    def where(self, index: int) -> str:
        return text(self.paths[index])

    @override
    def read(self, index: int) -> Float[Tensor, "c h w"]:
        data = read_bytes(self.paths[index])
        if index in self._ids and not self._ids[index].startswith(_digest(data)):
            raise RatherError("IMG-CHANGED", where=self.where(index), do="Run the command again")
        return fit(decode(data, self.where(index)), self.shape)


def load(folder: Path, shape: Shape | None = None) -> Dataset:
    """The pictures of a folder, to be explained.

    Pictures that lie in the folder itself have no label. Where none lies there, each of its folders is a
    class, in the order of their names, with all pictures below it. Names that begin with a dot are left out.

    Args:
        folder: where to look for *.png, *.jpg, *.jpeg, *.webp and *.bmp.
        shape: (c, h, w) to which each picture is brought.

    Raises:
        RatherError: DATA-NOT-FOUND or DATA-EMPTY.
    """
    name = text(folder.resolve().name)
    top, below = _listed(folder)
    if top:
        return Dataset(name, Folder(name, top, shape or SHAPE))
    found = [(path, label) for label, inner in enumerate(below) for path in _all_below(inner)]
    if not found:
        raise RatherError("DATA-EMPTY", where=folder, why=f"looked for {', '.join(EXTENSIONS)}")
    paths, labels = zip(*found, strict=True)
    return Dataset(name, Folder(name, paths, shape or SHAPE, [text(inner.name) for inner in below], labels))


def load_files(paths: Sequence[Path], shape: Shape | None = None) -> Dataset:
    """Image files by name, whatever their extensions, and the pictures in the folders among them.

    A single folder may hold a folder for each class; of several things none has a label.

    Raises:
        RatherError: DATA-NOT-FOUND or DATA-EMPTY.
    """
    if len(paths) == 1 and paths[0].is_dir():
        return load(paths[0], shape)
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += _all_below(path)
        elif os.path.lexists(path):  # a dangling link is there, and answers for itself when it is read
            files.append(path)
        else:
            raise RatherError("DATA-NOT-FOUND", where=text(path))
    if not files:
        raise RatherError("DATA-EMPTY", where=", ".join(map(text, paths)), why=f"looked for {', '.join(EXTENSIONS)}")
    name = text(paths[0].name) if len(paths) == 1 else f"{len(files)} files"
    return Dataset(name, Folder(name, files, shape or SHAPE))


def text(path: str | Path) -> str:
    """A path as text that can be stored and shown: bytes that are no UTF-8 become escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures and the folders in a folder, by name."""
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise RatherError("DATA-NOT-FOUND", where=text(folder), why=error.strerror or "") from None
    folders = [path for path in inside if path.is_dir()]
    return [path for path in inside if _is_picture(path) and path not in folders], folders


def _all_below(folder: Path) -> list[Path]:
    """All pictures in a folder and in the folders below it; links to folders are not followed down there."""
    pictures, folders = _listed(folder)
    return pictures + [path for inner in folders if not inner.is_symlink() for path in _all_below(inner)]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _digest_of(path: Path) -> str:
    try:
        return _digest(read_bytes(path))
    except RatherError:
        return _digest(os.fsencode(path))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
