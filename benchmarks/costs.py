"""Measure what a picture takes by each method, for `rather list methods`.

    python benchmarks/costs.py [--only NAME ...]

Each method and preset explains four bundled pictures, twice, in a process with one thread; the second time counts, and
of it the mean over the pictures, times the share of a core that the process had. It takes the better part of an hour
of one core, and writes commands/costs.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from golden import METHODS

FILE = Path(__file__).parent.parent / "src" / "rather" / "commands" / "costs.json"
ROWS = 4


def rather(*words: str) -> str:
    """What a command prints."""
    fixed = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "rather", *words], capture_output=True, text=True, check=True, env=fixed
    ).stdout


def cpu_seconds() -> float:
    """What the commands that have ended used of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(name: str) -> dict[str, float]:
    """Seconds a picture, and the side of the pictures in pixels."""
    options = f"{METHODS.get(name, '').replace('--count 4', '')} --count {ROWS}".split()
    with tempfile.TemporaryDirectory() as folder:
        for run in ("first", "second"):
            start, used = time.monotonic(), cpu_seconds()
            rather("explain", "--method", name, *options, "--out", f"{folder}/{run}", "--json")
            share = min(1.0, (cpu_seconds() - used) / (time.monotonic() - start))
        rather("export", f"{folder}/second", "--parquet", f"{folder}/rows.parquet")
        taken = [one for one in pq.read_table(f"{folder}/rows.parquet")["seconds"].to_pylist() if one]
    seconds = share * sum(taken) / len(taken)
    return {"seconds": float(f"{seconds:.2g}"), "pixels": 64 if "faces" in " ".join(options) else 28}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*")
    only = parser.parse_args().only
    names = only or [one["name"] for one in json.loads(rather("list", "methods", "--json"))]
    costs = json.loads(FILE.read_text("utf-8"))
    for name in names:
        costs[name] = measured(name)
        print(name, costs[name])
        FILE.write_text(json.dumps(dict(sorted(costs.items())), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
