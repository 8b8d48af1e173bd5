"""The text files that come with public datasets: a row for each picture.

A list is checked before it is used: it must be whole, its numbers must be numbers, and no name in it may lead
out of the dataset's folder. A picture that is missing is found only when it is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rather.config.errors import RatherError
from rather.io.images import MAX_BYTES, read_bytes

#: A part of a path that is empty, "." or ".." (so a leading slash), and what other systems take apart.
_ESCAPE: Final = re.compile(r"^\.{0,2}(?:/|$)|/\.{0,2}(?:/|$)|[\\:\0]")


def find(folder: Path, *places: str) -> Path:
    """The first of these files or folders that exists; DATA-NOT-FOUND names them all."""
    for place in places:
        if (folder / place).exists():
            return folder / place
    raise not_found(folder / places[0], f"nor {', '.join(places[1:])} there" if places[1:] else "")


def read_lines(path: Path) -> list[str]:
    """The lines of a text in UTF-8, with the line ends of any system, without blank ones at the end."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise damaged(path, f"byte {error.start:,} is not UTF-8") from None
    except RatherError as error:
        raise not_found(path, error.why or error.what) from None
    lines = text.rstrip().replace("\r\n", "\n").split("\n")
    if lines == [""]:
        raise damaged(path, "it is empty")
    return lines


def numbers(path: Path, columns: Sequence[int], dtype: DTypeLike = np.float64, *, skip: int = 0) -> NDArray[Any]:
    """Some columns (rows, columns) of a list that blanks separate, counted from 0, as finite numbers of a type.

    `skip` lines at the start are left out. Other columns are ignored, and other numbers refused.
    """
    if not path.is_file():  # opening a pipe might wait for ever
        raise not_found(path)
    size = path.stat().st_size
    if not size or size > MAX_BYTES:
        raise damaged(path, f"it has {size:,} bytes")
    try:
        rows = np.loadtxt(path, dtype, comments=None, usecols=columns, skiprows=skip, ndmin=2, encoding="utf-8-sig")
    except (ValueError, OverflowError) as error:
        raise damaged(path, str(error)[:150]) from None
    except OSError as error:
        raise not_found(path, error.strerror or "") from None
    if not np.isfinite(rows).all():
        raise damaged(path, "a number is not finite")
    return rows


def names(path: Path) -> tuple[str, ...]:
    """Of a list with rows `ID NAME`, the names in the order of their ids, which count from 1."""
    rows = [line.split(maxsplit=1) for line in read_lines(path)]
    for n, row in enumerate(rows, start=1):
        if len(row) != 2 or not row[0].isdecimal() or len(row[0]) > 9:  # noqa: PLR2004 - id and name; no giant
            raise damaged(path, f"line {n} is no number and name")
    order = _in_order(path, np.array([int(row[0]) for row in rows]), len(rows))
    return tuple(rows[n][1].strip() for n in order)


def table(path: Path, count: int, columns: int) -> NDArray[Any]:
    """Of a list with rows `ID NUMBER ...`, the numbers (count, columns) in the order of their ids, from 1."""
    rows = numbers(path, range(columns + 1))
    return rows[_in_order(path, rows[:, 0], count), 1:]


def _in_order(path: Path, ids: NDArray[Any], count: int) -> NDArray[Any]:
    order = np.argsort(ids, kind="stable")
    if not np.array_equal(ids[order], np.arange(1, count + 1)):
        raise damaged(path, f"{len(ids):,} rows, where the ids 1 to {count:,} were expected, each once")
    return order


def check_values(path: Path, values: NDArray[Any], allowed: Sequence[int], fault: str) -> None:
    """Refuse a list in which a value is none of those that are allowed."""
    if not np.isin(values, allowed).all():
        raise damaged(path, fault)


def check_paths(path: Path, files: Sequence[str]) -> None:
    """Refuse a list in which a name may lead out of the dataset's folder, or occurs twice."""
    outside = next(filter(_ESCAPE.search, files), None)
    if outside is not None:
        raise damaged(path, f"{outside[:60]!r} is no path inside the dataset")
    if len(set(files)) != len(files):
        twice, _ = Counter(files).most_common(1)[0]
        raise damaged(path, f"{twice[:60]!r} is there twice")


def damaged(path: Path, why: str, do: str = "Get the official file again") -> RatherError:
    """The error for a file that is not what it should be."""
    return RatherError("DATA-DAMAGED", where=path, why=why, do=do)


def not_found(path: Path, why: str = "") -> RatherError:
    """The error for a file that is not there."""
    return RatherError("DATA-NOT-FOUND", where=path, why=why, do="Give the folder of the official files")
