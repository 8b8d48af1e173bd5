"""How often does a classifier that only answers questions get a counterfactual, and for how many questions?

    python benchmarks/black_box.py [--digits 30] [--faces 20] [--method sedc] [--method revise] [--out FOLDER]

The bundled classifiers of digits and of smiles stand behind a function of numpy that refuses whatever asks for a
gradient. Every row, evenly spaced over the test images, gets at most 2,000 questions, those that check the answer among
them. The figures are in FOLDER/black-box-figures.json (docs/ by default); the table is printed, and stands in
docs/your-classifier.md. With `--digits 4 --faces 2` it takes a minute.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

import rather
from markdown import interval, share, table
from rather.core import Goal, Noise
from rather.data.source import read_all
from rather.hub.given import as_method
from rather.hub.resources import evenly_spaced
from rather.search.goals import choose_goal

DOCS: Final = Path(__file__).parent.parent / "docs"
QUESTIONS: Final = 2_000
CHECKS: Final = 3  # of the query, of what was found, and of its 8-bit picture
#: Data, classifier and target.
TASKS: Final = {"digits": ("digits", "next"), "faces": ("faces-smile", "runner-up")}
HEAD: Final = "images | method | success (95 % interval) | rows | questions: median, most | seconds an image"


class OnlyAnswers:
    """A classifier as a function of numpy: it counts the images that it is asked about, and has no gradient."""

    def __init__(self, net: rather.Classifier) -> None:
        self.net, self.asked, self.refused = net, 0, 0

    def __call__(self, x: Tensor) -> Tensor:
        """The logits, computed where no gradient passes."""
        if x.requires_grad:
            self.refused += 1
            raise AssertionError("a gradient is asked for")
        self.asked += len(x)
        with torch.no_grad():
            return torch.from_numpy(self.net(x).numpy())


def measured(data: str, name: str, count: int) -> tuple[dict[str, Any], rather.Counterfactuals]:
    """The figures of a method on a dataset, and its counterfactuals."""
    classifier, target = TASKS[data]
    known = rather.load_classifier(classifier)
    answers = OnlyAnswers(known)
    box = rather.Classifier(answers, shape=known.shape, classes=known.classes, name="black box")
    pictures = rather.load_dataset(data, like=box)
    x, indices = read_all(pictures.test, evenly_spaced(len(pictures.test), count))
    ids = [pictures.test.id(index) for index in indices]
    p = box.probabilities(x)
    goal: Goal = choose_goal(target, box, x, p, Noise(0, ids), references=None)
    method = as_method({"name": name, "queries": QUESTIONS - CHECKS}, box, pictures)
    if (references := getattr(method, "references", None)) is not None:
        references.classes(box)  # once for all images
    assert not box.differentiable
    answers.asked = answers.refused = 0
    began = time.process_time()
    found = method(box, x, goal, ids=ids)
    seconds = time.process_time() - began
    asked = found.evaluations + CHECKS
    assert answers.refused == 0, "the search asked for a gradient"
    assert answers.asked == int(asked.sum()), "a question was not counted"
    assert int(asked.max()) <= QUESTIONS
    questions = {"median": int(asked.median()), "most": int(asked.max())}
    return {"success": interval(found.success), "questions": questions, "seconds": seconds / count}, found


def page(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The table."""
    rows: list[Sequence[object]] = []
    for key, one in figures.items():
        data, name = key.split("/")
        questions = f"{one['questions']['median']:,}, {one['questions']['most']:,}"
        rows.append((data, f"`{name}`", share(one["success"]), one["success"][3], questions, f"{one['seconds']:.1f}"))
    return table(HEAD, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=int, default=30, help="rows")
    parser.add_argument("--faces", type=int, default=20, help="rows")
    parser.add_argument("--method", action="append", help="may be repeated; by default sedc and revise")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the figures")
    parser.add_argument("--pictures", type=Path, help="folder for a sheet of each method's counterfactuals")
    asked = parser.parse_args()
    figures = {}
    for data in TASKS:
        for name in asked.method or ["sedc", "revise"]:
            figures[f"{data}/{name}"], found = measured(data, name, getattr(asked, data))
            if asked.pictures is not None:
                asked.pictures.mkdir(parents=True, exist_ok=True)
                found.plot().savefig(asked.pictures / f"{data}-{name}.png")
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "black-box-figures.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    print(page(figures), end="")


if __name__ == "__main__":
    main()
