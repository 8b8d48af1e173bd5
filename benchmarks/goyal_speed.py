"""Goyal's exhaustive search against the naive loop: the same edits, and how much faster.

    python benchmarks/goyal_speed.py [--head NAME ...] [--pairs 200] [--rounds 5] [--json FILE] [--write]

The naive loop is the paper's: for each edit it puts together all n * n candidate maps and asks the head about
all of them at once. First every edit of every pair is held to the loop's, and all scores of the first ones; a
head that fails there has no speed. Then, in the same process, the loop and the search take turns on the same
pairs, timed by the processor time of one thread; reported is the median of the rounds' ratios, and its range.
`--write` puts the figures into docs/goyal-speed.json, and makes docs/goyal-speed.md of all that is there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rather.core import Goal, Noise
from rather.data.source import read_all
from rather.feature_cells.cell_editor import CellEditor, Prescreen, cell_editor
from rather.feature_cells.edits import first_best
from rather.feature_cells.sequential import EditSequence, sequential_search
from rather.hub.classifiers import load_classifier
from rather.hub.datasets import load_dataset
from rather.search.references import References

DOCS = Path(__file__).parent.parent / "docs"
TOLERANCE = 1e-4  # of a log-probability
STYLE = 0.3  # in units of the noise
SHORTEST = 0.2  # seconds that are timed, at least; what takes less is repeated


@dataclass(frozen=True)
class Case:
    """A head, and pairs of maps whose decision is to change."""

    what: str
    head: nn.Module
    query: Tensor
    distractor: Tensor
    goal: Goal
    floor: float  # the ratio that is asked for
    at_most: int | None = None  # edits of a pair that are held to the loop's; None for all
    together: int = 200  # pairs of a round
    screen: Prescreen = "none"

    def __getitem__(self, rows: Tensor) -> Case:
        return replace(self, query=self.query[rows], distractor=self.distractor[rows], goal=self.goal[rows])

    def prepare(self) -> CellEditor:
        """What a call does before the first pair."""
        d, u, v = self.query.shape[1:]
        return cell_editor(self.head, (d, u, v), self.screen)

    def search(self, at_most: int | None = None) -> EditSequence:
        """A call."""
        return sequential_search(self.prepare(), self.query, self.distractor, self.goal, at_most=at_most)


def digit(pairs: int) -> Case:
    """Test digits, random target classes, and distractors drawn from the training digits."""
    net, data = load_classifier("digits"), load_dataset("digits")
    assert data.train is not None
    x, places = read_all(data.test, range(pairs))
    others, theirs = read_all(data.train, range(2000))
    noise = Noise(0, [data.test.id(i) for i in places])
    predicted = net.probabilities(x).argmax(1)
    target = (predicted + 1 + noise.choice(torch.full_like(predicted, 9))) % 10
    references = References(others, tuple(data.train.id(i) for i in theirs))
    chosen = references.choose(net, x, target, noise, "random")
    return Case(
        "the trained digit net, 4x4x20 -> 50 -> 10, on digits",
        net.head,
        net.features(x),
        net.features(others[chosen]),
        Goal.criticism(target),
        floor=6,
    )


def vgg(pairs: int, active: float | None, screen: Prescreen = "none") -> Case:
    """The classifier of VGG-16, for 200 classes."""
    torch.manual_seed(0)
    fc6, fc7, fc8 = nn.Linear(7 * 7 * 512, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 200)
    layers = fc6, nn.ReLU(), nn.Dropout(), fc7, nn.ReLU(), nn.Dropout(), fc8
    head = random(nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten(), *layers))
    what = "VGG-16, 7x7x512 -> 4096 -> 4096 -> 200, random weights"
    if active is not None:
        some = fc6(features(512, 32, 1).flatten(1)).flatten()
        fc6.bias -= some.kthvalue(int((1 - active) * len(some))).values
        what += f", fc6 biased to be {active:.0%} active, as in trained nets"
    floor = 20 if screen == "bf16" else 10 if active else 7
    return pair(what, head, 512, pairs, floor=floor, together=4, screen=screen)


def pooled(pairs: int) -> Case:
    """The classifier of a ResNet-50, for 200 classes."""
    torch.manual_seed(0)
    head = random(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 200)))
    what = "pooled linear, 7x7x2048 -> 200, random weights"
    return pair(what, head, 2048, pairs, floor=1000, together=16)


def random(head: nn.Module) -> nn.Module:
    """He's weights, which keep the spread of what goes through ReLUs, and no biases."""
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return head.eval().requires_grad_(requires_grad=False)


