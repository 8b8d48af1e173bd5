"""Benchmarks: methods on the same images for the same targets, measured, with intervals.

A spec (`spec`) becomes runs (`plan`), runs become scores (`batch`), which the `judges` and the metrics measure, scores
become estimates with intervals and tests (`results`), and those become tables (`tables`).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

_SPECS: Final = Path(__file__).parent / "specs"


def list_benches() -> dict[str, str]:
    """Name and one line of every benchmark of the package; nothing but the files is read."""
    return {file.stem: tomllib.loads(file.read_text("utf-8"))["what"] for file in sorted(_SPECS.glob("*.toml"))}


def bench_file(name: str) -> Path:
    """The file of a benchmark: one of the package, or a path."""
    return _SPECS / f"{name}.toml" if name in list_benches() else Path(name)
