"""Write the parts of the documentation that the code knows: `python docs/make.py`; a test holds them to it."""

from __future__ import annotations

from pathlib import Path

from rather.errors import CODES
from rather.methods import list_methods

ROOT = Path(__file__).parent.parent
START, END = "<!-- methods: from `rather list methods` -->\n", "<!-- end -->"


def errors() -> str:
    """Every code, its exit code and its meaning."""
    rows = "\n".join(f"| `{code}` | {exit_code} | {what} |" for code, (exit_code, what) in CODES.items())
    return (
        "# What went wrong\n\n"
        "Made by `python docs/make.py`. An error is one line on standard error: `rather: error CODE: what: where (why). do.`\n\n"
        "| exit code | meaning |\n|---|---|\n"
        "| 0 | every image has an outcome: found, not found, or skipped because it was at its target already |\n"
        "| 1 | a fault of ours, with a traceback: please report it |\n"
        "| 2 | usage: a name, a value or a file of yours; nothing was computed |\n"
        "| 3 | finished, but some images failed; the table, the report and the run say which and why |\n"
        "| 4 | refused before computing: classifier, data or method |\n"
        "| 5 | the machine: disk, memory, permission; the same command goes on later |\n"
        "| 6 | the run's folder is in use, damaged, or belongs to another question |\n"
        "| 130, 143 | interrupted; the same command goes on |\n\n"
        "Codes of images (`IMG-...`) are in the row of that image; the others end the command. Rows that are not found say\n"
        "`BUDGET` (the search ended first) or `LOST-IN-SAVING` (found, but not any more in 8 bits); rows that are skipped say\n"
        "`ALREADY-TARGET`; a search that left the finite numbers says `NONFINITE`.\n\n"
        f"| code | exit code | what |\n|---|---|---|\n{rows}\n"
    )


def readme(text: str) -> str:
    """README with the table of methods."""
    before, rest = text.split(START)
    after = rest.partition(END)[2]
    rows = "\n".join(f"| `{name}` | {line} |" for name, line in sorted(list_methods().items()))
    return f"{before}{START}| method | what it is |\n|---|---|\n{rows}\n{END}{after}"


def pages() -> dict[Path, str]:
    """Each page that is made, with what it should hold."""
    front = ROOT / "README.md"
    return {ROOT / "docs/errors.md": errors(), front: readme(front.read_text("utf-8"))}


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, "utf-8")
