"""Kill a run (kill -9) at random moments, repeat its command, and compare the rows with those of a whole run.

    python benchmarks/kills.py --kills 50 --rows 500

A run that ends is deleted and started again, so that every kill hits one that works. `--write` writes docs/kills.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rather.runs.store import Row, Run


def command(run: Path, rows: int) -> list[str]:
    """500 rows in chunks of 8: many commits, so that many kills fall into one."""
    options = ["--data", "digits", "--count", str(rows), "--method", "wachter", "--target", "random"]
    return [sys.executable, "-m", "rather", "explain", *options, "--batch-size", "8", "--out", str(run), "--json"]


def rows_of(run: Path) -> dict[str, Row]:
    """All that is stored, without the times."""
    stored = [dataclasses.replace(row, seconds=0.0) for row in Run.open(run).rows()]
    assert len({row.id for row in stored}) == len(stored), "a row is doubled"
    return {row.id: row for row in stored}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write docs/kills.md")
    args = parser.parse_args()
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, run = Path(folder, "whole"), Path(folder, "run")
        began = time.monotonic()
        subprocess.run(command(whole, args.rows), check=True, capture_output=True)
        takes = time.monotonic() - began
        truth = rows_of(whole)
        kills = finished = lost = different = 0
        safe: dict[str, Row] = {}
        while kills < args.kills or finished == 0 or len(safe) < args.rows:
            process = subprocess.Popen(command(run, args.rows), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(draw.uniform(0, takes) if kills < args.kills else None)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
            stored = rows_of(run) if (run / "run.json").exists() else {}
            lost += sum(row not in stored for row in safe)
            different += sum(truth[row] != stored[row] for row in stored)
            safe = stored
            print(f"{kills} kills, {len(stored)} of {args.rows} rows stored, {finished} runs finished")
            if len(stored) == args.rows and kills < args.kills:
                finished += 1
                shutil.rmtree(run)
                safe = {}
            elif len(stored) == args.rows:
                finished += 1
        print(f"rows lost {lost}, different {different}, of {args.rows}; doubled 0 (asserted)")
        if args.write:
            lines = (
                "# Kill -9 at random moments\n",
                f"`python benchmarks/kills.py --kills {args.kills} --rows {args.rows} --write`\n",
                f"{kills} kills of a {args.rows}-row run, each followed by the same command;",
                f"{finished} runs came to their end. Rows lost: {lost}; doubled: 0; different from",
                f"the undisturbed run (pixels, probabilities, steps, all but seconds): {different}.\n",
            )
            Path("docs/kills.md").write_text("\n".join(lines), "utf-8")
        sys.exit(bool(lost or different))


if __name__ == "__main__":
    main()
