"""The house: who may import whom, and habits that keep it readable. Read from the files; nothing is run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import rather

HOME = Path(rather.__file__).parent
FILES = sorted(HOME.rglob("*.py"))

#: From the bottom up: a part knows, by whatever it imports, nothing of those above it. A part that is not
#: named serves others and is as high as what it imports.
STAGES = (
    {"errors", "suggest"},
    {"core"},
    {"search", "losses", "best", "references", "nets"},
    {"diffusion", "generators"},
    {"latents"},
    {"features", "methods", "metrics"},
    {"data"},
    {"runs"},
    {"pages"},
    {"explain", "bench", "audit", "explorer", "study"},
    {"commands"},
    {"cli"},
)
#: A result draws itself; that is imported when it does.
EXEMPT = {("core", "draw"), ("core", "png")}


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
    return {other for other in parts - {part(file)} if (part(file), other) not in EXEMPT}


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


@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_imports_run_one_way(stage: int) -> None:
    above = set[str]().union(*STAGES[stage + 1 :])
    for name in STAGES[stage] & GRAPH.keys():
        assert reaches(name) & above == set(), name


def test_every_stage_is_there() -> None:
    assert set[str]().union(*STAGES) - GRAPH.keys() == {"explorer", "study"}  # still to come


def test_core_stands_on_its_own() -> None:
    assert reaches("core") <= {"errors", "suggest", "settings"}


def test_no_part_needs_itself() -> None:
    assert [name for name in GRAPH if name in reaches(name)] == []


@pytest.mark.parametrize("folder", ["methods", "metrics"])
def test_methods_and_metrics_do_not_import_each_other(folder: str) -> None:
    for file in (HOME / folder).glob("[a-z]*.py"):
        mine = f"rather.{folder}"
        assert [name for name in imported(parse(file)) if name.startswith(mine)] == [], file.name


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
