"""A run for other programs: plain PNG files with a table, or one Parquet file."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rather.config.errors import RatherError
from rather.io.writing import write_whole, writing
from rather.runs.store import SCHEMA, Run, record

_COLUMNS = ("id", "file", "where", "status", "code", "label", "predicted", "target", "confidence")
_COSTS = ("steps", "evaluations", "seconds", "memory")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def export_png(run: Run, folder: Path | str) -> int:
    """Write each row's counterfactual as ID.png, and `index.csv` with what the classifier says of it.

    `before` and `after` are the class probabilities of the image and of its counterfactual, separated by
    spaces, in the order of the run's classes.

    Returns:
        How many pictures were written; a row without a counterfactual is in the table only.

    Raises:
        RatherError: the folder cannot be written.
    """
    folder, count = Path(folder), 0
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow([*_COLUMNS, *_COSTS, "before", "after"])
    with writing(folder):
        for row in run.rows():
            file = f"{file_name(row.id)}.png" if row.image else ""
            if row.image:
                (folder / file).write_bytes(row.image)
                count += 1
            told = [file if name == "file" else getattr(row, name) for name in _COLUMNS]
            probabilities = [" ".join(f"{p:.6g}" for p in several) for several in (row.before, row.after)]
            costs = [getattr(row, name) for name in _COSTS]
            writer.writerow([*map(_cell, told), *costs, *probabilities])
        write_whole(folder / "index.csv", table.getvalue().encode())
    return count


def export_parquet(run: Run, file: Path | str) -> int:
    """Write all rows into one Parquet file, in the order in which they were asked; returns how many.

    Its columns are those of the run's shards; `datasets` shows its pictures as pictures.

    Raises:
        RatherError: the file cannot be written.
    """
    file, count = Path(file), 0
    if file.is_dir():
        raise RatherError("STORE-NOT-WRITABLE", where=file, why="a folder", do="Name a file, NAME.parquet")
    aside = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    with writing(file.parent):
        try:
            with pq.ParquetWriter(aside, SCHEMA, compression="none") as writer:
                rows = run.rows()
                while some := [record(row) for row in islice(rows, 64)]:
                    writer.write_table(pa.Table.from_pylist(some, SCHEMA))
                    count += len(some)
            aside.replace(file)
        finally:
            aside.unlink(missing_ok=True)
    return count


def file_name(text: str) -> str:
    """A row's id as the name of a file: itself, if it is of letters, digits, '-' and '_'.

    Ids of our readers always are; those of somebody else's run may be `../../x` or `-rf`.

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
