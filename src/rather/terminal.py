"""What a person sees in the terminal: a progress bar, the table at the end, a method's description."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from rather.methods import list_methods, method_class

if TYPE_CHECKING:
    from rather.explain import Explained

ROWS = 20  # in the table; the report has all


@contextmanager
def progress_bar(what: str, *, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, if that is a terminal; it yields a function of (done, asked)."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, asked: bar.update(task, completed=done, total=asked)


def summary(explained: Explained) -> None:
    """The first rows as a table, the counts, and where to look."""
    console = Console()
    table = Table("image", "says", "rather than", "with", "status", "steps", box=None, pad_edge=False)
    for shown, row in enumerate(explained.run.rows()):
        if shown == ROWS:
            table.add_row(Text("..."))
            break
        classes = explained.run.question["classes"]
        sure = row.after[classes.index(row.target)] if row.after and row.target else None
        table.add_row(
            Text(row.id),
            Text(row.target or ""),
            Text(row.predicted or ""),
            "" if sure is None else f"{sure:.0%}",
            Text(row.status.replace("_", " ") + (f" ({row.code})" if row.code else "")),
            str(row.steps) if row.image else "",
        )
    console.print(table)
    counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in explained.counts.items() if n)
    console.print(Text(f"\n{counts} of {len(explained.run.asked)} in {explained.seconds:.1f} s"))
    console.print(Text(f"report: {explained.report}"), soft_wrap=True)


def description(method: str, *, json: bool) -> None:
    """A method's paper and settings."""
    found = method_class(method)
    if json:
        print(jsonlib.dumps(found.model_json_schema(mode="serialization")))  # noqa: T201 - the output itself
        return
    console = Console()
    console.print(Text(f"{method}: {list_methods()[method]}\n{found.__doc__}\n"))
    table = Table("setting", "default", "bounds", "meaning", box=None, pad_edge=False)
    for key, field in found.model_fields.items():
        bounds = ", ".join(str(part) for part in field.metadata)
        default = "required" if field.is_required() else repr(field.default)
        table.add_row(Text(key), Text(default), Text(bounds), Text(field.description or ""))
    console.print(table)
