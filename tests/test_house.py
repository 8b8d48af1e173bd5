"""The house: who may import whom, and habits that keep it readable. Read from the files; nothing is run."""

import ast
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

import rather

HOME = Path(rather.__file__).parent
FILES = sorted(HOME.rglob("*.py"))
house = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.parent / "benchmarks" / "house.py")))
GRAPH = house.graph_of(HOME)
REACH = house.reach_of(GRAPH)

#: From the bottom up: a room imports only rooms that stand before it in this list.
FLOORS = (
    "config stats types",
    "io",
    "plots classifiers",
    "core",
    "search",
    "feature_cells generators",
    "diffusion latents",
    "methods metrics data",
    "hub",
    "train",
    "worlds runs",
    "bench audit",
    "report",
    "commands",
)


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def test_every_room_has_a_floor() -> None:
    assert sorted(" ".join(FLOORS).split()) == sorted(GRAPH)


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_imports_run_one_way(floor: int) -> None:
    below = set(" ".join(FLOORS[:floor]).split())
    for room in FLOORS[floor].split():
        assert GRAPH[room].keys() <= below, room


def test_core_stands_on_its_own() -> None:
    assert REACH["core"] <= {"config", "io", "plots", "types", "classifiers"}


def test_no_part_needs_itself() -> None:
    assert house.circles(GRAPH) == []


def test_functions_and_files_are_short() -> None:
    assert house.long_functions(HOME) == []


@pytest.mark.parametrize("folder", ["methods", "metrics"])
def test_methods_and_metrics_do_not_import_each_other(folder: str) -> None:
    allowed = (f"rather.{folder}.features", f"rather.{folder}.registry")
    for file in (HOME / folder).glob("[a-z]*.py"):
        names = (name for name in house.imported(parse(file)) if name.startswith(f"rather.{folder}"))
        assert [name for name in names if not name.startswith(allowed)] == [], file.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOME)))
def test_habits(file: Path) -> None:
    tree = parse(file)
    assert file.stem not in {"utils", "util", "helpers", "common", "misc"}
    assert ast.get_docstring(tree), "say in a line what the file is"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the package"
        if isinstance(node, ast.Module | ast.ClassDef):
            for child in node.body:
                if isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
                    assert child.args.kwarg is None, f"{child.name} takes anything at all"
