"""Lists that come with data sets: text files of somebody else, with a row for each picture.

What a list says is checked before it is used: that it is whole, that its numbers are numbers, and that no
name in it leads out of the data set's folder. Whether the pictures are there is seen when they are read.
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

#: A part of a path that is empty, "." or ".." (so a slash at its begin), and what other systems take apart.
_ESCAPE: Final = re.compile(r"^\.{0,2}(?:/|$)|/\.{0,2}(?:/|$)|[\\:\0]")


def find(folder: Path, *places: str) -> Path:
    """The first of these files or folders that is there.

    Raises:
        RatherError: DATA-NOT-FOUND that names them all.
    """
    for place in places:
        if (folder / place).exists():
            return folder / place
    raise RatherError(
        "DATA-NOT-FOUND",
        where=folder / places[0],
        why=f"nor {', '.join(places[1:])} there" if places[1:] else "",
        do="Give the folder of the official files",
    )


def read_lines(path: Path) -> list[str]:
    """The lines of a text, whatever system they end for, without blank ones at the end.

    Raises:
        RatherError: DATA-NOT-FOUND, or DATA-DAMAGED if it is empty or not in UTF-8.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise damaged(path, f"byte {error.start:,} is not UTF-8") from None
    except RatherError as error:
        raise RatherError("DATA-NOT-FOUND", where=path, why=error.why or error.what) from None
    lines = text.rstrip().replace("\r\n", "\n").split("\n")
    if lines == [""]:
        raise damaged(path, "it is empty")
    return lines


def numbers(path: Path, columns: Sequence[int], dtype: DTypeLike = np.float64, *, skip: int = 0) -> NDArray[Any]:
    """Some columns of a list, parted by blanks; what else is in its rows is not looked at.

    Args:
        path: of the list.
        columns: counted from 0.
        dtype: numbers that are none of this type are refused.
        skip: so many lines at the begin.

    Returns:
        Finite numbers (rows, columns).

    Raises:
        RatherError: DATA-NOT-FOUND or DATA-DAMAGED.
    """
    if not path.is_file():  # so that the opening of a pipe does not wait for ever
        raise RatherError("DATA-NOT-FOUND", where=path, do="Give the folder of the official files")
    size = path.stat().st_size
    if not size or size > MAX_BYTES:
        raise damaged(path, f"it has {size:,} bytes")
    try:
        found = np.loadtxt(path, dtype, comments=None, usecols=columns, skiprows=skip, ndmin=2, encoding="utf-8-sig")
    except (ValueError, OverflowError) as error:
        raise damaged(path, str(error)[:150]) from None
    except OSError as error:
        raise RatherError("DATA-NOT-FOUND", where=path, why=error.strerror or "") from None
    if not np.isfinite(found).all():
        raise damaged(path, "a number is not finite")
    return found


def names(path: Path) -> tuple[str, ...]:
    """Of a list with rows `ID NAME`, the names by their ids, which count from 1."""
    rows = [line.split(maxsplit=1) for line in read_lines(path)]
    for n, row in enumerate(rows, start=1):
        if len(row) != 2 or not row[0].isdecimal() or len(row[0]) > 9:  # noqa: PLR2004 - id and name; no giant
            raise damaged(path, f"line {n} is no number and name")
    order = in_order(path, np.array([int(row[0]) for row in rows]), len(rows))
    return tuple(rows[n][1].strip() for n in order)


def table(path: Path, count: int, columns: int) -> NDArray[Any]:
    """Of a list with rows `ID NUMBER ...`, the numbers (count, columns) by their ids, which count from 1."""
    rows = numbers(path, range(columns + 1))
    return rows[in_order(path, rows[:, 0], count), 1:]


def in_order(path: Path, ids: NDArray[Any], count: int) -> NDArray[Any]:
    """The rows in which the ids 1 to `count` are; each must be there once."""
    order = np.argsort(ids, kind="stable")
    if not np.array_equal(ids[order], np.arange(1, count + 1)):
        raise damaged(path, f"{len(ids):,} rows, where the ids 1 to {count:,} were expected, each once")
    return order


def refuse_escapes(path: Path, files: Sequence[str]) -> None:
    """Refuse a list with a name that may lead out of the folder that it speaks of, or that is there twice."""
    outside = next(filter(_ESCAPE.search, files), None)
    if outside is not None:
        raise damaged(path, f"{outside[:60]!r} is no path inside the data set")
    if len(set(files)) != len(files):
        twice, _ = Counter(files).most_common(1)[0]
        raise damaged(path, f"{twice[:60]!r} is there twice")


def damaged(path: Path, why: str) -> RatherError:
    """A file that is there, and is not what it should be."""
    return RatherError("DATA-DAMAGED", where=path, why=why, do="Get the official file again")
