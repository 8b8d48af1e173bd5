"""What a person sees in the terminal of a benchmark: its tables, and where the rest is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as Drawn
from rich.text import Text

from rather.bench.figures import Figure
from rather.bench.measures import MEASURES
from rather.bench.tables import absence, interval, number, tables

if TYPE_CHECKING:
    from rather.bench.bench import Benched


def summary(benched: Benched) -> None:
    """The tables, of successes where there is a choice; what is absent; the counts."""
    console = Console()
    task = ""
    for table in tables(benched.figures):
        if table.variant == "all":
            continue
        if table.task != task:
            console.print(Text(f"{table.task}\n", style="bold"))
            task = table.task
        drawn = Drawn(table.theme, box=None, pad_edge=False)
        for head in table.heads:
            drawn.add_column(head, justify="right")
        for method in table.methods:
            cells = (_cell(table.figures.get((method, name))) for name in table.measures)
            drawn.add_row(Text(method), *cells)
        console.print(drawn)
        console.print()
    for told in dict.fromkeys(map(absence, benched.absent)):
        console.print(Text(f"not there: {told}", style="dim"), soft_wrap=True)
    counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in benched.counts.items() if n)
    console.print(Text(f"\n{len(benched.units)} runs: {counts or 'none'} in {benched.seconds:.1f} s"))
    console.print(Text("bold: best; ≈: not significantly worse than the best (paired, Holm, 5 %)", style="dim"))
    console.print(Text(f"page: {benched.page}"), soft_wrap=True)


def _cell(figure: Figure | None) -> Text:
    if figure is None:
        return Text("")
    told = number(figure.value, MEASURES[figure.measure])
    text = Text(told, style="bold" if figure.best else "")
    text.append(" ≈" if figure.tied else "  ", style="")
    return text.append(f"\n{interval(figure)}", style="dim not bold")
