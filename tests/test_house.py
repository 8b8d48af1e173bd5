"""The house: who may import whom, and habits that keep it readable. Read from the files; nothing is run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import rather

HOME = Path(rather.__file__).parent
FILES = sorted(HOME.rglob("*.py"))

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


def part(file: Path) -> str:
    """A folder's name, or a file's in the package itself."""
    return file.relative_to(HOME).parts[0].removesuffix(".py")


def imported(node: ast.AST) -> Iterator[str]:
    """Full names of all that is imported, in functions too, but for what only the type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        yield from imported(child)


def knows(file: Path) -> set[str]:
    """The other parts that a file imports."""
    names = [name.split(".") for name in imported(parse(file))]
    parts = {name[1] for name in names if name[0] == "rather"} & {part(other) for other in FILES}
    return parts - {part(file)}


GRAPH = {part(file): set[str]() for file in FILES}
for each in FILES:
    GRAPH[part(each)] |= knows(each)


def reaches(start: str) -> set[str]:
    """All parts that one imports, directly or through others."""
    seen, ahead = set[str](), [start]
    while ahead:
        new = GRAPH[ahead.pop()] - seen
        seen |= new
        ahead += new
    return seen


def test_every_room_has_a_floor() -> None:
    assert sorted(" ".join(FLOORS).split()) == sorted(GRAPH.keys() - {"__init__", "__main__"})


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_imports_run_one_way(floor: int) -> None:
    below = set(" ".join(FLOORS[:floor]).split()) | {"__init__"}
    for room in FLOORS[floor].split():
        assert GRAPH[room] <= below, room


def test_core_stands_on_its_own() -> None:
    assert reaches("core") <= {"config", "io", "plots", "types", "classifiers"}


def test_no_part_needs_itself() -> None:
    assert [name for name in GRAPH if name in reaches(name)] == []


@pytest.mark.parametrize("folder", ["methods", "metrics"])
def test_methods_and_metrics_do_not_import_each_other(folder: str) -> None:
    allowed = (f"rather.{folder}.features", f"rather.{folder}.registry")
    for file in (HOME / folder).glob("[a-z]*.py"):
        names = (name for name in imported(parse(file)) if name.startswith(f"rather.{folder}"))
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
