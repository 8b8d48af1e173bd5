"""The metrics, one file for each question that they answer; every public function there is a metric.

A metric is a pure function of tensors, and of the nets that it asks, with one value for each row; only
the distances of `distribution`, the agreements of `causes` and `correlation_difference` are of a whole set.
"""

from __future__ import annotations

import ast
from pathlib import Path


def list_metrics() -> dict[str, str]:
    """Name and first docstring line of every metric; read from the files, nothing is imported."""
    return {
        node.name: f"{(ast.get_docstring(node) or '').partition(chr(10))[0]} [{file.stem}]"
        for file in sorted(Path(__file__).parent.glob("[a-z]*.py"))
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
