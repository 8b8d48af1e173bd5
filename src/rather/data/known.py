"""What a user knows of own pictures: a table of labels, attributes and key points, and a folder of masks."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray

from rather.config.errors import RatherError
from rather.data.files import is_picture, text
from rather.data.layout import Tally, all_below, composed
from rather.data.lists import damaged, not_found, read_lines
from rather.io.images import indices, read_bytes

MAX_REGIONS: Final = 64
_OBJECT: Final = 255  # in masks that know one object only; in others what is not marked
_FILE, _LABEL, _X, _Y = "file", "label", "x_", "y_"

Rows = Mapping[Path, Mapping[str, str]]


@final
@dataclass(frozen=True)
class Annotations:
    """A table with a row for each picture: `file`, and any of `label`, `x_NAME` and `y_NAME`, and attributes.

    An attribute is a column of numbers from 0 to 1; an empty cell is not known.
    """

    path: Path
    columns: Sequence[str]
    rows: Rows  # of the pictures that it names
    unused: int = 0  # rows that name no picture

    @classmethod
    def read(cls, path: Path, pictures: Sequence[Path]) -> Annotations:
        """The rows of a CSV file (comma, semicolon or tab) that name these pictures, by the end of their paths.

        Raises:
            RatherError: DATA-NOT-FOUND, or DATA-DAMAGED for a table that cannot be read or fits no picture.
        """
        columns, table = _table(path)
        found = named_by(table, pictures, path)
        if not found:
            raise damaged(path, f"none of its {len(table):,} files is among the pictures", "Write paths in the folder")
        rows = {picture: table[name] for picture, name in found.items()}
        return cls(path, columns, rows, len(table) - len(found))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur: numbers in their order, names by the alphabet."""
        named = {composed(row[_LABEL].strip()) for row in self.rows.values() if _LABEL in self.columns} - {""}
        return tuple(sorted(named, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))

    def labels(self, pictures: Sequence[Path]) -> list[int | None]:
        """The class of each picture; empty without a column of labels."""
        if not self.classes:
            return []
        place = {name: n for n, name in enumerate(self.classes)}
        return [place.get(composed(self.rows.get(one, {}).get(_LABEL, "").strip())) for one in pictures]

    @cached_property
    def point_names(self) -> tuple[str, ...]:
        """The key points that have both coordinates."""
        names = [column.removeprefix(_X) for column in self.columns if column.startswith(_X)]
        return tuple(name for name in names if name and _Y + name in self.columns)

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """The columns that hold numbers from 0 to 1 and nothing else."""
        own = {_FILE, _LABEL, *(axis + name for name in self.point_names for axis in (_X, _Y))}
        return tuple(column for column in self.columns if column not in own and self._is_attribute(column))

    def _is_attribute(self, column: str) -> bool:
        values = [_number(row[column]) for row in self.rows.values() if row[column].strip()]
        return bool(values) and all(0 <= value <= 1 for value in values)

    def numbers(self, pictures: Sequence[Path], columns: Sequence[str]) -> torch.Tensor:
        """Columns (pictures, columns) as numbers, NaN where they are not known."""
        rows = [self.rows.get(one, {}) for one in pictures]
        return torch.tensor([[_number(row.get(column, "")) for column in columns] for row in rows])

    def notes(self, count: int) -> tuple[str, ...]:
        """What a user should know of a table that was read for so many pictures."""
        own = {_FILE, _LABEL, *self.attributes, *(axis + name for name in self.point_names for axis in (_X, _Y))}
        unknown = [column for column in self.columns if column not in own]
        told = [
            f"it knows {len(self.rows)} of {count} pictures" if len(self.rows) < count else "",
            f"{self.unused} rows name none of them" if self.unused else "",
            f"columns that are no numbers from 0 to 1 are not used: {', '.join(unknown)}" if unknown else "",
        ]
        return (f"{text(self.path.name)}: {'; '.join(filter(None, told))}",) if any(told) else ()


