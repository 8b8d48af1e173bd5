"""The command `rather bench`; loaded when asked for."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rather.config.errors import SOME_FAILED, RatherError


def bench(
    spec: str,
    /,
    *,
    with_: Annotated[list[str] | None, Parameter(name="--with", negative=())] = None,
    out: Path | None = None,
    runs: Path = Path("runs"),
    trust: Annotated[list[str] | None, Parameter(negative=())] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Compare methods on data, classifiers and seeds: runs, tables with intervals and tests, and a page.

    The same command again goes on where it was, and no run is made twice.

    Args:
        spec: A benchmark of the package (`rather list benches`), or a file SPEC.toml.
        with_: What stands for {NAME} in the spec, NAME=VALUE, such as a folder of data; may be given again.
        out: The folder for the tables and the page; by default one in that of the runs.
        runs: The folder that has the runs, of this benchmark and of others.
        trust: sha256:HASH of code that may be run; may be given again.
        json: Print one JSON object and nothing else.
    """
    from rather.bench.bench import bench as work_off
    from rather.bench.terminal import summary
    from rather.commands.terminal import progress_bar

    given = {}
    for pair in with_ or []:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise RatherError("CFG-OPTIONS", where=f"--with {pair}", why="not of the form NAME=VALUE")
        given[name] = value
    with progress_bar("benchmark", shown=not json) as progress:
        benched = work_off(spec, given=given, out=out, runs=runs, trust=trust or (), progress=progress)
    for note in benched.notes:
        print(f"rather: note: {note}", file=sys.stderr)
    if json:
        told = {
            "bench": str(benched.folder),
            "page": str(benched.page),
            "runs": len(benched.units),
            "queries": sum(len(unit.run.ids) for unit in benched.units),
            **benched.counts,
            "absent": [vars(one) for one in benched.absent],
            "seconds": round(benched.seconds, 3),
        }
        print(jsonlib.dumps(told))
    else:
        summary(benched)
    return SOME_FAILED if benched.counts["failed"] else 0