def features(d: int, count: int, seed: int) -> Tensor:
    """Maps after a ReLU, 31 % above zero: noise, and a style of each map that its cells share.

    Without a style a pooled head changes its decision after 2 or 3 edits; with it, after as many as Goyal et
    al. report of birds, 5 to 7.
    """
    g = torch.Generator().manual_seed(seed)
    shared = STYLE * torch.randn(count, d, 1, 1, generator=g)
    return (torch.randn(count, d, 7, 7, generator=g) + shared - 0.5).relu()


def pair(what: str, head: nn.Module, d: int, pairs: int, **rest: Any) -> Case:
    """Queries and distractors of random features whose classes differ."""
    query, distractor = features(d, 2 * pairs, 2), features(d, 2 * pairs, 3)
    mine, theirs = (torch.cat([head(p).argmax(1) for p in maps.split(64)]) for maps in (query, distractor))
    rows = (mine != theirs).nonzero()[:pairs, 0]
    return Case(what, head, query[rows], distractor[rows], Goal.criticism(theirs[rows]), **rest)


HEADS: dict[str, Callable[[int], Case]] = {
    "digit": digit,
    "pooled": pooled,
    "vgg-sparse": lambda pairs: vgg(pairs, 0.2),
    "vgg-dense": lambda pairs: vgg(pairs, None),
    "vgg-sparse-bf16": lambda pairs: vgg(pairs, 0.2, "bf16"),
}


@dataclass
class Naive:
    """What the loop finds for one pair."""

    edits: list[list[int]]
    log_p: list[float]  # after each edit
    first: Tensor  # scores of the first edit
    seconds: float  # until it was made
    ties: int  # edits that a bare argmax, which rounding decides, would not have made


def naive(case: Case, at_most: int | None = None) -> Naive:
    """Algorithm 1 to the letter, on the one pair of the case; the candidates of an edit are one batch."""
    maps, other = case.query[0].flatten(1).clone(), case.distractor[0].flatten(1)
    n, (target,) = maps.shape[1], case.goal.target.tolist()
    may = torch.ones(1, n, n, dtype=torch.bool)
    found, began = Naive([], [], torch.empty(0), 0.0, 0), time.process_time()
    while len(found.edits) != at_most and may.any():
        if case.goal.reached(case.head(maps.view_as(case.query))).all():
            break
        candidates = maps.repeat(n, n, 1, 1)
        candidates.diagonal(dim1=0, dim2=3).copy_(other.T[:, :, None])
        log_p = case.head(candidates.view(n * n, *case.query.shape[1:])).log_softmax(1)
        scores = log_p[:, target].view(1, n, n)
        i, j = first_best(scores, may)[0].tolist()
        found.ties += int(scores.masked_fill(~may, -torch.inf).argmax() != i * n + j)
        if not found.edits:
            found.first, found.seconds = scores[0], time.process_time() - began
        found.edits.append([i, j])
        found.log_p.append(float(scores[0, i, j]))
        maps[:, i] = other[:, j]
        may[0, i] = may[0, :, j] = False
    return found


def one_by_one(case: Case) -> list[Case]:
    return [case[torch.tensor([row])] for row in range(len(case.goal))]


