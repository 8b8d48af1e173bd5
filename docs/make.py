"""Write the tables that the code knows into the pages: `python docs/make.py`; a test holds them to it."""

from __future__ import annotations

from pathlib import Path

from rather.config.errors import CODES
from rather.hub.generators import list_generators
from rather.hub.methods import list_methods
from rather.hub.presets import list_presets
from rather.metrics import list_metrics

ROOT = Path(__file__).parent.parent


def errors() -> str:
    """Every code, its exit code and its meaning."""
    rows = "".join(f"| `{code}` | {exit_code} | {what} |\n" for code, (exit_code, what) in CODES.items())
    return f"| code | exit code | what |\n|---|---|---|\n{rows}"


def methods() -> str:
    """Every method and the first line of its file; presets, which are methods with settings."""
    presets = {name: f"Preset. {line}." for name, line in list_presets().items()}
    named = sorted(list_methods().items()) + sorted(presets.items())
    rows = "".join(f"| `{name}` | {line} |\n" for name, line in named)
    return f"| method | what it is |\n|---|---|\n{rows}"


def generators() -> str:
    """Every kind of generator and the first line of its file."""
    rows = "".join(f"| `{name}` | {line} |\n" for name, line in sorted(list_generators().items()))
    return f"| `rather train` | what it is |\n|---|---|\n{rows}"


def metrics() -> str:
    """Every metric by the question that it answers, as its docstring tells it."""
    better = {True: "higher is better", False: "lower is better", None: "neither is better"}
    parts, home = [""], ""
    for metric in list_metrics().values():
        if metric.home != home:
            home = metric.home
            parts += [f"## {metric.question}", "", f"In `rather.metrics.{home}`:", ""]
        what = metric.what.rpartition(" (")[0].replace("|", "\\|")
        parts.append(f"- **`{metric.name}`**, {better[metric.higher_is_better]}: {what}.")
        for word in ("unit", "source", "avoids"):
            if told := getattr(metric, word):
                parts.append(f"  - {word.capitalize()}: {told}")
    return "\n".join(parts).replace("\n## ", "\n\n## ") + "\n\n"


def filled(text: str, name: str, table: str) -> str:
    """The text with a table between its two marks."""
    start = f"<!-- made by docs/make.py: {name} -->\n"
    before, _, rest = text.partition(start)
    return f"{before}{start}{table}<!-- end -->{rest.partition('<!-- end -->')[2]}"


def pages() -> dict[Path, str]:
    """Each page that holds such a table, as it should be."""
    front, codes = ROOT / "README.md", ROOT / "docs" / "errors.md"
    front_text = filled(filled(front.read_text("utf-8"), "methods", methods()), "generators", generators())
    measures = ROOT / "docs" / "metrics.md"
    return {
        front: front_text,
        codes: filled(codes.read_text("utf-8"), "errors", errors()),
        measures: filled(measures.read_text("utf-8"), "metrics", metrics()),
    }


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, "utf-8")
