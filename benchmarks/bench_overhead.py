"""What `rather bench` takes beside the methods themselves: docs/bench-overhead.md.

    python benchmarks/bench_overhead.py SPEC [--count 30] [--seeds 1] [--only LABEL ...] [--out FILE]

Processor time of each stage, of runs that are made now, in a folder that goes away. The methods' own time is
that of their calls; making their runs takes more, since each answer is saved as a picture, read back and
judged, as of `rather explain`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor

from leaderboard import smaller, typed
from rather.bench import scoring
from rather.bench.answers import Answers
from rather.bench.figures import figures_of
from rather.bench.plan import plan, work_off
from rather.bench.scoring import SCORES, score_all
from rather.bench.spec import read_spec
from rather.bench.tables import formats
from rather.core import Method
from rather.report.benchmark import page

TITLE = (
    "# What a benchmark takes beside its methods",
    "",
    "Processor time of each stage of `rather bench`. To save each answer, read it back and judge it is part",
    "of a run, whoever asks for it; the benchmark's own are the nets, the data, and what is made of scores.",
    "Scores are what the spec asks for, of which two ask a net often for each answer: COUT the classifier,",
    "once for each fiftieth of the pixels that have changed, survival of a filter a diffusion model. One",
    "measurement, without an interval. Written by",
    "",
)
#: What asks nets often, by score.
DEAR = {"cout": "scores: COUT", "survives_filter": "scores: survival of a filter"}
spent: dict[str, float] = {}
inside: list[Method] = []


@contextmanager
def timed(stage: str) -> Iterator[None]:
    began = time.process_time()
    yield
    spent[stage] = spent.get(stage, 0.0) + time.process_time() - began


def call(self: Method, *given: object, **more: object) -> object:
    if inside:  # a method that another one wraps
        return whole_call(self, *given, **more)
    inside.append(self)
    try:
        with timed("the methods' calls"):
            return whole_call(self, *given, **more)
    finally:
        inside.clear()


whole_call = Method.__call__
Method.__call__ = call  # type: ignore[method-assign, assignment] # to see what it takes, here only


def asking(of: Callable[[Answers], Tensor], stage: str) -> Callable[[Answers], Tensor]:
    """The same score, told apart."""

    def score(answers: Answers) -> Tensor:
        with timed(stage):
            return of(answers)

    return score


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("spec")
    words.add_argument("--count", type=int, help="images of each data set")
    words.add_argument("--seeds", type=int, help="how many")
    words.add_argument("--only", nargs="+", default=[], help="labels of the data")
    words.add_argument("--out", type=Path)
    asked = words.parse_args()
    torch.set_num_threads(1)
    spec = smaller(read_spec(asked.spec), asked.count, asked.seeds, asked.only)
    with tempfile.TemporaryDirectory() as folder:
        with timed("nets, data and targets"):
            planned = plan(spec, Path(folder))
        with timed("runs"):
            units, _, _ = work_off(planned.units, lambda _done, _asked: None)
        told = {name: one._replace(of=asking(one.of, DEAR[name])) for name, one in SCORES.items() if name in DEAR}
        with timed("scores"), patch.dict(scoring.SCORES, told):  # type: ignore[arg-type] # it is a dict
            scores = score_all(units)
        with timed("intervals and tests"):
            figures, absent = figures_of(units, scores, spec.measures)
        with timed("tables and page"):
            for make in formats(figures, absent, spec.name).values():
                make()
            page(spec, units, figures, absent)
        rows = sum(len(unit.run.ids) for unit in units)
    methods = spent.pop("the methods' calls")
    runs = spent.pop("runs")
    dear = {stage: spent.pop(stage, 0.0) for stage in DEAR.values()}
    scored = spent.pop("scores")
    stages = {
        "the methods' calls": methods,
        "the rest of their runs (pictures, judging, store)": runs - methods,
        **dear,
        "scores: all others": scored - sum(dear.values()),
        **spent,
    }
    command = " ".join(["python benchmarks/bench_overhead.py", asked.spec, *typed(asked)])
    lines = [*TITLE, f"    {command}", "", f"{len(units)} runs of {rows} rows in all, one thread.", ""]
    lines += ["| stage | seconds | of the methods' calls |", "|---|---:|---:|"]
    lines += [f"| {name} | {took:.2f} | {took / methods:.1%} |" for name, took in stages.items()]
    own = sum(spent.values())
    for name, took in (("the benchmark's own", own), ("with all scores", own + scored)):
        lines += [f"| **{name}** | {took:.2f} | {took / methods:.1%} |"]
    text = "\n".join(lines) + "\n"
    print(text)
    if asked.out:
        asked.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