def check(case: Case) -> dict[str, Any]:
    """Every edit, and every score of the first ones, against the loop's.

    Raises:
        SystemExit: if one differs.
    """
    how, trail = case.prepare(), case.search(case.at_most)
    edits = ties = 0
    error = torch.zeros(1)
    for row, one in enumerate(one_by_one(case)):
        truth = naive(one, case.at_most)
        same(trail, row, truth.edits)
        path = trail.log_probability[row, 1 : len(truth.edits) + 1] - torch.tensor(truth.log_p)
        scores = how.start(one.query, one.distractor).scores(one.goal.target, truth.first.isfinite()[None])[0]
        first = (scores - truth.first)[scores.isfinite()]  # a screen leaves out what cannot be the best
        error = torch.cat([error, path.abs(), first.abs().float()]).amax(0, keepdim=True)
        edits, ties = edits + len(truth.edits), ties + truth.ties
        if sys.stderr.isatty() or (row + 1) % 20 == 0:
            print(f"  {row + 1} of {len(case.goal)} pairs, {edits} edits: the same", file=sys.stderr)
    if error > TOLERANCE:
        sys.exit(f"log-probabilities differ by {error:.1e}")
    return {"pairs": len(case.goal), "edits": edits, "at_most": case.at_most, "ties": ties, "max_dlogp": float(error)}


def same(trail: EditSequence, row: int, truth: list[list[int]]) -> None:
    made = trail.edits[row, : trail.count[row]].tolist()
    if made != truth:
        sys.exit(f"pair {row}: the edits are {made}, the loop makes {truth}")


def seconds(run: Callable[[], object]) -> float:
    """Processor time of a run, which is repeated if it is short."""
    began, times = time.process_time(), 0
    while not times or time.process_time() - began < SHORTEST:
        run()
        times += 1
    return (time.process_time() - began) / times


def race(case: Case, rounds: int) -> dict[str, Any]:
    """The loop, and the search before and after it, on the same pairs: a call for all, and one for each."""
    loop, together, alone, first, edits = [], [], [], [], []
    for number in range(rounds):
        rows = torch.arange(number * case.together, (number + 1) * case.together) % len(case.goal)
        part, ones = case[rows], one_by_one(case[rows])
        trail, before = part.search(), seconds(part.search)
        began = time.process_time()
        truth = [naive(one) for one in ones]
        loop.append((time.process_time() - began) / len(rows))
        for row, found in enumerate(truth):
            same(trail, row, found.edits)
        together.append((before + seconds(part.search)) / 2 / len(rows))
        alone.append(seconds(lambda ones=ones: [one.search() for one in ones]) / len(rows))
        one_edit = statistics.mean(found.seconds for found in truth)
        first.append(one_edit / seconds(lambda part=part: part.search(1)) * len(rows))
        edits.append(float(trail.count.float().mean()))
        print(f"  round {number + 1}: {loop[-1] / together[-1]:.1f} times", file=sys.stderr)
    return {
        "rounds": rounds,
        "together": case.together,
        "mean_edits": statistics.mean(edits),
        "loop_ms": 1e3 * statistics.median(loop),
        "search_ms": 1e3 * statistics.median(together),
        "alone_ms": 1e3 * statistics.median(alone),
        "ratio": spread([a / b for a, b in zip(loop, together, strict=True)]),
        "ratio_alone": spread([a / b for a, b in zip(loop, alone, strict=True)]),
        "ratio_first": spread(first),
        "asked": case.floor,
    }


def spread(ratios: list[float]) -> list[float]:
    return [statistics.median(ratios), min(ratios), max(ratios)]


def box() -> dict[str, Any]:
    """What the figures depend on."""
    a = torch.randn(2048, 2048)
    peak = 2 * 2048**3 / min(seconds(lambda: a @ a) for _ in range(3)) / 1e9
    return {
        "processor": field("model name") or platform.processor(),
        "flags": [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in field("flags").split()],
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "gflops": round(peak),
        "torch": torch.__version__.partition("+")[0],
        "python": platform.python_version(),
    }


