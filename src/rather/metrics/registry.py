"""What a metric says of itself: the decorator, and the list that is read without importing a metric."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, final

#: Which rows count: all that were asked, those that have an answer, or the successes.
Over = Literal["all", "answered", "success"]
Better = Literal["higher", "lower"]
THEMES: Final = ("answers", "meaning", "distance", "realism", "cells", "attributes", "causes", "costs")
_F = TypeVar("_F", bound=Callable[..., Any])


@final
@dataclass(frozen=True, kw_only=True)
class Metric:
    """A function whose parameters are what it needs, and what a table says about its numbers."""

    title: str  # at the head of a column
    theme: str  # the table that the column is part of
    unit: str
    better: Better
    source: str  # the paper
    avoids: str  # the fault of public code that it does not share
    version: int  # raised when its numbers change: kept scores of another version are not used
    over: Over = "success"  # of successes the tables have a second variant: of all answers
    several_seeds: bool = False  # each parameter of a row has the answers of all seeds, stacked in dimension 1
    biased: bool = False  # in few rows: then its interval is a jackknife's
    shared: bool = False  # by all rows of a chunk: then no test can tell methods apart
    blank: str = ""  # why a method has no value, if the reason is not obvious
    name: str = ""
    home: str = ""  # the module, without the package
    what: str = ""  # the first line of the docstring

    @property
    def higher_is_better(self) -> bool:
        """Or lower."""
        return self.better == "higher"

    @property
    def share(self) -> bool:
        """Whether each row is a yes or a no, so that the mean is a share."""
        return self.unit.startswith("yes or no")

    @property
    def function(self) -> Callable[..., Any]:
        """What computes it."""
        return _FUNCTIONS[self.name]

    @property
    def needs(self) -> dict[str, bool]:
        """The names of what it needs, and whether it can do without."""
        return {
            name: parameter.default is not inspect.Parameter.empty
            for name, parameter in inspect.signature(self.function).parameters.items()
        }

    @property
    def per_row(self) -> bool:
        """Whether each row has a value. A metric that takes `weights` has one value for a set of rows."""
        return "weights" not in self.needs

    def __str__(self) -> str:
        """As a list shows it."""
        return f"{self.what} ({self.better} is better) [{self.home}]"


#: All metrics that are imported, by name: a benchmark computes each whose needs it can meet.
METRICS: Final[dict[str, Metric]] = {}
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {}


def metric(
    *,
    title: str,
    theme: str,
    unit: str,
    better: Better,
    source: str,
    avoids: str,
    version: int,
    over: Over = "success",
    several_seeds: bool = False,
    biased: bool = False,
    shared: bool = False,
    blank: str = "",
) -> Callable[[_F], _F]:
    """Make a function a metric. It stays the function that it is, and `rather bench` computes it.

    The benchmark fills each parameter by its name: with something about the rows (a property of
    `rather.bench.batch.EvalBatch`, such as `counterfactuals`, `queries`, `target`, `features_after`) or with one of
    the nets that measure (a field of `rather.bench.judges.Judges`, such as `encoder`). A parameter of another name
    keeps its default. The function returns a value for each row, or, if it takes `weights`, a value for the set.

    Args:
        title: the head of the column.
        theme: the table that has the column, one of `THEMES`.
        unit: of the numbers; "yes or no..." and "share..." are printed as a percentage.
        better: "higher" or "lower".
        source: the paper.
        avoids: which fault of public code it does not share.
        version: raise it when the numbers change.
        over: which rows count.
        several_seeds: whether it compares the answers of several seeds: parameters of rows are then stacked.
        biased: whether a set of few rows has another expectation, as Frechet distances have.
        shared: whether all rows of a chunk have the same value.
        blank: what to say of a method that has no value.
    """
    told = {name: value for name, value in locals().items() if name in {field.name for field in fields(Metric)}}

    def register(function: _F) -> _F:
        name, home = function.__name__, function.__module__.rpartition(".")[2]
        what = (inspect.getdoc(function) or "").partition("\n")[0]
        METRICS[name] = Metric(**told, name=name, home=home, what=what)
        _FUNCTIONS[name] = function
        return function

    return register


def list_metrics() -> dict[str, Metric]:
    """Every metric of the package by name; read from the files, nothing is imported."""
    found: dict[str, Metric] = {}
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        functions = [node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
        for node in functions:
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "metric":
                    told = {word.arg or "": ast.literal_eval(word.value) for word in call.keywords}
                    what = (ast.get_docstring(node) or "").partition("\n")[0]
                    found[node.name] = Metric(**told, name=node.name, home=file.stem, what=what)
    return found
