"""Whoever installs the package gets what it imports: pyproject.toml beside the imports of all its files."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
#: Modules whose distribution has another name.
NAMES = {"PIL": "pillow"}
#: What a reader may ask for; `dev` is for those who change the package, and nothing in it may need that.
EXTRAS = PROJECT["optional-dependencies"].keys() - {"dev"}


def named(requirements: list[str]) -> set[str]:
    """Names of distributions, as they compare: `MarkupSafe>=3.0` is markupsafe."""
    return {re.split(r"[^\w.-]", one)[0].lower().replace("_", "-") for one in requirements}


def imported(node: ast.AST, *, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Distributions of others that are imported, and whether only where a function runs."""
    inside |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    modules = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = [str(node.module)]
    for top in {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"rather"}:
        yield NAMES.get(top, top).replace("_", "-"), inside
    for child in ast.iter_child_nodes(node):
        yield from imported(child, inside=inside)


IMPORTED = {
    each
    for file in (ROOT / "src").rglob("*.py")
    for each in imported(ast.parse(file.read_text("utf-8"), filename=str(file)))
}
DEPENDENCIES = named(PROJECT["dependencies"])
OPTIONAL = named([one for extra in EXTRAS for one in PROJECT["optional-dependencies"][extra]])


def test_what_is_imported_is_what_is_declared():
    assert {name for name, _ in IMPORTED} == DEPENDENCIES | OPTIONAL


def test_what_is_optional_is_imported_by_functions_alone():
    assert {name for name, inside in IMPORTED if not inside} <= DEPENDENCIES


def test_what_is_needed_has_a_tested_version_and_that_is_new_enough():
    lines = (ROOT / "constraints.txt").read_text("utf-8").split()
    pins = {next(iter(named([line]))): version(line.partition("==")[2]) for line in lines}
    bounds = [one.split(">=") for one in PROJECT["dependencies"]]
    assert {name: pins.get(name) for name, least in bounds if pins.get(name, ()) < version(least)} == {}


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def test_imports_are_found_wherever_they_stand():
    code = """
import os, PIL.Image
if TYPE_CHECKING:
    from annotated_types import Gt
class A:
    def f(self):
        with extra():
            import timm.data
        from rather import b
"""
    expected = {("pillow", False), ("annotated-types", False), ("timm", True)}
    assert set(imported(ast.parse(code))) == expected
