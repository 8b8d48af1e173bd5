"""A benchmark from its spec to its tables: what `rather bench` does, as one function."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from rather.bench.figures import Figure, figures_of
from rather.bench.measures import MEASURES
from rather.bench.plan import Absent, Progress, Unit, plan, run_pending
from rather.bench.scoring import score_all
from rather.bench.spec import Spec, read_spec
from rather.bench.tables import formats
from rather.io.writing import check_writable, write_whole, writing
from rather.report.benchmark import page
from rather.runs.store import STATUSES

RUNS: Final = Path("runs")


@final
@dataclass(frozen=True, kw_only=True)
class Benched:
    """An answered and measured benchmark."""

    folder: Path
    page: Path  # to open
    spec: Spec
    units: tuple[Unit, ...]
    figures: tuple[Figure, ...]
    absent: tuple[Absent, ...]
    counts: Mapping[str, int]  # of each status, in all runs
    notes: tuple[str, ...]
    seconds: float  # of this call
    working: float  # seconds of it that the runs took


def bench(
    asked: str | Spec,
    *,
    given: Mapping[str, str] | None = None,
    out: Path | None = None,
    runs: Path = RUNS,
    trust: Sequence[str] = (),
    progress: Progress = lambda _done, _asked: None,
) -> Benched:
    """Answer, measure and tell a benchmark.

    The same call again goes on where an interrupted one was. A run is a folder of `runs`, named by what it
    asks: whatever benchmark asks the same finds it.

    Args:
        asked: a benchmark of the package by its name, a file's path, or what such a file says.
        given: what stands for each `{NAME}` of the file.
        out: the folder for tables and page; by default `bench-NAME` in `runs`.
        runs: the folder that has the runs.
        trust: sha256 sums of code that may be run.
        progress: told (rows done, rows asked).

    Raises:
        RatherError: for a mistake of the spec, a net or data that cannot be used, or the machine.
    """
    began = time.monotonic()
    spec = read_spec(asked, given) if isinstance(asked, str) else asked
    folder = out or runs / f"bench-{spec.name}"
    for place in (folder, runs):
        check_writable(place)
    planned = plan(spec, runs, trust)
    units, broken, working = run_pending(planned.units, progress)
    columns = {column for name in spec.measures or MEASURES for column in MEASURES[name].columns}
    scores = score_all(units, columns)
    figures, unmeasured = figures_of(units, scores, spec.measures)
    absent = (*planned.absent, *broken, *unmeasured)
    told = {
        "spec": spec.model_dump(mode="json"),
        "runs": [{"task": u.task, "method": u.method, "seed": u.seed, "run": str(u.run.folder)} for u in units],
        "absent": [vars(one) for one in absent],
    }
    with writing(folder):
        write_whole(folder / "bench.json", json.dumps(told, indent=1).encode())
        for file, make in formats(figures, absent, spec.name).items():
            write_whole(folder / file, make())
        write_whole(folder / "index.html", page(spec, units, figures, absent).encode())
    counts = [unit.run.counts() for unit in units]
    return Benched(
        folder=folder,
        page=folder / "index.html",
        spec=spec,
        units=tuple(units),
        figures=tuple(figures),
        absent=absent,
        counts={status: sum(one[status] for one in counts) for status in STATUSES},
        notes=planned.notes,
        seconds=time.monotonic() - began,
        working=working,
    )
