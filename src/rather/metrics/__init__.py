"""The metrics, one file for each question that they answer; every public function there is a metric.

A metric is a pure function of tensors, and of the nets that it asks, with one value for each row; only
the distances of `distribution`, the agreements of `causes` and `correlation_difference` are of a whole set.
Its docstring is what is known of it: see `Metric`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import final


@final
@dataclass(frozen=True)
class Metric:
    """What a metric's docstring says: its first line, and what follows one of three words."""

    name: str
    home: str  # its file, without the ending
    question: str  # that the file answers
    what: str  # the first line
    higher_is_better: bool | None  # None where neither is
    unit: str = ""  # "Unit: ..."
    source: str = ""  # "Source: ...", the paper
    avoids: str = ""  # "Avoids: ...", the fault of public code that it does not share

    def __str__(self) -> str:
        """As a list shows it."""
        return f"{self.what} [{self.home}]"


def list_metrics() -> dict[str, Metric]:
    """What every metric says of itself, by name; read from the files, nothing is imported."""
    metrics = dict[str, Metric]()
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        question = (ast.get_docstring(tree) or "").partition("\n")[0]
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                metrics[node.name] = _metric(node.name, file.stem, question, ast.get_docstring(node) or "")
    return metrics


def _metric(name: str, home: str, question: str, text: str) -> Metric:
    what = text.partition("\n")[0]
    better = re.search(r"\((higher|lower) is better\)", what)
    told = dict(re.findall(r"^(Unit|Source|Avoids): (.+?)(?=\n\n|\n\w+: |\Z)", text, re.MULTILINE | re.DOTALL))
    unit, source, avoids = (" ".join(told.get(key, "").split()) for key in ("Unit", "Source", "Avoids"))
    return Metric(name, home, question, what, better and better[1] == "higher", unit, source, avoids)
