"""A benchmark from its spec to its tables: `rather bench`, as one function."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from rather.bench.batch import score_all
from rather.bench.plan import Progress, Skipped, Unit, plan, run_units
from rather.bench.results import Estimate, estimates_of
from rather.bench.spec import Spec, read_spec
from rather.bench.tables import formats
from rather.hub.metrics import metric_named
from rather.hub.trusted import allow
from rather.io.writing import check_writable, write_whole, writing
from rather.metrics import load_metrics
from rather.runs.store import STATUSES

RUNS: Final = Path("runs")


@final
@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """A benchmark whose runs are computed and measured."""

    folder: Path
    spec: Spec
    units: tuple[Unit, ...]
    estimates: tuple[Estimate, ...]
    skipped: tuple[Skipped, ...]
    counts: Mapping[str, int]  # of each status, in all runs
    notes: tuple[str, ...]
    seconds: float  # of this call

    @property
    def page(self) -> Path:
        """The page to open, once `rather.report.benchmark.write_page` has written it."""
        return self.folder / "index.html"


def bench(
    spec: str | Spec,
    *,
    given: Mapping[str, str] | None = None,
    out: Path | None = None,
    runs: Path = RUNS,
    trust: Sequence[str] = (),
    progress: Progress = lambda _done, _asked: None,
) -> BenchResult:
    """Compute the runs of a benchmark, measure them, and write its tables.

    The same call again continues where an interrupted one stopped. A run is a folder of `runs`, named by what it asks:
    another benchmark that asks the same uses it.

    Args:
        spec: the name of a benchmark of the package, a file's path, or the content of such a file.
        given: what stands for each `{NAME}` of the file.
        out: the folder for the tables; by default `bench-NAME` in `runs`.
        runs: the folder that has the runs.
        trust: sha256 sums of code that may be run.
        progress: it is called with (rows done, rows asked).

    Raises:
        RatherError: for a mistake of the spec, a net or data that cannot be used, or the machine.
    """
    began = time.monotonic()
    spec = read_spec(spec, given) if isinstance(spec, str) else spec
    folder = out or runs / f"bench-{spec.name}"
    for place in (folder, runs):
        check_writable(place)
    with allow(trust):
        metrics = [metric_named(name) for name in spec.metrics or load_metrics()]
        planned = plan(spec, runs, trust)
        units, broken = run_units(planned.units, progress)
    estimates, unmeasured = estimates_of(units, score_all(units, metrics), metrics)
    skipped = (*planned.skipped, *broken, *unmeasured)
    record = {
        "spec": spec.model_dump(mode="json"),
        "runs": [{"task": u.task, "method": u.method, "seed": u.seed, "run": str(u.run.folder)} for u in units],
        "skipped": [vars(one) for one in skipped],
    }
    with writing(folder):
        write_whole(folder / "bench.json", json.dumps(record, indent=1).encode())
        for file, make in formats(estimates, skipped, spec.name).items():
            write_whole(folder / file, make())
    counts = [unit.run.counts() for unit in units]
    return BenchResult(
        folder=folder,
        spec=spec,
        units=tuple(units),
        estimates=tuple(estimates),
        skipped=skipped,
        counts={status: sum(one[status] for one in counts) for status in STATUSES},
        notes=planned.notes,
        seconds=time.monotonic() - began,
    )
