"""The leaderboard: `rather bench leaderboard`, whole or light, as docs/leaderboard.md and .json.

    python benchmarks/leaderboard.py                      # hours
    python benchmarks/leaderboard.py --count 30 --seeds 1 # light: about an hour
    python benchmarks/leaderboard.py --count 2 --seeds 1 --only digits --out FOLDER   # does it work?

It goes on where it was stopped. What a person writes above the tables is kept.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, Final

import torch

from rather.bench.plan import Skipped
from rather.bench.results import Estimate
from rather.bench.run import RUNS, bench
from rather.bench.spec import Spec, read_spec
from rather.bench.tables import markdown
from rather.metrics import load_metrics
from rather.report.benchmark import write_page

DOCS: Final = Path(__file__).parent.parent / "docs"
MARK: Final = "<!-- below: made by benchmarks/leaderboard.py -->\n"
READING: Final = """\
# Leaderboard

How to read the tables: [bench.md](bench.md). Agreement with the papers: [claims.md](claims.md).

## What wins where

Not written yet.

## What is not significant

Not written yet.

## What was surprising

Not written yet.

"""
COLUMNS: Final = [field.name for field in fields(Estimate)]


def page(known: Mapping[str, Any], reading: str = READING) -> str:
    """The page of what was measured, below what a person has made of it."""
    load_metrics()
    figures = [Estimate(**dict(zip(known["columns"], one, strict=True))) for one in known["figures"]]
    skipped = [Skipped(**one) for one in known["skipped"]]
    made = f"Made by `{known['command']}`: {known['asked']}.\n\n"
    tables = markdown(figures, skipped, "The tables").replace("\n#", "\n##")
    return f"{reading.partition(MARK)[0]}{MARK}\n#{tables.partition(chr(10))[0]}\n\n{made}" + (
        tables.partition("\n")[2].lstrip("\n")
    )


def rounded(one: object) -> object:
    """Six digits are enough for a page."""
    return float(f"{one:.6g}") if isinstance(one, float) else one


def smaller(spec: Spec, count: int | None, seeds: int | None, only: list[str]) -> Spec:
    """Of fewer images, seeds or data."""
    wrong = {*only} - {asked.label for asked in spec.data}
    if wrong:
        raise SystemExit(f"no data {', '.join(sorted(wrong))}")
    return spec.model_copy(
        update={
            "count": count or spec.count,
            "seeds": spec.seeds[:seeds],
            "data": tuple(asked for asked in spec.data if not only or asked.label in only),
        }
    )


def typed(asked: argparse.Namespace) -> list[str]:
    """Which part of a spec was asked for, as it was typed."""
    said = [f"--{name} {getattr(asked, name)}" for name in ("count", "seeds") if getattr(asked, name)]
    return [*said, f"--only {shlex.join(asked.only)}"] if asked.only else said


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--count", type=int, help="images of each data set")
    words.add_argument("--seeds", type=int, help="how many")
    words.add_argument("--only", nargs="+", default=[], help="labels of the data")
    words.add_argument("--runs", type=Path, default=RUNS)
    words.add_argument("--out", type=Path, default=DOCS)
    asked = words.parse_args()
    torch.set_num_threads(1)
    spec = smaller(read_spec("leaderboard"), asked.count, asked.seeds, asked.only)
    benched = bench(spec, runs=asked.runs, progress=lambda done, of: print(f"\r{done} of {of}", end=""))
    write_page(benched)
    known = {
        "command": " ".join(["python benchmarks/leaderboard.py", *typed(asked)]),
        "asked": f"{spec.count} images of each data set, {len(spec.seeds)} seeds, {len(benched.units)} runs",
        "skipped": [vars(one) for one in benched.skipped],
        "columns": COLUMNS,
        "figures": [[rounded(value) for value in astuple(figure)] for figure in benched.estimates],
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(one) for one in known.pop("figures"))  # type: ignore[attr-defined]
    head = json.dumps(known, indent=1).rstrip("\n}")
    (asked.out / "leaderboard.json").write_text(f'{head},\n "figures": [\n{lines}\n]}}\n', "utf-8")
    known = json.loads((asked.out / "leaderboard.json").read_text("utf-8"))
    file = asked.out / "leaderboard.md"
    file.write_text(page(known, file.read_text("utf-8") if file.exists() else READING), "utf-8")
    print(f"\n{file}, {benched.page}", file=sys.stderr)


if __name__ == "__main__":
    main()
