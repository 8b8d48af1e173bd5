"""Tables of estimates: Markdown and LaTeX for people, CSV and Parquet for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final, final

import pyarrow as pa
import pyarrow.parquet as pq

from rather.bench.plan import Skipped
from rather.bench.results import Estimate, Variant
from rather.metrics import METRICS, Metric
from rather.metrics.registry import THEMES

_DIGITS: Final = 3  # that count
_MILLE: Final = 1_000
_KEY: Final = [
    "Mean over the images (of an image, over its seeds), the 95 % interval, the number of images.",
    "**Bold** is the best of a column; ≈ is not significantly worse than the best (paired, on the",
    "images that both have; p corrected after Holm for all methods of the column, 5 %).",
]


@final
@dataclass(frozen=True, kw_only=True)
class Table:
    """The estimates of a theme: methods below each other, metrics side by side."""

    task: str
    theme: str
    variant: Variant
    methods: tuple[str, ...]
    metrics: tuple[Metric, ...]
    estimates: dict[tuple[str, str], Estimate]  # by method and metric

    @property
    def heads(self) -> list[str]:
        """What stands above the columns, with the way that is better."""
        return [f"{one.title} {'↑' if one.higher_is_better else '↓'}" for one in self.metrics]

    @property
    def title(self) -> str:
        """The theme, and of which answers, if not of successes."""
        return f"{self.theme}{', of all answers' if self.variant == 'all' else ''}"

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The title of each metric, and what it is, in which unit and measured by which nets."""
        return [(one.title, self._explained(one)) for one in self.metrics]

    def _explained(self, metric: Metric) -> str:
        nets = dict.fromkeys(one.nets for (_, name), one in self.estimates.items() if name == metric.name and one.nets)
        by = f" By {', '.join(nets)}." if nets else ""
        return f"{metric.explained} Unit: {metric.unit}.{by}"

    def rows(self) -> Iterator[tuple[str, list[Estimate | None]]]:
        """The cells of each method."""
        for method in self.methods:
            yield method, [self.estimates.get((method, metric.name)) for metric in self.metrics]


def tables(estimates: Sequence[Estimate]) -> Iterator[Table]:
    """The estimates task by task, theme by theme; those of all answers after those of successes."""
    themes = dict.fromkeys([*THEMES, *(metric.theme for metric in METRICS.values())])
    for task in dict.fromkeys(one.task for one in estimates):
        own = [one for one in estimates if one.task == task]
        for variant in ("main", "all"):
            for theme in themes:
                some = [one for one in own if one.variant == variant and METRICS[one.metric].theme == theme]
                if some:
                    yield Table(
                        task=task,
                        theme=theme,
                        variant=variant,
                        methods=tuple(dict.fromkeys(one.method for one in own)),
                        metrics=tuple(METRICS[name] for name in dict.fromkeys(one.metric for one in some)),
                        estimates={(one.method, one.metric): one for one in some},
                    )


def number(value: float, metric: Metric) -> str:
    """A value as a person reads it."""
    if metric.share or metric.unit.startswith("share"):
        return f"{100 * value:.1f} %"
    return f"{value:,.0f}" if abs(value) >= _MILLE else f"{value:.{_DIGITS}g}"


def figure(one: Estimate) -> str:
    """Its value as a person reads it."""
    return number(one.value, METRICS[one.metric])


def interval(one: Estimate, dash: str = "\N{EN DASH}") -> str:
    """Both ends."""
    low, high = (number(end, METRICS[one.metric]).removesuffix(" %") for end in (one.low, one.high))
    return f"{low}{f' {dash} ' if '-' in low + high else dash}{high}"


