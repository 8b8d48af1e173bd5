"""Figures of Goyal et al. (2019) about single edits, which no benchmark compares, on digits: sections 2.3 and 4.3.

    python benchmarks/goyal_edits.py [--queries 1000] [--write]

How often the relaxation finds the best edit of the exhaustive search, which share of the best p(c') it reaches, and how
often two distractors have their best edit in the same cell of the query. `--write` replaces these figures in
docs/goyal-figures.json; then `python benchmarks/claims.py` compares them with the paper's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from claims import DOCS
from goyal_speed import Case, Digits
from markdown import interval, number, table
from rather.core import Noise
from rather.feature_cells.edits import first_best
from rather.feature_cells.relaxation import relaxed_best_edit
from rather.hub.methods import method_class

DRAWS, AT_ONCE = 10, 64


def scores_of(case: Case) -> Tensor:
    """Log p(c') after each single edit: (queries, query cells, distractor cells)."""
    editor, n = case.editor, case.query[0, 0].numel()
    parts = (case[rows] for rows in torch.arange(len(case.goal)).split(AT_ONCE))
    with torch.no_grad():
        return torch.cat(
            [editor.start(part.query, part.distractor).scores(part.goal.target, open_edits(part, n)) for part in parts]
        )


def open_edits(case: Case, n: int) -> Tensor:
    """All edits are open."""
    return torch.ones(len(case.goal), n, n, dtype=torch.bool)


def relaxation(digits: Digits) -> dict[str, Any]:
    """Section 2.3: the relaxation's first edit, with Goyal's defaults, and the best of all."""
    case = digits.random_pairs()
    scores = scores_of(case)
    best = first_best(scores, torch.ones_like(scores, dtype=torch.bool))
    settings = {name: method_class("goyal").model_fields[name].default for name in ("steps", "lr", "entropy")}
    found = torch.cat(
        [
            relaxed_best_edit(
                part.head, part.query, part.distractor, part.goal.target, open_edits(part, scores.shape[1]), **settings
            )
            for part in (case[rows] for rows in torch.arange(len(case.goal)).split(AT_ONCE))
        ]
    )
    rows = torch.arange(len(scores))
    reached, most = (scores[rows, edit[:, 0], edit[:, 1]] for edit in (found, best))
    return {
        "same best edit as the exhaustive search": interval((found == best).all(1)),
        "same query cell": interval(found[:, 0] == best[:, 0]),
        "share of the best p(c')": interval((reached - most).exp()),
    }


def agreement(digits: Digits) -> dict[str, Any]:
    """Section 4.3: distractors of one class, and one distractor of each other class."""
    same, other = Noise(1, digits.ids).split(2)
    target = (digits.predicted + 1 + same.choice(torch.full_like(digits.predicted, 9))) % 10
    of_one = agreeing(digits.pairs(target, noise) for noise in same.split(DRAWS))
    of_each = agreeing(
        digits.pairs((digits.predicted + step) % 10, noise) for step, noise in enumerate(other.split(9), 1)
    )
    return {
        "two distractors, of the same class: same best query cell": interval(of_one),
        "two distractors, one of each other class: same best query cell": interval(of_each),
    }


def agreeing(cases: Iterable[Case]) -> Tensor:
    """The share of pairs of cases, of each query, whose best edits are in the same query cell."""
    scores = [scores_of(case) for case in cases]
    cells = torch.stack([first_best(one, torch.ones_like(one, dtype=torch.bool))[:, 0] for one in scores], 1)
    k = cells.shape[1]
    return ((cells[:, :, None] == cells[:, None]).sum((1, 2)) - k) / (k * (k - 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help="replace these figures in docs/goyal-figures.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    digits = Digits(asked.queries)
    found = {"relaxation": relaxation(digits), "agreement": agreement(digits)}
    print(table("figure | value", [(name, number(one)) for part in found.values() for name, one in part.items()]))
    if asked.write:
        file = DOCS / "goyal-figures.json"
        known = json.loads(file.read_text("utf-8"))
        for section, figures in found.items():
            known[section] |= figures
        file.write_text(json.dumps(known, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
