"""Write the tables that the code knows into the pages: `python docs/make.py`; a test holds them to it."""

from __future__ import annotations

from pathlib import Path

from rather.errors import CODES
from rather.methods import list_methods

ROOT = Path(__file__).parent.parent


def errors() -> str:
    """Every code, its exit code and its meaning."""
    rows = "".join(f"| `{code}` | {exit_code} | {what} |\n" for code, (exit_code, what) in CODES.items())
    return f"| code | exit code | what |\n|---|---|---|\n{rows}"


def methods() -> str:
    """Every method and the first line of its file."""
    rows = "".join(f"| `{name}` | {line} |\n" for name, line in sorted(list_methods().items()))
    return f"| method | what it is |\n|---|---|\n{rows}"


def filled(page: Path, name: str, table: str) -> str:
    """The page with a table between its two marks."""
    start = f"<!-- made by docs/make.py: {name} -->\n"
    before, _, rest = page.read_text("utf-8").partition(start)
    return f"{before}{start}{table}<!-- end -->{rest.partition('<!-- end -->')[2]}"


def pages() -> dict[Path, str]:
    """Each page that holds such a table, as it should be."""
    front, codes = ROOT / "README.md", ROOT / "docs" / "errors.md"
    return {front: filled(front, "methods", methods()), codes: filled(codes, "errors", errors())}


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, "utf-8")
