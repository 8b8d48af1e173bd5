"""A run for other programs: plain PNG files with a table, or one Parquet file."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Sequence
from itertools import count, islice, takewhile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rather.config.errors import RatherError
from rather.io.images import EXTENSIONS
from rather.io.png import seen_png, unpng
from rather.io.writing import write_whole, writing
from rather.runs.store import SCHEMA, Run, record

_COLUMNS = ("id", "file", "where", "status", "code", "label", "predicted", "target", "confidence")
_COSTS = ("steps", "evaluations", "seconds", "memory")
_LONGEST = 200  # bytes of a name; 255 are allowed, and `-2.png` may follow
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def export_png(run: Run, folder: Path | str) -> int:
    """Write each row's counterfactual as a PNG, and `index.csv` with what the classifier says of it.

    The counterfactual of `photos/cat.jpg` is `photos/cat.png`; that of an image which is no file is ID.png. One of
    other than 1 or 3 channels is also written as a .npy file (c, h, w) in 8 bits, for the PNG shows a part of it.
    `before` and `after` are the class probabilities of the image and of its counterfactual, separated by
    spaces, in the order of the run's classes.

    Returns:
        How many pictures were written; a row without a counterfactual is in the table only.

    Raises:
        RatherError: the folder cannot be written.
    """
    folder, written = Path(folder), 0
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow([*_COLUMNS, *_COSTS, "before", "after"])
    names = file_names([(row.id, row.where) for row in run.rows()])
    with writing(folder):
        for row, name in zip(run.rows(), names, strict=True):
            file = f"{name}.png" if row.image else ""
            if row.image:
                _write(folder / file, row.image)
                written += 1
            told = [file if name == "file" else getattr(row, name) for name in _COLUMNS]
            probabilities = [" ".join(f"{p:.6g}" for p in several) for several in (row.before, row.after)]
            costs = [getattr(row, name) for name in _COSTS]
            writer.writerow([*map(_cell, told), *costs, *probabilities])
        write_whole(folder / "index.csv", table.getvalue().encode())
    return written


def export_parquet(run: Run, file: Path | str) -> int:
    """Write all rows into one Parquet file, in the order in which they were asked; returns how many.

    Its columns are those of the run's shards; `datasets` shows its pictures as pictures.

    Raises:
        RatherError: the file cannot be written.
    """
    file, written = Path(file), 0
    if file.is_dir():
        raise RatherError("STORE-NOT-WRITABLE", where=file, why="a folder", do="Name a file, NAME.parquet")
    aside = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    with writing(file.parent):
        try:
            with pq.ParquetWriter(aside, SCHEMA, compression="none") as writer:
                rows = run.rows()
                while some := [record(row) for row in islice(rows, 64)]:
                    writer.write_table(pa.Table.from_pylist(some, SCHEMA))
                    written += len(some)
            aside.replace(file)
        finally:
            aside.unlink(missing_ok=True)
    return written


def _write(file: Path, image: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    shown = seen_png(image)
    file.write_bytes(shown)
    if shown != image:
        np.save(file.with_suffix(".npy"), (unpng(image) * 255).round().byte().numpy())


def file_names(rows: Sequence[tuple[str, str]]) -> list[str]:
    """A path for each row, by its id and where its image is: a file's own below the folder that holds all of them.

    >>> file_names([("1f", "/home/ann/photos/cat.jpg"), ("2e", "/home/ann/photos/old/cat.png"), ("x-1", "x, x-1")])
    ['photos/cat', 'photos/old/cat', 'x-1']
    """
    paths = [Path(where) if Path(where).suffix.lower() in EXTENSIONS else None for _, where in rows]
    parts = [[part for part in path.with_suffix("").parts if part != path.anchor] if path else [] for path in paths]
    levels = zip(*(each[:-1] for each in parts if each), strict=False)
    above = len([*takewhile(lambda level: len({*level}) == 1, levels)])
    from_here = max(above - 1, 0)  # the name of the folder that holds all stays
    taken, names = set[str](), list[str]()
    for each, (own, _) in zip(parts, rows, strict=True):
        name = "/".join(map(_part, each[from_here:])) if each else file_name(own)
        twins = (name if n == 1 else f"{name}-{n}" for n in count(1))
        names.append(next(twin for twin in twins if twin.casefold() not in taken))  # for some disks, A is a
        taken.add(names[-1].casefold())
    return names


def _part(name: str) -> str:
    """A part of a path that leads nowhere else: a name without leading or trailing marks stays as it is."""
    plain = re.fullmatch(r"[^\W_](?:[\w .,()+@=&'\[\]{}-]*[\w()\]}])?", name) and len(name.encode()) < _LONGEST
    return name if plain else file_name(name)


def file_name(text: str) -> str:
    """A row's id as the name of a file: itself, if it is of letters, digits, '-' and '_'.

    Ids of our readers always are; those of a run from elsewhere may be `../../x` or `-rf`.

    >>> file_name("digits-test-00012")
    'digits-test-00012'
    >>> file_name("../x")
    '_x-d6b96a97'
    """
    safe = re.sub(r"^-|[^A-Za-z0-9_-]+", "_", text)[:100] or "_"
    if safe == text:
        return text
    return f"{safe}-{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"


def _cell(value: object) -> object:
    """Text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
