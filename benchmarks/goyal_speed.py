"""Goyal's exhaustive search against the naive loop of the paper: the same edits, and how many times faster.

    python benchmarks/goyal_speed.py [--head NAME ...] [--pairs 200] [--rounds 5] [--json FILE]

For each edit the naive loop passes all n * n candidate maps through the head, as one batch. First, every edit of every
pair must be the loop's, and every score of the first edits. Then the loop and the search take turns on the same pairs,
timed by the processor time of one thread; the ratio is the median over the rounds, with its range.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from rather.core import Goal, Images, Labels, Noise
from rather.data.source import read_all
from rather.feature_cells.cell_editor import CellEditor, Prescreen, cell_editor
from rather.feature_cells.edits import first_best
from rather.feature_cells.sequential import EditSequence, sequential_search
from rather.hub.classifiers import load_classifier
from rather.hub.datasets import load_dataset
from rather.search.references import References

TOLERANCE: Final = 1e-4  # of a log-probability
STYLE: Final = 0.3  # in units of the noise
SHORTEST: Final = 0.2  # seconds that are timed, at least; a shorter call is repeated


@dataclass(frozen=True)
class Case:
    """A head, and pairs of maps whose decision is to change."""

    what: str
    head: nn.Module
    query: Tensor
    distractor: Tensor
    goal: Goal
    asked: float = 0  # the least ratio
    together: int = 200  # pairs of a round
    screen: Prescreen = "none"

    def __getitem__(self, rows: Tensor) -> Case:
        return replace(self, query=self.query[rows], distractor=self.distractor[rows], goal=self.goal[rows])

    @property
    def editor(self) -> CellEditor:
        """What a call does before the first pair."""
        d, u, v = self.query.shape[1:]
        return cell_editor(self.head, (d, u, v), self.screen)

    def search(self) -> EditSequence:
        """A call."""
        return sequential_search(self.editor, self.query, self.distractor, self.goal)

    def one_by_one(self) -> list[Case]:
        """A case for each pair."""
        return [self[torch.tensor([row])] for row in range(len(self.goal))]


class Digits:
    """The bundled digit net, test digits, and training digits as references."""

    def __init__(self, count: int) -> None:
        self.net, data = load_classifier("digits"), load_dataset("digits")
        self.images, places = read_all(data.test, range(count))
        self.ids = tuple(data.test.id(i) for i in places)
        others, rows = read_all(data.references, range(2000))
        self.references = References(others, tuple(data.references.id(i) for i in rows))
        self.predicted: Labels = self.net.probabilities(self.images).argmax(1)

    def pairs(self, target: Labels, noise: Noise) -> Case:
        """Each digit with a random distractor that the net calls the target."""
        others: Images = self.references.images[self.references.choose(self.net, self.images, target, noise, "random")]
        query, distractor = self.net.features(self.images), self.net.features(others)
        what = "the bundled digit net, 4 x 4 x 20 -> 50 -> 10, on digits"
        return Case(what, self.net.head, query, distractor, Goal.criticism(target), asked=6)

    def random_pairs(self, seed: int = 0) -> Case:
        """The same with a random other class as the target."""
        noise = Noise(seed, self.ids)
        return self.pairs((self.predicted + 1 + noise.choice(torch.full_like(self.predicted, 9))) % 10, noise)


def vgg(pairs: int, active: float | None, screen: Prescreen = "none") -> Case:
    """The classifier of VGG-16, for 200 classes; with a share of its first layer that is active."""
    torch.manual_seed(0)
    fc6, fc7, fc8 = nn.Linear(7 * 7 * 512, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 200)
    layers = fc6, nn.ReLU(), nn.Dropout(), fc7, nn.ReLU(), nn.Dropout(), fc8
    head = random(nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten(), *layers))
    what = "VGG-16, 7 x 7 x 512 -> 4096 -> 4096 -> 200, random weights"
    if active is not None:
        some = fc6(features(512, 32, 1).flatten(1)).flatten()
        fc6.bias -= some.kthvalue(int((1 - active) * len(some))).values
        what += f", fc6 biased to be {active:.0%} active, as in trained nets"
    asked = 20 if screen == "bf16" else 10 if active else 7
    return random_case(what, head, 512, pairs, asked=asked, together=4, screen=screen)


def pooled(pairs: int) -> Case:
    """The classifier of a ResNet-50, for 200 classes."""
    torch.manual_seed(0)
    head = random(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 200)))
    return random_case("pooled linear, 7 x 7 x 2048 -> 200, random weights", head, 2048, pairs, asked=1000, together=16)


def random(head: nn.Module) -> nn.Module:
    """He's weights, which keep the variance through ReLUs, and no biases."""
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return head.eval().requires_grad_(requires_grad=False)


def features(d: int, count: int, seed: int) -> Tensor:
    """Maps after a ReLU, 31 % above zero: noise, and a style of each map that its cells share.

    With this style a pooled head changes its decision after as many edits as Goyal et al. report of birds, 5 to 7;
    without it, after 2 or 3.
    """
    g = torch.Generator().manual_seed(seed)
    shared = STYLE * torch.randn(count, d, 1, 1, generator=g)
    return (torch.randn(count, d, 7, 7, generator=g) + shared - 0.5).relu()


def random_case(what: str, head: nn.Module, d: int, pairs: int, **rest: Any) -> Case:
    """Queries and distractors of random features whose classes differ."""
    query, distractor = features(d, 2 * pairs, 2), features(d, 2 * pairs, 3)
    before, after = (torch.cat([head(p).argmax(1) for p in maps.split(64)]) for maps in (query, distractor))
    rows = (before != after).nonzero()[:pairs, 0]
    return Case(what, head, query[rows], distractor[rows], Goal.criticism(after[rows]), **rest)


