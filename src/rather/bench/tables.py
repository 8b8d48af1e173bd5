"""Tables of figures: Markdown and LaTeX for people, CSV and Parquet for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final, final

import pyarrow as pa
import pyarrow.parquet as pq

from rather.bench.figures import Figure, Variant
from rather.bench.measures import MEASURES, THEMES, Measure
from rather.bench.plan import Absent

_DIGITS: Final = 3  # that count
_MILLE: Final = 1_000


@final
@dataclass(frozen=True, kw_only=True)
class Table:
    """The figures of a theme: methods below each other, measures side by side."""

    task: str
    theme: str
    variant: Variant
    methods: tuple[str, ...]
    measures: tuple[str, ...]
    figures: dict[tuple[str, str], Figure]  # by method and measure

    @property
    def heads(self) -> list[str]:
        """What stands above the columns, with the way that is better."""
        return [f"{MEASURES[name].title} {'↑' if MEASURES[name].higher_is_better else '↓'}" for name in self.measures]

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Of each measure its title, and what it is, in which unit and whose numbers it is made of."""
        return [(MEASURES[name].title, self._told(name)) for name in self.measures]

    def _told(self, name: str) -> str:
        measure = MEASURES[name]
        nets = {f.nets: None for (_, own), f in self.figures.items() if own == name and f.nets}
        by = f" By {', '.join(nets)}." if nets else ""
        return f"{measure.what} Unit: {measure.unit}.{by}"


def tables(figures: Sequence[Figure]) -> Iterator[Table]:
    """The figures task by task, theme by theme; those of all answers after those of successes."""
    for task in dict.fromkeys(figure.task for figure in figures):
        for variant in ("main", "all"):
            for theme in THEMES:
                mine = [
                    f for f in figures if f.task == task and f.variant == variant and MEASURES[f.measure].theme == theme
                ]
                if mine:
                    yield Table(
                        task=task,
                        theme=theme,
                        variant=variant,
                        methods=tuple(dict.fromkeys(f.method for f in figures if f.task == task)),
                        measures=tuple(dict.fromkeys(f.measure for f in mine)),
                        figures={(f.method, f.measure): f for f in mine},
                    )


def number(value: float, measure: Measure) -> str:
    """A value as a person reads it.

    >>> number(0.8125, MEASURES["found"]), number(0.012345, MEASURES["l1"])
    ('81.2 %', '0.0123')
    >>> number(1234.5, MEASURES["evaluations"])
    '1,234'
    """
    if measure.share or measure.unit.startswith("share"):
        return f"{100 * value:.1f} %"
    return f"{value:,.0f}" if abs(value) >= _MILLE else f"{value:.{_DIGITS}g}"


def interval(figure: Figure, dash: str = "\N{EN DASH}") -> str:
    """Both ends."""
    low, high = (number(end, MEASURES[figure.measure]).removesuffix(" %") for end in (figure.low, figure.high))
    return f"{low}{f' {dash} ' if '-' in low + high else dash}{high}"


def markdown(figures: Sequence[Figure], absent: Sequence[Absent], name: str) -> str:
    """All tables, what the marks mean, and what there is not."""
    lines = [f"# {name}", "", *_reading(), ""]
    task = ""
    for table in tables(figures):
        if table.task != task:
            lines += [f"## {_escaped(table.task)}", ""]
            task = table.task
        lines += [f"### {table.theme}{', of all answers' if table.variant == 'all' else ''}", ""]
        lines += ["| method | " + " | ".join(table.heads) + " |", "|---|" + "---:|" * len(table.measures)]
        lines += [
            f"| {_escaped(method)} | "
            + " | ".join(_cell(table.figures.get((method, measure))) for measure in table.measures)
            + " |"
            for method in table.methods
        ]
        lines += ["", *(f"- {title}: {_escaped(text)}" for title, text in table.legend), ""]
    if absent:
        lines += ["## What there is not", ""]
        lines += [f"- {_escaped(told)}" for told in dict.fromkeys(map(absence, absent))]
    return "\n".join(lines).rstrip() + "\n"


def absence(one: Absent) -> str:
    """What is not there, in a line."""
    return f"{one.task}, {one.method}: {one.why}" if one.method else f"{one.task}, {one.why}"


def _reading() -> list[str]:
    return [
        "Mean over the images (of an image, over its seeds), the 95 % interval, the number of images.",
        "**Bold** is the best of a column; ≈ is not significantly worse than the best (paired, on the",
        "images that both have; p corrected after Holm for all methods of the column, 5 %).",
    ]


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    told = number(figure.value, MEASURES[figure.measure])
    mark = f"**{told}**" if figure.best else f"{told} ≈" if figure.tied else told
    return f"{mark} <sub>{interval(figure)}; {figure.images}</sub>"


def _escaped(text: str) -> str:
    """Somebody's words in Markdown: they make no link, no code and no tag."""
    marks = {"&": "&amp;", "<": "&lt;", "\n": " "}
    return "".join(marks.get(c, f"\\{c}" if c in "\\`*[]|" else c) for c in text)


def latex(figures: Sequence[Figure]) -> str:
    """The tables of the successes, for `booktabs`."""
    parts = []
    for table in tables(figures):
        if table.variant == "all":
            continue
        arrows = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
        heads = [f"{_tex(head[:-1])}{arrows[head[-1]]}" for head in table.heads]
        rows = [
            _tex(method) + " & " + " & ".join(_tex_cell(table.figures.get((method, name))) for name in table.measures)
            for method in table.methods
        ]
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    rf"\caption{{{_tex(table.task)}: {table.theme}.}}",
                    rf"\begin{{tabular}}{{l{'r' * len(table.measures)}}}",
                    r"\toprule",
                    f"method & {' & '.join(heads)} " + r"\\",
                    r"\midrule",
                    *(row + r" \\" for row in rows),
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def _tex_cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    told = _tex(number(figure.value, MEASURES[figure.measure]))
    mark = rf"\textbf{{{told}}}" if figure.best else rf"{told}$^\approx$" if figure.tied else told
    return rf"{mark} {{\scriptsize ({_tex(interval(figure, '--'))})}}"


def _tex(text: str) -> str:
    marks = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(marks.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def _records(figures: Sequence[Figure]) -> list[dict[str, object]]:
    names = [field.name for field in fields(Figure)]
    return [
        {name: getattr(f, name) for name in names}
        | {"unit": MEASURES[f.measure].unit, "higher_is_better": MEASURES[f.measure].higher_is_better}
        for f in figures
    ]


def csv_text(figures: Sequence[Figure]) -> str:
    """A line for each figure."""
    sink = io.StringIO()
    records = _records(figures)
    writer = csv.DictWriter(sink, [*records[0]] if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return sink.getvalue()


def parquet(figures: Sequence[Figure]) -> bytes:
    """The same lines."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(_records(figures)), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def formats(figures: Sequence[Figure], absent: Sequence[Absent], name: str) -> dict[str, Callable[[], bytes]]:
    """What writes each file."""
    return {
        "tables.md": lambda: markdown(figures, absent, name).encode(),
        "tables.tex": lambda: latex(figures).encode(),
        "figures.csv": lambda: csv_text(figures).encode(),
        "figures.parquet": lambda: parquet(figures),
    }
