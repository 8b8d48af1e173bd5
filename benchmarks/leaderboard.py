"""Run `rather bench leaderboard`, whole or in part, and write docs/leaderboard.md and .json.

    python benchmarks/leaderboard.py                      # hours
    python benchmarks/leaderboard.py --count 30 --seeds 1 # about an hour
    python benchmarks/leaderboard.py --count 2 --seeds 1 --only digits --out FOLDER   # a check

The same command resumes an interrupted one. What stands above the tables in the page is kept.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
import torch

from rather.bench.run import RUNS, BenchResult, bench
from rather.bench.spec import Spec, read_spec
from rather.report.benchmark import write_page

DOCS: Final = Path(__file__).parent.parent / "docs"
MARK: Final = "<!-- below: made by benchmarks/leaderboard.py -->\n"
READING: Final = """\
# Leaderboard

How to read the tables: [bench.md](bench.md). Agreement with the papers: [claims.md](claims.md).

"""


def part_of(spec: Spec, asked: argparse.Namespace) -> Spec:
    """The spec with fewer images, seeds or datasets."""
    unknown = {*asked.only} - {data.label for data in spec.data}
    if unknown:
        raise SystemExit(f"no data {', '.join(sorted(unknown))}")
    data = tuple(data for data in spec.data if not asked.only or data.label in asked.only)
    update = {"count": asked.count or spec.count, "seeds": spec.seeds[: asked.seeds], "data": data}
    return spec.model_copy(update=update)


def command_of(asked: argparse.Namespace) -> str:
    """The command line without folders."""
    words = [f"--{name} {getattr(asked, name)}" for name in ("count", "seeds") if getattr(asked, name)]
    only = [f"--only {shlex.join(asked.only)}"] if asked.only else []
    return " ".join(["python benchmarks/leaderboard.py", *words, *only])


def write(result: BenchResult, command: str, folder: Path) -> None:
    """Write the JSON file, and the page below its mark."""
    spec = result.spec
    what = f"{spec.count} images of each data set, {len(spec.seeds)} seeds, {len(result.units)} runs"
    figures = pq.read_table(result.folder / "figures.parquet").to_pylist()
    head = json.dumps({"command": command, "asked": what, "columns": [*figures[0]]}, indent=1).rstrip("\n}")
    lines = ",\n".join(json.dumps([rounded(value) for value in one.values()]) for one in figures)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "leaderboard.json").write_text(f'{head},\n "figures": [\n{lines}\n]}}\n', "utf-8")
    page = folder / "leaderboard.md"
    reading = page.read_text("utf-8").partition(MARK)[0] if page.exists() else READING
    tables = (result.folder / "tables.md").read_text("utf-8").partition("\n")[2].lstrip("\n").replace("\n#", "\n##")
    page.write_text(f"{reading}{MARK}\n## The tables\n\nMade by `{command}`: {what}.\n\n{tables}", "utf-8")


def rounded(value: object) -> object:
    """Six digits are enough."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, help="images of each dataset")
    parser.add_argument("--seeds", type=int, help="number of seeds")
    parser.add_argument("--only", nargs="+", default=[], help="labels of the data")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--out", type=Path, default=DOCS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    spec = part_of(read_spec("leaderboard"), asked)
    result = bench(spec, runs=asked.runs, progress=lambda done, total: print(f"\r{done} of {total}", end=""))
    write_page(result)
    write(result, command_of(asked), asked.out)
    print(f"\n{asked.out / 'leaderboard.md'}, {result.page}")


if __name__ == "__main__":
    main()
