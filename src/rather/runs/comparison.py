"""A comparison: a folder with `comparison.json`, which names its columns, and a run's folder for each column."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rather.config.errors import RatherError
from rather.io.writing import unwritable, write_whole, writing
from rather.runs.store import Run

FORMAT: Final = 1
_FILE: Final = "comparison.json"


def start_comparison(folder: Path, labels: Sequence[str]) -> list[Path]:
    """Make a comparison, or continue the existing one, and return the folder of each column.

    Raises:
        RatherError: RUN-MISMATCH if the folder holds a run, or a comparison of other columns.
    """
    folders = [f"{n}-{_part(label)}" for n, label in enumerate(labels, 1)]
    content = {"format": FORMAT, "columns": dict(zip(labels, folders, strict=True))}
    other = "a single run" if (folder / "run.json").exists() else ""
    if (folder / _FILE).exists():
        other = "" if _read(folder) == content["columns"] else f"a comparison of {', '.join(_read(folder))}"
    if other:
        raise RatherError("RUN-MISMATCH", where=folder, why=other, do="Choose another --out")
    with writing(folder):
        write_whole(folder / _FILE, json.dumps(content, indent=1).encode())
    return [folder / name for name in folders]


def check_no_comparison(folder: Path) -> None:
    """Raise if the folder holds a comparison, so that no single run is started in it."""
    if is_comparison(folder):
        raise RatherError("RUN-MISMATCH", where=folder, why="a comparison", do="Choose another --out")


def is_comparison(folder: Path) -> bool:
    """Whether the folder holds a comparison."""
    return (folder / _FILE).is_file()


def open_comparison(folder: Path) -> dict[str, Run]:
    """The runs of a comparison by the label of their column: METHOD or METHOD@CLASSIFIER."""
    return {label: Run.open(folder / name) for label, name in _read(folder).items()}


def _read(folder: Path) -> dict[str, str]:
    file = folder / _FILE
    try:
        content = json.loads(file.read_text("utf-8"))["columns"]
        columns = {str(label): str(name) for label, name in content.items()}
    except OSError as error:
        raise unwritable(error, file) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RatherError("RUN-DAMAGED", where=file, why=f"{type(error).__name__}: {error}"[:200]) from None
    if not columns or any(Path(name).name != name for name in columns.values()):
        raise RatherError("RUN-DAMAGED", where=file, why="a column's folder is not in it")
    return columns


def _part(label: str) -> str:
    """A label as a part of a folder's name.

    >>> _part("revise@nets/mine.safetensors")
    'revise-nets-mine-safetensors'
    """
    return re.sub(r"[^\w-]+", "-", label).strip("-")[:60]