HEADS: Final[dict[str, Callable[[int], Case]]] = {
    "digit": lambda pairs: Digits(pairs).random_pairs(),
    "pooled": pooled,
    "vgg-sparse": lambda pairs: vgg(pairs, 0.2),
    "vgg-dense": lambda pairs: vgg(pairs, None),
    "vgg-sparse-bf16": lambda pairs: vgg(pairs, 0.2, "bf16"),
}


def naive(case: Case) -> tuple[list[list[int]], list[float], Tensor]:
    """Algorithm 1 to the letter, on a case of one pair: its edits, log p(c') after each, and the first scores."""
    maps, other = case.query[0].flatten(1).clone(), case.distractor[0].flatten(1)
    n, (target,) = maps.shape[1], case.goal.target.tolist()
    open_edits = torch.ones(1, n, n, dtype=torch.bool)
    edits: list[list[int]] = []
    reached, first = [], torch.empty(0)
    while open_edits.any() and not case.goal.reached(case.head(maps.view_as(case.query))).all():
        candidates = maps.repeat(n, n, 1, 1)
        candidates.diagonal(dim1=0, dim2=3).copy_(other.T[:, :, None])
        log_p = case.head(candidates.view(n * n, *case.query.shape[1:])).log_softmax(1)
        scores = log_p[:, target].view(1, n, n)
        i, j = first_best(scores, open_edits)[0].tolist()
        first = first if edits else scores[0]
        edits.append([i, j])
        reached.append(float(scores[0, i, j]))
        maps[:, i] = other[:, j]
        open_edits[0, i] = open_edits[0, :, j] = False
    return edits, reached, first


def check(case: Case) -> dict[str, Any]:
    """Compare every edit, its log-probability and the scores of the first edits with the loop's.

    Raises:
        SystemExit: if one differs.
    """
    editor, found, error, count = case.editor, case.search(), 0.0, 0
    for row, one in enumerate(case.one_by_one()):
        edits, reached, first = naive(one)
        same(found, row, edits)
        scores = editor.start(one.query, one.distractor).scores(one.goal.target, first.isfinite()[None])[0]
        differences = (
            found.log_probability[row, 1 : len(edits) + 1] - torch.tensor(reached),
            (scores - first)[
                scores.isfinite()  # a screen leaves out what cannot be the best
            ],
        )
        error = max(error, *(float(each.abs().max()) for each in differences if each.numel()))
        count += len(edits)
    if error > TOLERANCE:
        sys.exit(f"log-probabilities differ by {error:.1e}")
    return {"pairs": len(case.goal), "edits": count, "max_dlogp": error}


def same(found: EditSequence, row: int, edits: list[list[int]]) -> None:
    own = found.edits[row, : found.count[row]].tolist()
    if own != edits:
        sys.exit(f"pair {row}: the edits are {own}, the loop makes {edits}")


def seconds(run: Callable[[], object]) -> float:
    """Processor time of a call."""
    began, times = time.process_time(), 0
    while not times or time.process_time() - began < SHORTEST:
        run()
        times += 1
    return (time.process_time() - began) / times


def race(case: Case, rounds: int) -> dict[str, Any]:
    """The loop, and the search before and after it, on the same pairs."""
    loop, search, edits = [], [], []
    for number in range(rounds):
        part = case[torch.arange(number * case.together, (number + 1) * case.together) % len(case.goal)]
        found, before = part.search(), seconds(part.search)
        began = time.process_time()
        expected = [naive(one)[0] for one in part.one_by_one()]
        loop.append((time.process_time() - began) / case.together)
        for row, each in enumerate(expected):
            same(found, row, each)
        search.append((before + seconds(part.search)) / 2 / case.together)
        edits.append(float(found.count.float().mean()))
    ratios = [a / b for a, b in zip(loop, search, strict=True)]
    return {
        "rounds": rounds,
        "together": case.together,
        "mean_edits": statistics.mean(edits),
        "loop_ms": 1e3 * statistics.median(loop),
        "search_ms": 1e3 * statistics.median(search),
        "ratio": [statistics.median(ratios), min(ratios), max(ratios)],
        "asked": case.asked,
    }


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    a = torch.randn(2048, 2048)
    peak = 2 * 2048**3 / min(seconds(lambda: a @ a) for _ in range(3)) / 1e9
    info = Path("/proc/cpuinfo")
    lines = (line.partition(":") for line in (info.read_text("utf-8").splitlines() if info.exists() else ()))
    known = {key.strip(): value.strip() for key, _, value in lines}
    flags = known.get("flags", "").split()
    return {
        "processor": known.get("model name") or platform.processor(),
        "flags": [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags],
        "load": round(os.getloadavg()[0], 1),
        "gflops": round(peak),
        "torch": torch.__version__.partition("+")[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--head", action="append", choices=list(HEADS), help="may be repeated; all by default")
    parser.add_argument("--pairs", type=int, default=200, help="pairs whose edits are compared with the loop's")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that are timed; 0 for none")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    box, results = machine(), {}
    for name in asked.head or HEADS:
        if name.endswith("bf16") and "amx_bf16" not in box["flags"]:
            print(f"{name}: this processor has no bf16 matrix units (amx_bf16)")
            continue
        case = HEADS[name](asked.pairs)
        found = {"what": case.what, "box": box, **check(case), **(race(case, asked.rounds) if asked.rounds else {})}
        print(f"{name}: {found['edits']} edits of {found['pairs']} pairs the same, within {found['max_dlogp']:.1e}")
        if asked.rounds:
            ratio, low, high = found["ratio"]
            print(f"{name}: {ratio:,.1f} times faster ({low:,.1f} to {high:,.1f}), at least {case.asked:,} are asked")
        results[name] = found
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
