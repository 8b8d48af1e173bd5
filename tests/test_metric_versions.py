"""Scores are kept under the version of their metric: code that changes needs another one.

python tests/test_metric_versions.py    # record the digests, after a version was raised or no number changed
"""

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from rather.bench import batch
from rather.metrics import Metric, load_metrics
from rather.search import losses

FILE = Path(__file__).with_name("metric_digests.json")
INPUTS = "what metrics are given"


def source_of(one: Any) -> ast.AST | None:
    """The code without comments and docstrings, and without what a decorator says; None of what is not ours."""
    while hasattr(one, "__wrapped__"):
        one = one.__wrapped__
    if not getattr(one, "__module__", "").startswith("rather"):
        return None
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list = []
    if ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:] or [ast.Pass()]
    return tree


def calls(one: Any, tree: ast.AST, owner: type | None) -> Iterator[tuple[Any, type | None]]:
    """What of ours the code names: functions, and the methods of the classes of its parameters and of its own."""
    scope = one
    while hasattr(scope, "__wrapped__"):
        scope = scope.__wrapped__
    nodes = [*ast.walk(tree)]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    named = [scope.__globals__.get(node.id) for node in nodes if isinstance(node, ast.Name)]
    for node in nodes:  # `losses.l1`
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = scope.__globals__.get(node.value.id)
            named.append(getattr(module, node.attr, None) if isinstance(module, ModuleType) else None)
    for other in named:
        if isinstance(other, FunctionType):
            yield other, None
    for kind in [owner, *(other for other in named if isinstance(other, type))]:
        for name in attributes if kind is not None else ():
            method = inspect.getattr_static(kind, name, None)
            method = getattr(method, "func", getattr(method, "fget", method))
            if isinstance(method, FunctionType):
                yield method, kind


def digest(*starts: tuple[Any, type | None]) -> str:
    """Of the code of some functions, and of everything of this package that they call."""
    parts: dict[str, str] = {}
    ahead = [*starts]
    while ahead:
        one, owner = ahead.pop()
        tree = source_of(one)
        name = f"{one.__module__}.{one.__qualname__}"
        if tree is not None and name not in parts:
            parts[name] = ast.dump(tree)
            ahead += calls(one, tree, owner)
    return hashlib.sha256("".join(parts[name] for name in sorted(parts)).encode()).hexdigest()[:16]


def of_metric(metric: Metric) -> str:
    return digest((metric.function, None))


def of_inputs() -> str:
    own = vars(batch.EvalBatch)
    return digest(*((own[n].func, batch.EvalBatch) for n in own if isinstance(own[n], cached_property)))


def recorded() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text("utf-8")))


def current() -> dict[str, list[Any]]:
    metrics = {name: [metric.version, of_metric(metric)] for name, metric in sorted(load_metrics().items())}
    return {INPUTS: [batch.VERSION, of_inputs()], **metrics}


@pytest.mark.parametrize("name", [INPUTS, *load_metrics()])
def test_code_that_changed_has_another_version(name):
    (version, known), (old_version, old) = current()[name], recorded().get(name, (None, None))
    place = f"{inspect.getsourcefile(load_metrics()[name].function)}" if name in load_metrics() else batch.__file__
    assert version != old_version or known == old, (
        f"the code of {name} has changed, or of what it calls. If its numbers can be others now, raise its version in "
        f"{place}: kept scores are then measured again. In any case run: python tests/{Path(__file__).name}"
    )
    assert (version, known) == (old_version, old), f"run: python tests/{Path(__file__).name}"


def test_a_loss_that_a_metric_calls_is_part_of_its_digest(monkeypatch):
    before = {name: of_metric(metric) for name, metric in load_metrics().items()}

    def l1(one, other):
        return 2 * (one - other).abs().flatten(1).mean(1)

    l1.__module__ = losses.__name__
    monkeypatch.setattr(losses, "l1", l1)
    after = {name: of_metric(metric) for name, metric in load_metrics().items()}
    assert {name for name in before if before[name] != after[name]} == {"l1"}  # `distance_to_truth` holds its own


def test_a_method_of_a_parameter_is_part_of_its_digest(monkeypatch):
    from rather.core import Goal

    before = of_metric(load_metrics()["transfer"])

    def reached(self, logits):
        return logits.argmax(1) == self.target

    reached.__module__ = Goal.__module__
    monkeypatch.setattr(Goal, "reached", reached)
    assert of_metric(load_metrics()["transfer"]) != before


if __name__ == "__main__":
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(known)}" for name, known in current().items())
    FILE.write_text(f"{{\n{lines}\n}}\n", "utf-8")
