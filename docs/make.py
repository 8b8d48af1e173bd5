"""Write the tables that the code knows into the pages: `python docs/make.py`; a test holds them to it."""

from __future__ import annotations

from pathlib import Path

from rather.commands.listing import needs
from rather.config.errors import CODES
from rather.hub.generators import list_generators
from rather.hub.methods import list_methods
from rather.hub.presets import list_presets, preset
from rather.metrics import list_metrics

ROOT = Path(__file__).parent.parent


def errors() -> str:
    """Every code, its exit code and its meaning."""
    rows = "".join(f"| `{code}` | {exit_code} | {what} |\n" for code, (exit_code, what) in CODES.items())
    return f"| code | exit code | what |\n|---|---|---|\n{rows}"


def methods() -> str:
    """Every method, the first line of its file, and what it needs besides a classifier."""
    rows = "".join(
        f"| `{name}` | {line} | {' and '.join(needs(name)) or 'nothing'} |\n"
        for name, line in sorted(list_methods().items())
    )
    return f"| method | what it does | needs |\n|---|---|---|\n{rows}"


def presets() -> str:
    """Every preset with its method, which is the innermost one where methods wrap others; grouped by that."""

    def method(name: str) -> str:
        plan = preset(name) or {}
        while "method" in plan:
            plan = plan["method"]
        return str(plan["name"])

    named = sorted((method(name), name, line) for name, line in list_presets().items())
    rows = "".join(f"| `{of}` | `{name}` | {line} |\n" for of, name, line in named)
    return f"| method | preset | what it is |\n|---|---|---|\n{rows}"


def generators() -> str:
    """Every kind of generator and the first line of its file."""
    rows = "".join(f"| `{name}` | {line} |\n" for name, line in sorted(list_generators().items()))
    return f"| `rather train` | what it is |\n|---|---|\n{rows}"


def metrics() -> str:
    """Every metric by the question that its file answers."""
    parts, home = [""], ""
    for metric in list_metrics().values():
        if metric.home != home:
            home = metric.home
            question = (ROOT / "src/rather/metrics" / f"{home}.py").read_text("utf-8").partition("\n")[0].strip('"')
            parts += [f"## {question}", "", f"In `rather.metrics.{home}`:", ""]
        what = metric.what.removesuffix(".").replace("|", "\\|")
        parts.append(f"- **`{metric.name}`** ({metric.title}), {metric.better} is better: {what}.")
        parts += [f"  - {word.capitalize()}: {getattr(metric, word)}." for word in ("unit", "source", "avoids")]
    return "\n".join(parts).replace("\n## ", "\n\n## ") + "\n\n"


def filled(text: str, name: str, table: str) -> str:
    """The text with a table between its two marks."""
    start = f"<!-- made by docs/make.py: {name} -->\n"
    before, _, rest = text.partition(start)
    return f"{before}{start}{table}<!-- end -->{rest.partition('<!-- end -->')[2]}"


def pages() -> dict[Path, str]:
    """Each page that holds such tables, as it should be."""
    tables = {
        "methods.md": {"methods": methods, "presets": presets, "generators": generators},
        "errors.md": {"errors": errors},
        "metrics.md": {"metrics": metrics},
    }
    found = {}
    for name, made in tables.items():
        page = ROOT / "docs" / name
        text = page.read_text("utf-8")
        for mark, table in made.items():
            text = filled(text, mark, table())
        found[page] = text
    return found


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, "utf-8")
