"""Do explanations name what a classifier truly goes by? docs/causal-figures.md.

    python benchmarks/causal_figures.py [SECTION ...] [--rows 200] [--work FOLDER]

Trains classifiers of drawn faces and shapes, half of them with a planted cue and half clean, into the folder
`--work`, in about twelve seconds of one core each, measures what they truly go by, and
asks methods about them. What is there is not made again: neither a classifier nor a batch of answers. Slow
methods get fewer rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from causal_page import page
from rather.core import Method
from rather.hub.generators import load_generator
from rather.hub.resources import resolve_references
from rather.methods import Attack, Attributes, Goyal, Nearest, Schut, Wachter
from rather.metrics.ground_truth import area_under_curve
from rather.search.references import References
from rather.worlds.bias_spec import bias_specs
from rather.worlds.causal import CausalQueries, ask, judge
from rather.worlds.trained_bias import TrainedBias, train_biased
from runs import Asked, Queries, explain, pack, pack_resampled
from sections import measure

FACES_ONLY = {"attributes"}  # for want of an editor of shapes
FEWEST = 8  # rows of slow methods, at least
SCORES = ("success", "solved", "agreement", "cosine", "inside", "region", "distance", "seconds")
REFERENCES = 300  # pictures like those that the classifier was trained on
#: By name, and by how much fewer rows it gets.
METHODS: Mapping[str, tuple[Callable[[TrainedBias], Method], int]] = {
    "attack": (lambda _: Attack(num_path_frames=0), 1),
    "wachter": (lambda _: Wachter(num_path_frames=0), 1),
    "nearest": (lambda known: Nearest(references=references(known)), 1),
    "goyal": (lambda known: Goyal(references=references(known)), 1),
    "schut": (lambda _: Schut(num_path_frames=0), 1),
    "attributes": (lambda _: Attributes(generator=load_generator("faces-editor"), num_path_frames=0), 10),
}


def references(known: TrainedBias) -> References:
    return resolve_references(known.spec.pictures(REFERENCES, part=2), known.classifier)


@cache
def classifiers(folder: Path) -> Sequence[TrainedBias]:
    """All of the benchmark's, trained if the folder has them not."""
    found = []
    for recipe in bias_specs():
        found.append(train_biased(recipe, folder))
        print(f"  {recipe.name}: goes by {found[-1].follows}", flush=True)
    return found


@cache  # drawing takes longer than most methods
def asked_once(known: TrainedBias, rows: int) -> CausalQueries:
    return ask(known, rows)


def classifiers_section(asked: Asked) -> dict[str, Any]:
    """What each is made of, and what it truly goes by."""
    return {
        known.spec.name: {
            **asdict(known.spec),
            "cause": known.spec.cause,
            "follows": known.follows,
            "dominance": known.dominance,
            "right": known.accuracy,
            "effects": {
                name: {kind: pack(values) for kind, values in effect._asdict().items()}
                for name, effect in known.effects.items()
            },
        }
        for known in classifiers(asked.work)
    }


def method_section(asked: Asked, name: str) -> dict[str, Any]:
    """Every score of a method, of each classifier that counts and over all of them."""
    method, fewer = METHODS[name]
    rows = max(asked.rows // fewer, FEWEST)
    each = {
        known.spec.name: classifier_scores(asked, known, method(known), rows)
        for known in classifiers(asked.work)
        if (known.biased or known.clean) and (known.spec.data == "faces" or name not in FACES_ONLY)
    }
    return {"rows": rows, "each": each} | over_classifiers([*each.values()])


def classifier_scores(asked: Asked, known: TrainedBias, method: Method, rows: int) -> dict[str, Any]:
    """Of the successes; what failed explains nothing."""
    questions = asked_once(known, rows)
    nothing = torch.zeros_like(questions.images[:, 0], dtype=torch.long)  # regions are not asked for
    queries = Queries(questions.images, questions.ids, 1 - questions.target, questions.target, nothing)
    answers = explain(asked.work, method, known.classifier, queries)
    scores = judge(questions, answers.images)
    return {
        "biased": known.biased,
        "follows": known.follows,
        "success": pack(scores.success),
        "solved": pack(questions.solved),
        "agreement": none_if_nan(scores.agreement),
        "cosine": none_if_nan(scores.cosine),
        "inside": pack(scores.inside),
        "region": pack(scores.region),
        "distance": pack(scores.distance),
        "names": scores.names,
        "seen": {cause: share for cause, share in scores.seen.items() if share},
        "suspicion": scores.suspicion,
        "seconds": answers.seconds.mean().item(),
    }


def none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def over_classifiers(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A classifier has one value, and intervals are over classifiers, not over pictures."""

    def mean(key: str) -> Any:
        values = [one[key][0] if isinstance(one[key], list) else one[key] for one in each]
        return pack(torch.tensor([value for value in values if value is not None]))

    def right(*, biased: bool) -> Any:
        return pack(torch.tensor([one["names"] == one["follows"] for one in each if one["biased"] == biased]).bool())

    suspicion = torch.tensor([one["suspicion"] for one in each])
    biased = torch.tensor([one["biased"] for one in each])

    def area(rows: Tensor) -> Tensor:
        groups = suspicion[rows[biased[rows]]], suspicion[rows[~biased[rows]]]
        return area_under_curve(*groups) if all(map(len, groups)) else torch.tensor(math.nan)

    return {
        **{key: mean(key) for key in SCORES},
        "right of planted": right(biased=True),
        "right of clean": right(biased=False),
        "area": pack_resampled(len(each), area),
    }


SECTIONS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "classifiers": classifiers_section,
    **{name: partial(method_section, name=name) for name in METHODS},
}


if __name__ == "__main__":
    measure("causal-figures", SECTIONS, page, __doc__)
