"""Pages that show runs, comparisons, benchmarks and audits, and that open from disk without a network."""

from __future__ import annotations

from pathlib import Path

from rather.config.errors import RatherError
from rather.report.comparison import write_comparison
from rather.report.report import write_report
from rather.runs.comparison import is_comparison, open_comparison
from rather.runs.store import Run

__all__ = ["write_comparison", "write_pages", "write_report"]


def write_pages(folder: Path, out: Path | None = None, *, single_file: bool | None = None) -> Path:
    """Write the report of a run, or the page of a comparison and the reports of its runs.

    Args:
        folder: of the run or of the comparison.
        out: the folder to write to; by default `folder`. A comparison's page has to stay in its folder.
        single_file: whether the pictures are inside the page; by default for a run of up to 50 rows.

    Returns:
        The page to open.

    Raises:
        RatherError: CFG-OPTIONS for `out` or `single_file` with a comparison; the folder cannot be written,
            or a run cannot be read.
    """
    if not is_comparison(folder):
        return write_report(Run.open(folder), out, single_file=single_file)
    if out is not None or single_file is not None:
        raise RatherError("CFG-OPTIONS", where=folder, why="the page of a comparison is one of its own folder")
    for run in open_comparison(folder).values():
        write_report(run)
    return write_comparison(folder)
