"""The command `rather bench`; imported when it is used."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rather.config.errors import SOME_FAILED, RatherError

if TYPE_CHECKING:
    from rich.text import Text

    from rather.bench.results import Estimate
    from rather.bench.run import BenchResult


def bench(
    spec: str,
    /,
    *,
    with_: Annotated[list[str] | None, Parameter(name="--with", negative=())] = None,
    out: Path | None = None,
    runs: Path = Path("runs"),
    trust: Annotated[list[str] | None, Parameter(negative=())] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Compare methods on data, classifiers and seeds: runs, tables with intervals and tests, and a page.

    The same command again continues where it stopped, and no run is computed twice.

    Args:
        spec: A benchmark of the package (`rather list benches`), or a file SPEC.toml.
        with_: What stands for {NAME} in the spec, NAME=VALUE, such as a folder of data; may be repeated.
        out: The folder for the tables and the page; by default one in that of the runs.
        runs: The folder that has the runs, of this benchmark and of others.
        trust: sha256:HASH of a file whose code may run; may be repeated.
        json: Print one JSON object and nothing else.
    """
    from rather.bench.run import bench as compute
    from rather.commands.terminal import progress_bar
    from rather.report.benchmark import write_page

    given = {}
    for pair in with_ or []:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise RatherError("CFG-OPTIONS", where=f"--with {pair}", why="not of the form NAME=VALUE")
        given[name] = value
    with progress_bar("benchmark", shown=not json) as progress:
        result = compute(spec, given=given, out=out, runs=runs, trust=trust or (), progress=progress)
    write_page(result)
    for note in result.notes:
        print(f"rather: note: {note}", file=sys.stderr)
    if json:
        record = {
            "bench": str(result.folder),
            "page": str(result.page),
            "runs": len(result.units),
            "queries": sum(len(unit.run.ids) for unit in result.units),
            **result.counts,
            "skipped_parts": [vars(one) for one in result.skipped],
            "seconds": round(result.seconds, 3),
        }
        print(jsonlib.dumps(record))
    else:
        _summary(result)
    return SOME_FAILED if result.counts["failed"] else 0


def _summary(result: BenchResult) -> None:
    """The tables, of successes where there is a choice; how much is skipped; the counts."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rather.bench.tables import tables

    console = Console()
    task = ""
    for table in tables(result.estimates):
        if table.variant == "main":
            if table.task != task:
                console.print(Text(f"{table.task}\n", style="bold"))
                task = table.task
            drawn = Table(table.theme, box=None, pad_edge=False)
            for head in table.heads:
                drawn.add_column(head, justify="right")
            for method, row in table.rows():
                drawn.add_row(Text(method), *map(_cell, row))
            console.print(drawn)
            console.print()
    if result.skipped:
        reasons = len({one.reason for one in result.skipped})
        console.print(Text(f"skipped: {reasons} metrics, methods or data; the page lists the reasons", style="dim"))
    counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in result.counts.items() if n)
    console.print(Text(f"\n{len(result.units)} runs: {counts or 'none'} in {result.seconds:.1f} s"))
    console.print(Text("bold: best; ≈: not significantly worse than the best (paired, Holm, 5 %)", style="dim"))
    console.print(Text(f"page: {result.page}"), soft_wrap=True)


def _cell(one: Estimate | None) -> Text:
    from rich.text import Text

    from rather.bench.tables import figure, interval

    if one is None:
        return Text("")
    text = Text(figure(one), style="bold" if one.best else "")
    text.append(" ≈" if one.tied else "  ", style="")
    return text.append(f"\n{interval(one)}", style="dim not bold")