@final
@dataclass(frozen=True)
class Masks:
    """A folder with an image for each picture, whose values are numbers of regions, or 0 and 255 for one object."""

    folder: Path
    files: Mapping[Path, Path]  # by picture
    names: Sequence[str] = ()  # of `regions.txt`

    @classmethod
    def read(cls, folder: Path, pictures: Sequence[Path]) -> Masks:
        """The masks of these pictures, by the end of their paths, whatever follows the last dot.

        Raises:
            RatherError: DATA-NOT-FOUND, or DATA-DAMAGED for masks that fit no picture.
        """
        if not folder.is_dir():
            raise RatherError("DATA-NOT-FOUND", where=text(folder), why="no folder of masks")
        masks = {_stem(path.relative_to(folder)): path for path in all_below(folder, Tally()) if is_picture(path.name)}
        found = named_by(masks, pictures, folder, stems=True)
        if not found:
            do = "Give each mask the name of its picture, in the same folders"
            raise damaged(folder, f"none of its {len(masks):,} masks has the name of a picture", do)
        listed = folder / "regions.txt"
        names = [composed(line.strip()) for line in read_lines(listed)] if listed.exists() else []
        return cls(folder, {picture: masks[name] for picture, name in found.items()}, names)

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """The name of each number; all masks are read for them."""
        seen = {int(value) for path in self.files.values() for value in np.unique(_values(path))}
        count = 2 if self._is_object(seen) else max(seen - {_OBJECT}, default=0) + 1
        if count > MAX_REGIONS or (self.names and len(self.names) != count):
            why = f"{count} regions, and {len(self.names)} names in regions.txt" if self.names else f"{count} regions"
            raise damaged(self.folder, why, f"Number at most {MAX_REGIONS} from 0 on, or mark one object by 255")
        numbered = ("background", *(("object",) if self._is_object(seen) else map(str, range(1, count))))
        return tuple(self.names or numbered)

    def layout(self, picture: Path) -> NDArray[np.uint8]:
        """The region of each pixel of a picture's mask; DATA-NOT-FOUND without a mask."""
        if picture not in self.files:
            raise not_found(self.folder / picture.name, "a picture without a mask")
        values = _values(self.files[picture])
        other = int(self._is_object({*np.unique(values).tolist()}) and len(self.regions) == 2)  # noqa: PLR2004
        return np.where(values == _OBJECT, other, values).astype(np.uint8)

    @staticmethod
    def _is_object(values: set[int]) -> bool:
        return values <= {0, _OBJECT}


@final
@dataclass(frozen=True)
class Known:
    """All that is known of some pictures besides their folders."""

    annotations: Annotations | None = None
    masks: Masks | None = None
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, annotations: Path | None, masks: Path | None, pictures: Sequence[Path]) -> Known:
        """What a table and a folder of masks know of pictures."""
        table = Annotations.read(annotations.expanduser(), pictures) if annotations else None
        marked = Masks.read(masks.expanduser(), pictures) if masks else None
        notes = table.notes(len(pictures)) if table else ()
        if marked and len(marked.files) < len(pictures):
            notes += (f"masks: {len(marked.files)} of {len(pictures)} pictures have one",)
        return cls(table, marked, notes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the table; none where folders are the classes."""
        return self.annotations.classes if self.annotations else ()

    def columns(self, pictures: Sequence[Path]) -> dict[str, Any]:
        """What a `Folder` of these pictures knows of them, by the names of its fields."""
        known: dict[str, Any] = {"masks": self.masks, "regions": self.masks.regions} if self.masks else {}
        if table := self.annotations:
            known |= {"attributes": table.attributes, "point_names": table.point_names}
            if table.attributes:
                known["values"] = table.numbers(pictures, table.attributes)
            if table.point_names:
                places = [axis + name for name in table.point_names for axis in (_X, _Y)]
                points = table.numbers(pictures, places).reshape(len(pictures), -1, 2)
                known["points"] = torch.cat([points, points.isfinite().all(2, keepdim=True).float()], 2)
            if table.classes:
                known |= {"classes": table.classes, "labels": table.labels(pictures)}
        return known


def named_by(names: Iterable[str], pictures: Sequence[Path], where: Path, *, stems: bool = False) -> dict[Path, str]:
    """The name of each picture: the longest one with which its path ends. A name of two pictures is refused."""
    known, found = {*names}, dict[Path, str]()
    for picture in pictures:
        parts = (_stem(picture) if stems else composed(picture.as_posix())).split("/")
        ends = ("/".join(parts[n:]) for n in range(len(parts)))
        if (name := next((end for end in ends if end in known), None)) is not None:
            found[picture] = name
    for name, times in Counter(found.values()).most_common(1):
        if times > 1:
            raise damaged(where, f"{name[:60]} is the name of {times} pictures", "Write it with its folder")
    return found


def _table(path: Path) -> tuple[list[str], dict[str, dict[str, str]]]:
    lines = read_lines(path)
    try:
        rows = [*csv.reader(io.StringIO("\n".join(lines)), delimiter=max(",;\t", key=lines[0].count))]
    except csv.Error as error:
        raise damaged(path, str(error)[:150], "Write it as a CSV file") from None
    columns = [composed(name.strip()) for name in rows[0]]
    if _FILE not in columns or len({*columns}) < len(columns):
        raise damaged(path, f"columns: {', '.join(columns)}"[:150], "Name one of them file, and each but once")
    table: dict[str, dict[str, str]] = {}
    for n, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        told = dict(zip(columns, row, strict=False))
        name = composed(told[_FILE].strip().replace("\\", "/").removeprefix("./")) if len(row) == len(columns) else ""
        if not name or name in table:
            why = "a second row of " + name[:60] if name else f"{len(row)} cells of {len(columns)}, or no file"
            raise damaged(path, f"row {n}: {why}", "Give each picture one row")
        table[name] = told
    return columns, table


def _number(cell: str) -> float:
    """The number of a cell; NaN for an empty one and for what is none."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _stem(path: Path) -> str:
    return composed(path.with_suffix("").as_posix())


def _values(path: Path) -> NDArray[np.uint8]:
    return indices(read_bytes(path), text(path))