def markdown(estimates: Sequence[Estimate], skipped: Sequence[Skipped], name: str) -> str:
    """All tables, what the marks mean, and what is skipped."""
    lines = [f"# {name}", "", *_KEY, ""]
    task = ""
    for table in tables(estimates):
        if table.task != task:
            lines += [f"## {_escaped(table.task)}", ""]
            task = table.task
        lines += [f"### {table.title}", "", "| method | " + " | ".join(table.heads) + " |"]
        lines += ["|---|" + "---:|" * len(table.metrics)]
        lines += [f"| {_escaped(method)} | " + " | ".join(map(_cell, row)) + " |" for method, row in table.rows()]
        lines += ["", *(f"- {title}: {_escaped(text)}" for title, text in table.legend), ""]
    if skipped:
        lines += ["## Skipped", "", *(f"- {_escaped(line)}" for line in dict.fromkeys(map(skip_line, skipped)))]
    return "\n".join(lines).rstrip() + "\n"


def skip_line(one: Skipped) -> str:
    """What is skipped, and why, in a line."""
    where = ", ".join(filter(None, (one.task, one.method)))
    return f"{where}{':' if one.method else ','} {one.reason}" if where else one.reason


def _cell(one: Estimate | None) -> str:
    if one is None:
        return ""
    mark = f"**{figure(one)}**" if one.best else f"{figure(one)} ≈" if one.tied else figure(one)
    return f"{mark} <sub>{interval(one)}; {one.images}</sub>"


def _escaped(text: str) -> str:
    """A name that a user gave, in Markdown: it makes no link, no code and no tag."""
    marks = {"&": "&amp;", "<": "&lt;", "\n": " "}
    return "".join(marks.get(c, f"\\{c}" if c in "\\`*[]|" else c) for c in text)


def latex(estimates: Sequence[Estimate]) -> str:
    """The tables of the successes, for `booktabs`."""
    arrows = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    parts = []
    for table in tables(estimates):
        if table.variant == "main":
            heads = [f"{_tex(head[:-1])}{arrows[head[-1]]}" for head in table.heads]
            rows = [" & ".join([_tex(method), *map(_tex_cell, row)]) + r" \\" for method, row in table.rows()]
            lines = [
                r"\begin{table}",
                rf"\caption{{{_tex(table.task)}: {table.theme}.}}",
                rf"\begin{{tabular}}{{l{'r' * len(table.metrics)}}}",
                r"\toprule",
                f"method & {' & '.join(heads)} " + r"\\",
                r"\midrule",
                *rows,
                *(r"\bottomrule", r"\end{tabular}", r"\end{table}"),
            ]
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _tex_cell(one: Estimate | None) -> str:
    if one is None:
        return ""
    text = _tex(figure(one))
    mark = rf"\textbf{{{text}}}" if one.best else rf"{text}$^\approx$" if one.tied else text
    return rf"{mark} {{\scriptsize ({_tex(interval(one, '--'))})}}"


def _tex(text: str) -> str:
    marks = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(marks.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def _records(estimates: Sequence[Estimate]) -> list[dict[str, object]]:
    metrics = [METRICS[one.metric] for one in estimates]
    return [
        asdict(one) | {"unit": metric.unit, "higher_is_better": metric.higher_is_better}
        for one, metric in zip(estimates, metrics, strict=True)
    ]


def csv_text(estimates: Sequence[Estimate]) -> str:
    """A line for each estimate."""
    sink = io.StringIO()
    records = _records(estimates)
    writer = csv.DictWriter(sink, [*records[0]] if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return sink.getvalue()


def parquet(estimates: Sequence[Estimate]) -> bytes:
    """The same lines."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(_records(estimates)), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def formats(estimates: Sequence[Estimate], skipped: Sequence[Skipped], name: str) -> dict[str, Callable[[], bytes]]:
    """What writes each file."""
    return {
        "tables.md": lambda: markdown(estimates, skipped, name).encode(),
        "tables.tex": lambda: latex(estimates).encode(),
        "figures.csv": lambda: csv_text(estimates).encode(),
        "figures.parquet": lambda: parquet(estimates),
    }
