"""Benchmarks: methods on the same images for the same targets, measured, and told with their intervals.

A spec (`spec`) becomes runs (`work`), runs become scores (`scoring`), scores become figures with intervals
and tests (`figures`, `statistics`), and those become tables and a page (`tables`, `page`).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

_SPECS: Final = Path(__file__).parent / "specs"


def list_benches() -> dict[str, str]:
    """Name and one line of every benchmark that comes with the package; nothing but the files is read."""
    return {file.stem: tomllib.loads(file.read_text("utf-8"))["what"] for file in sorted(_SPECS.glob("*.toml"))}


def bench_file(name: str) -> Path:
    """The file of a benchmark: one of the package, or a path."""
    return _SPECS / f"{name}.toml" if name in list_benches() else Path(name)
