"""What a metric says of itself: the decorator, and the list that is read without importing a metric."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, final

#: Which rows count: all that were asked, those that have an answer, or the successes.
Over = Literal["all", "answered", "success"]
THEMES: Final = ("answers", "meaning", "distance", "realism", "cells", "attributes", "causes", "costs")
_F = TypeVar("_F", bound=Callable[..., Any])


def _undecorated(*_: object) -> Any:
    raise TypeError("a Metric is a decorator: it has no value before it decorates a function")


@final
@dataclass(frozen=True, kw_only=True)
class Metric:
    """Makes a function a metric: it stays the function that it is, and `rather bench` computes it.

    The benchmark fills each parameter by its name: with something about the rows (a property of
    `rather.bench.batch.EvalBatch`, such as `counterfactuals`, `queries`, `target`, `features_after`) or with one of
    the nets that measure (a field of `rather.bench.judges.Judges`, such as `encoder`). A parameter of another name
    keeps its default. The function returns a value for each row, or, if it takes `weights`, a value for the set.
    """

    title: str  # at the head of a column
    theme: str  # the table that the column is part of
    unit: str  # "yes or no..." and "share..." are printed as a percentage
    better: Literal["higher", "lower"]
    version: int  # raised when its numbers change: kept scores of another version are not used
    over: Over = "success"  # of successes the tables have a second variant: of all answers; "all" takes `statuses`
    several_seeds: bool = False  # each parameter of a row has the answers of all seeds, stacked in dimension 1
    biased: bool = False  # in few rows: then its interval is a jackknife's
    shared: bool = False  # by all rows of a chunk: then no test can tell methods apart
    blank: str = ""  # why a method has no value, if the reason is not obvious
    name: str = ""
    home: str = ""  # the module, without the package
    what: str = ""  # the first line of the docstring
    source: str = ""  # the paper: "Source: ..." in the docstring
    avoids: str = ""  # "Avoids: ...", the fault of public code that it does not share
    function: Callable[..., Any] = field(default=_undecorated, compare=False)

    def __call__(self, function: _F) -> _F:
        """Register a function."""
        home = function.__module__.rpartition(".")[2]
        named = self.documented(function.__name__, home, inspect.getdoc(function) or "")
        METRICS[function.__name__] = replace(named, function=function)
        return function

    def documented(self, name: str, home: str, text: str) -> Metric:
        """With what the docstring of its function says."""
        what = text.partition("\n")[0]
        parts = re.findall(r"^(Source|Avoids): (.+?)\.?(?=\n\n|\n\w+: |\Z)", text, re.MULTILINE | re.DOTALL)
        said = {word: " ".join(part.split()) for word, part in parts}
        return replace(
            self, name=name, home=home, what=what, source=said.get("Source", ""), avoids=said.get("Avoids", "")
        )

    @property
    def higher_is_better(self) -> bool:
        """Or lower."""
        return self.better == "higher"

    @property
    def share(self) -> bool:
        """Whether each row is a yes or a no, so that the mean is a share."""
        return self.unit.startswith("yes or no")

    @property
    def needs(self) -> dict[str, bool]:
        """The names of what it needs, and whether it can do without."""
        parameters = inspect.signature(self.function).parameters
        return {name: one.default is not inspect.Parameter.empty for name, one in parameters.items()}

    @property
    def per_row(self) -> bool:
        """Whether each row has a value. A metric that takes `weights` has one value for a set of rows."""
        return "weights" not in self.needs

    @property
    def explained(self) -> str:
        """What it is, and which way is better."""
        return f"{self.what.removesuffix('.')} ({self.better} is better)."

    def __str__(self) -> str:
        """As a list shows it."""
        return f"{self.explained} [{self.home}]"


metric = Metric  #: as a decorator
#: All metrics that are imported, by name: a benchmark computes each whose needs it can meet.
METRICS: Final[dict[str, Metric]] = {}


def list_metrics() -> dict[str, Metric]:
    """Every metric of the package by name; read from the files, nothing is imported."""
    found: dict[str, Metric] = {}
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        functions = [node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
        for node in functions:
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "metric":
                    given = {word.arg or "": ast.literal_eval(word.value) for word in call.keywords}
                    found[node.name] = Metric(**given).documented(node.name, file.stem, ast.get_docstring(node) or "")
    return found
