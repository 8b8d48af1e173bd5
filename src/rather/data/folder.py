"""A user's own pictures: a folder for each class, a folder of pictures, or a list of files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, final

from PIL import Image
from typing_extensions import override

from rather.config.errors import RatherError
from rather.data.files import ImageFiles, is_picture, number_twins, text
from rather.data.source import Dataset
from rather.io.images import EXTENSIONS, Shape, decode, read_bytes

SHAPE: Final[Shape] = (3, 64, 64)  # where no classifier says another


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Folder(ImageFiles):
    """Image files, whose ids are their contents: neither name nor place matters.

    An id is the beginning of the sha256 of the file's bytes, or of its path where it cannot be opened.
    """

    _ids: dict[int, str] = field(default_factory=dict, init=False)

    @override
    def id(self, index: int) -> str:
        if index not in self._ids:
            # Only files of the same size can have the same bytes: the others need not be read to know.
            twins = self._of_size[_size(self.path(index))]
            digests = number_twins([_digest_of(self.path(twin)) for twin in twins])
            self._ids.update(zip(twins, digests, strict=True))
        return self._ids[index]

    @cached_property
    def _of_size(self) -> dict[int, list[int]]:
        groups: dict[int, list[int]] = {}
        for index in range(len(self)):
            groups.setdefault(_size(self.path(index)), []).append(index)
        return groups

    @override
    def picture(self, index: int) -> Image.Image:
        data = read_bytes(self.path(index))
        if index in self._ids and not self._ids[index].startswith(_digest(data)):
            raise RatherError("IMG-CHANGED", where=self.where(index), do="Run the command again")
        return decode(data, self.where(index))


def load(folder: Path, *, shape: Shape = SHAPE) -> Dataset:
    """The pictures of a folder: *.png, *.jpg, *.jpeg, *.webp and *.bmp.

    Pictures that lie in the folder itself have no label. If none does, each of its folders is a class, in
    the order of their names, with all pictures below it. Names that begin with a dot are left out.
    """
    name = text(folder.resolve().name)
    top, folders = _listed(folder)
    if top:
        return _dataset(name, top, shape)
    files = [(path, label) for label, inner in enumerate(folders) for path in _all_below(inner)]
    if not files:
        raise RatherError("DATA-EMPTY", where=folder, why=f"looked for {', '.join(EXTENSIONS)}")
    paths, labels = zip(*files, strict=True)
    return _dataset(name, paths, shape, [text(inner.name) for inner in folders], labels)


def load_files(paths: Sequence[Path], *, shape: Shape = SHAPE) -> Dataset:
    """Image files, whatever their extensions, and all pictures in the folders among them.

    A single folder may hold a folder for each class; of several paths no picture has a label.
    """
    if len(paths) == 1 and paths[0].is_dir():
        return load(paths[0], shape=shape)
    files: list[Path] = []
    for path in paths:
        if not os.path.lexists(path):  # a dangling link exists; reading it is what fails
            raise RatherError("DATA-NOT-FOUND", where=text(path))
        files += _all_below(path) if path.is_dir() else [path]
    if not files:
        raise RatherError("DATA-EMPTY", where=", ".join(map(text, paths)), why=f"looked for {', '.join(EXTENSIONS)}")
    return _dataset(text(paths[0].name) if len(paths) == 1 else f"{len(files)} files", files, shape)


def _dataset(
    name: str, paths: Sequence[Path], shape: Shape, classes: Sequence[str] = (), labels: Sequence[int] = ()
) -> Dataset:
    files = [str(path) for path in paths]
    return Dataset(name, Folder(name=name, files=files, shape=shape, classes=tuple(classes), labels=tuple(labels)))


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures and the folders in a folder, by name."""
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise RatherError("DATA-NOT-FOUND", where=text(folder), why=error.strerror or "") from None
    folders = [path for path in inside if path.is_dir()]
    return [path for path in inside if is_picture(path.name) and path not in folders], folders


def _all_below(folder: Path) -> list[Path]:
    """All pictures in a folder and in the folders below it; links to folders inside it are not followed."""
    pictures, folders = _listed(folder)
    return pictures + [path for inner in folders if not inner.is_symlink() for path in _all_below(inner)]


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