def field(name: str) -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def measured(name: str, pairs: int, rounds: int) -> dict[str, Any]:
    machine = box()
    print(f"{name}: {machine}", file=sys.stderr)
    if name.endswith("bf16") and "amx_bf16" not in machine["flags"]:
        return {"what": name, "box": machine, "skipped": "this processor has no bf16 matrix units (amx_bf16)"}
    case = HEADS[name](pairs)
    figures = {"what": case.what, "box": machine, **check(case)}
    return figures | (race(case, rounds) if rounds else {})


def speed(row: dict[str, Any]) -> str:
    if "ratio" not in row:
        return row.get("skipped", "not timed")
    (ratio, low, high), (alone, *_) = row["ratio"], row["ratio_alone"]
    first = f"with one edit only {row['ratio_first'][0]:,.1f} times; " if "ratio_first" in row else ""
    return (
        f"{ratio:,.1f} times ({low:,.1f} to {high:,.1f}), asked for {row['asked']:,}; "
        f"{row['loop_ms']:,.2f} -> {row['search_ms']:,.2f} ms for {row['mean_edits']:.1f} edits, a pair of "
        f"{row['together']} in a call, {row['rounds']} rounds; "
        f"{first}a pair that comes alone {row['alone_ms']:,.2f} ms, {alone:,.1f} times"
    )


def exactness(row: dict[str, Any]) -> str:
    if "edits" not in row:
        return "not checked"
    limit = f", the first {row['at_most']} of each" if row["at_most"] else ""
    return (
        f"{row['edits']:,} of {row['edits']:,} edits of {row['pairs']} pairs the same{limit}; "
        f"log-probabilities within {row['max_dlogp']:.1e}; {row['ties']} ties"
    )


HEADER = """# Goyal's exhaustive search: exactness and speed

Against the naive loop of the paper (all n * n candidate maps of an edit through the head, as one batch), in
one process on one thread, in turns: processor time, median of the rounds' ratios and their range. A figure
holds all that a call does, from preparing the head's weights to the flip. VGG-16 and the pooled head have
random weights and random features after a ReLU, 31 % above zero. What is computed once for a pair pays with
each further edit, so a search that ends after one has the least ratio. A tie is an edit that a bare argmax,
which rounding decides, would have made otherwise; both sides take the first of equal scores.
"""


def page(results: dict[str, dict[str, Any]]) -> str:
    """Of all that was measured."""
    text = HEADER
    for name, row in results.items():
        machine = row["box"]
        text += f"\n## {name}\n\n{row['what']}.\n\n`{row['command']}`\n\n"
        text += f"- exactness: {exactness(row)}\n- speed: {speed(row)}\n"
        text += f"- box: {machine['processor']} ({', '.join(machine['flags'])}), {machine['threads']} thread, "
        text += f"load {machine['load_dataset']}, {machine['gflops']} GFLOP/s in a matrix product; "
        text += f"torch {machine['torch']}, Python {machine['python']}\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--head", action="append", choices=list(HEADS), help="which; may be given again; all by default"
    )
    parser.add_argument("--pairs", type=int, default=200, help="whose edits are held to the loop's")
    parser.add_argument("--rounds", type=int, default=5, help="that are timed; 0 for none")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--write", action="store_true", help="put them into docs/goyal-speed.json and .md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    command = "python benchmarks/goyal_speed.py " + shlex.join(sys.argv[1:])
    figures = DOCS / "goyal-speed.json"
    results: dict[str, dict[str, Any]] = {}
    for name in args.head or HEADS:
        results[name] = {"command": command.strip(), **measured(name, args.pairs, args.rounds)}
        print(f"{name}: {exactness(results[name])}\n{name}: {speed(results[name])}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    if args.write:
        known = json.loads(figures.read_text("utf-8")) if figures.exists() else {}
        results = {name: (known | results)[name] for name in HEADS if name in known | results}
        figures.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
        (DOCS / "goyal-speed.md").write_text(page(results), "utf-8")


if __name__ == "__main__":
    main()
