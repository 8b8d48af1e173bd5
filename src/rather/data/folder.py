"""A user's own pictures: a folder for each class, a folder of pictures, or a list of files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, final

from jaxtyping import UInt8
from torch import Tensor
from typing_extensions import override

from rather.config.errors import RatherError
from rather.config.pictures import NO_OPTIONS, PictureOptions
from rather.data.files import ImageFiles, fit_layout, number_twins, text
from rather.data.known import Known, Masks
from rather.data.layout import Tally, all_below, read_layout
from rather.data.source import Dataset
from rather.io.arrays import Picture, channels_of, decode_any
from rather.io.images import EXTENSIONS, Shape, read_bytes

SHAPE: Final[Shape] = (3, 64, 64)  # where no classifier says another
_LOOKED_AT: Final = 32  # pictures, about, that say whether all are grey


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Folder(ImageFiles):
    """Image files, whose ids are their contents: neither name nor place matters.

    An id is the beginning of the sha256 of the file's bytes, or of its path where it cannot be opened.
    """

    options: PictureOptions = NO_OPTIONS  # how its files are read
    masks: Masks | None = None
    regions: tuple[str, ...] = ()
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
    def picture(self, index: int) -> Picture:
        return self.opened(index, self.shape[0])

    def opened(self, index: int, channels: int | None = None) -> Picture:
        """A picture as its file has it, for a classifier of so many channels, or with as many as it has."""
        data = read_bytes(self.path(index))
        if index in self._ids and not self._ids[index].startswith(_digest(data)):
            raise RatherError("IMG-CHANGED", where=self.where(index), do="Run the command again")
        return decode_any(data, self.where(index), self.options, channels)

    def channels(self) -> int:
        """How many channels its pictures have: 1 if those that were looked at, a few dozen, are all grey."""
        step = max(1, len(self) // _LOOKED_AT)
        seen = 1
        for index in range(0, len(self), step):
            with suppress(RatherError):  # a picture that cannot be read has no say
                seen = max(seen, channels_of(self.opened(index)))
        return seen

    @override
    def layout(self, index: int) -> UInt8[Tensor, "h w"]:
        if self.masks is None:
            return super().layout(index)
        return fit_layout(self.masks.layout(self.path(index)), self.shape, self.view)


def load(folder: Path, *, shape: Shape = SHAPE, options: PictureOptions = NO_OPTIONS) -> Dataset:
    """The pictures of a folder: of its parts, if it has train, val or test; see `layout.read_layout`.

    With parts, test is explained, or val where there is no test; train is for training and references. Labels are
    the folders' names, or those of the annotations. What is left out, and what is not used, stands in `notes`.

    Raises:
        RatherError: DATA-NOT-FOUND, DATA-EMPTY, or DATA-DAMAGED for annotations and masks that do not fit.
    """
    layout, name = read_layout(folder), text(folder.resolve().name)
    every = [path for pictures in layout.parts.values() for path, _ in pictures]
    known = Known.of(options.annotations, options.masks, every)
    sources = {
        part: _source(name, pictures, known, shape=shape, options=options, classes=layout.classes)
        for part, pictures in layout.parts.items()
    }
    explained = next(part for part in ("test", "val", "train", "") if part in sources)
    train = sources.get("train") if explained != "train" else None
    notes = (*_of_parts(sources, explained), *layout.left_out.note(name), *_of_frames(every), *known.notes)
    return Dataset(name, sources[explained], train, notes)


def load_files(paths: Sequence[Path], *, shape: Shape = SHAPE, options: PictureOptions = NO_OPTIONS) -> Dataset:
    """Image files, whatever their extensions, and all pictures in the folders among them.

    A single folder may hold a folder for each class; of several paths no picture has a label, but by annotations.
    """
    if len(paths) == 1 and paths[0].is_dir():
        return load(paths[0], shape=shape, options=options)
    files, left_out = list[Path](), Tally()
    for path in paths:
        if not os.path.lexists(path):  # a dangling link exists; reading it is what fails
            raise RatherError("DATA-NOT-FOUND", where=text(path))
        files += all_below(path, left_out) if path.is_dir() else [path]
    if not files:
        raise RatherError("DATA-EMPTY", where=", ".join(map(text, paths)), why=f"looked for {', '.join(EXTENSIONS)}")
    name = text(paths[0].name) if len(paths) == 1 else f"{len(files)} files"
    known = Known.of(options.annotations, options.masks, files)
    source = _source(name, [(path, "") for path in files], known, shape=shape, options=options)
    return Dataset(name, source, notes=(*left_out.note("the folders"), *_of_frames(files), *known.notes))


def _source(
    name: str,
    pictures: Sequence[tuple[Path, str]],
    known: Known,
    *,
    shape: Shape,
    options: PictureOptions,
    classes: tuple[str, ...] = (),
) -> Folder:
    """Pictures as a source, with what is known of them; a table's labels come before the folders' names."""
    paths = [path for path, _ in pictures]
    place = {own: n for n, own in enumerate(classes)}
    of_folders = {"classes": classes, "labels": [place.get(own) for _, own in pictures]} if classes else {}
    return Folder(
        name=name,
        files=[str(path) for path in paths],
        shape=shape,
        options=options,
        **of_folders | known.columns(paths),
    )


def _of_parts(sources: Mapping[str, Folder], explained: str) -> tuple[str, ...]:
    """A line on the parts of a folder, if it has any."""
    if not explained:
        return ()
    counts = ", ".join(f"{part} {len(source)}" for part, source in sources.items())
    rest = "train is for training and references" if "train" in sources and explained != "train" else ""
    return (f"the folder is split ({counts}): {explained} is explained{f'; {rest}' if rest else ''}",)


def _of_frames(paths: Sequence[Path]) -> tuple[str, ...]:
    films = sum(path.suffix.lower() == ".gif" for path in paths)
    return (f"of .gif files ({films}) the first frame is read",) if films else ()


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
