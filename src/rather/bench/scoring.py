"""What is computed of each answer, once, and kept: the numbers of which all measures are made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import torch
from torch import Tensor

from rather.bench.answers import Answers
from rather.bench.exchanges import cell_agreement, inside_object, near_key_point, same_key_point
from rather.bench.judges import Nets
from rather.bench.plan import Unit
from rather.metrics._handling import as_jpeg
from rather.metrics.cout import cout
from rather.metrics.diversity import cardinality, feature_diversity
from rather.metrics.ground_truth import distance_to_truth, inside_true_change
from rather.metrics.identity import identity_similarity, s3
from rather.metrics.oracle import noncausal_flip, telling, trivial_flip
from rather.metrics.proximity import l1, l2
from rather.metrics.realism import im1, im2
from rather.metrics.sparsity import hoyer, share_changed
from rather.metrics.survival import survives
from rather.metrics.transfer import transfer
from rather.metrics.validity import confidence
from rather.runs.scores import Measured, Scores, scores_of
from rather.runs.store import Row, Run
from rather.search.best import DENOISER_CALLS


class Score(NamedTuple):
    """A number or a vector of each answer."""

    of: Callable[[Answers], Tensor]
    needs: tuple[str, ...] = ()  # fields of `Nets`


def _transfer(a: Answers) -> Tensor:
    judge = a.nets.judge
    assert judge is not None  # noqa: S101 - asked for only then
    target = torch.tensor([judge.class_named(row.target or "") for row in a.rows])
    return transfer(judge.probabilities(a.images).log(), target)


def _after_jpeg(a: Answers) -> Tensor:
    return survives(a.images, a.goal, a.nets.classifier, as_jpeg)


def _after_filter(a: Answers) -> Tensor:
    assert a.nets.filter is not None  # noqa: S101 - asked for only then
    return survives(a.images, a.goal, a.nets.classifier, a.nets.filter)


def _s3(a: Answers) -> Tensor:
    assert a.nets.encoder is not None  # noqa: S101 - asked for only then
    return s3(a.images, a.queries, a.nets.encoder)


def _im1(a: Answers) -> Tensor:
    assert a.nets.autoencoders is not None  # noqa: S101 - asked for only then
    return im1(a.images, a.predicted, a.target, a.nets.autoencoders.of(a.nets.classifier.classes))


def _im2(a: Answers) -> Tensor:
    nets = a.nets.autoencoders
    assert nets is not None  # noqa: S101 - asked for only then
    return im2(a.images, a.target, nets.of(a.nets.classifier.classes), nets.everything)


def _inside(a: Answers) -> Tensor:
    solved = ~a.truths.isnan().flatten(1).any(1)
    return inside_true_change(a.images, a.queries, a.truths).masked_fill(~solved, torch.nan)


def _counted(fact: str, a: Answers) -> Tensor:
    """A fact that is a number, or a list whose length counts; NaN of a method that does not tell it."""
    told = [row.info.get(fact) for row in a.rows]
    counts = [len(one) if isinstance(one, list) else one for one in told]
    return torch.tensor([float(n) if isinstance(n, int) else torch.nan for n in counts], dtype=torch.float64)


SCORES: Final[Mapping[str, Score]] = {
    "confidence": Score(lambda a: confidence(a.after, a.target)),
    "transfer": Score(_transfer, ("judge",)),
    "survives_jpeg": Score(_after_jpeg),
    "survives_filter": Score(_after_filter, ("filter",)),
    "telling": Score(lambda a: telling(*a.said), ("judge",)),
    "noncausal_flip": Score(lambda a: noncausal_flip(*a.said), ("judge",)),
    "trivial_flip": Score(lambda a: trivial_flip(*a.said), ("judge",)),
    "inside_true_change": Score(_inside, ("truth",)),
    "distance_to_truth": Score(lambda a: distance_to_truth(a.images, a.queries, a.truths), ("truth",)),
    "l1": Score(lambda a: l1(a.images, a.queries)),
    "l2": Score(lambda a: l2(a.images, a.queries)),
    "share_changed": Score(lambda a: share_changed(a.images, a.queries)),
    "hoyer": Score(lambda a: hoyer(a.images, a.queries)),
    "edits": Score(partial(_counted, "edits")),
    "near_key_point": Score(near_key_point, ("key_points_of",)),
    "same_key_point": Score(same_key_point, ("key_points_of",)),
    "inside_object": Score(inside_object, ("objects_of",)),
    "denoiser_calls": Score(partial(_counted, DENOISER_CALLS)),
    "cout": Score(lambda a: cout(a.images, a.queries, a.predicted, a.target, a.nets.classifier)),
    "similarity": Score(lambda a: identity_similarity(a.features[1], a.features[0]), ("features",)),
    "s3": Score(_s3, ("encoder",)),
    "im1": Score(_im1, ("autoencoders",)),
    "im2": Score(_im2, ("autoencoders",)),
    "features_before": Score(lambda a: a.features[0], ("features",)),
    "features_after": Score(lambda a: a.features[1], ("features",)),
    "attributes_before": Score(lambda a: a.attributes[0], ("oracle",)),
    "attributes_after": Score(lambda a: a.attributes[1], ("oracle",)),
}


class Together(NamedTuple):
    """A number of each image, of the answers of all seeds, which have the same rows."""

    of: Callable[[Sequence[Answers]], Tensor]
    needs: tuple[str, ...] = ()  # fields of `Nets`


def _diversity(seeds: Sequence[Answers]) -> Tensor:
    """Of images with which all seeds ended alike."""
    net = seeds[0].nets.features
    assert net is not None  # noqa: S101 - asked for only then
    alike = [len({row.status for row in rows}) == 1 for rows in zip(*(a.rows for a in seeds), strict=True)]
    apart = feature_diversity(torch.stack([a.images for a in seeds], 1), net)
    return apart.masked_fill(~torch.tensor(alike), torch.nan)


def _cardinality(seeds: Sequence[Answers]) -> Tensor:
    """Of attributes, as the oracle reads them."""
    changes = torch.stack([after - before for before, after in (a.attributes for a in seeds)], 1)
    return cardinality(changes, torch.stack([telling(*a.said) for a in seeds], 1))


_S = TypeVar("_S", Score, Together)

TOGETHER: Final[Mapping[str, Together]] = {
    "diversity": Together(_diversity, ("features",)),
    "cardinality": Together(_cardinality, ("judge", "oracle")),
    "cell_agreement": Together(cell_agreement),
}


def _possible(known: Mapping[str, _S], nets: Nets, names: Collection[str]) -> dict[str, _S]:
    """Those that are asked for, and that the nets allow."""
    return {name: one for name, one in known.items() if name in names and not any(map(nets.lacks, one.needs))}


def score_all(units: Sequence[Unit], names: Collection[str] = (*SCORES, *TOGETHER)) -> list[Scores]:
    """The scores of each run; those of all seeds together stand with a method's first seed.

    Args:
        units: the runs.
        names: of the scores that are asked for.

    Raises:
        RatherError: as `score`.
    """
    scores = [score(unit.run, unit.nets, names) for unit in units]
    by_method: dict[tuple[str, str], list[int]] = {}
    for place, unit in enumerate(units):
        by_method.setdefault((unit.task, unit.method), []).append(place)
    for places in by_method.values():
        first, *others = (units[place] for place in places)
        possible = _possible(TOGETHER, first.nets, names)
        if not others or not possible:
            continue
        values = _together(possible, first.run, [one.run for one in others], first.nets).values
        own = {name: values[name] for name in possible if name in values}  # none if no row has an answer
        none = {name: torch.full_like(column, torch.nan) for name, column in own.items()}
        for place in places:
            more = own if place == places[0] else none
            scores[place] = replace(scores[place], values={**scores[place].values, **more})
    return scores


def _together(possible: Mapping[str, Together], first: Run, others: Sequence[Run], nets: Nets) -> Scores:
    """Scores of the answers of several seeds, of images of which all have one."""

    @cache
    def further() -> list[dict[str, Row]]:
        return [{row.id: row for row in run.rows()} for run in others]

    def measure(rows: Sequence[Row]) -> Measured:
        values = {name: torch.full((len(rows),), torch.nan, dtype=torch.float64) for name in possible}
        same = [[row, *(known[row.id] for known in further())] for row in rows]
        some = [n for n, each in enumerate(same) if all(row.image for row in each)]
        if some:
            seeds = [Answers(each, nets) for each in zip(*(same[n] for n in some), strict=True)]
            for name, one in possible.items():
                values[name][some] = one.of(seeds).double()
        return values

    question = {
        "scores": [*possible],
        "code": _code(),
        "nets": nets.question(),
        "with": [run.shards() for run in others],
    }
    return scores_of(first, question, measure)


@cache
def _code() -> str:
    """A sha256 of what computes scores: after a change of a metric, those that are kept are of another."""
    here = Path(__file__)
    package = here.parent.parent
    beside = [here.with_name(f"{name}.py") for name in ("answers", "exchanges", "nets", "places")]
    others = [package / name for name in ("handling.py", "cells/key_points.py", "nets/classwise.py")]
    folders = [package / name for name in ("data", "features", "metrics")]
    digest = hashlib.sha256()
    for file in (here, *beside, *others, *(file for one in folders for file in sorted(one.rglob("*.py")))):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def score(run: Run, nets: Nets, names: Collection[str] = SCORES) -> Scores:
    """Those of the scores that the nets allow, of the rows of a run.

    Raises:
        RatherError: RUN-DAMAGED, or a judge does not know a class.
    """
    possible = _possible(SCORES, nets, names)

    def measure(rows: Sequence[Row]) -> Measured:
        answers = Answers(rows, nets)
        return {name: one.of(answers) for name, one in possible.items()}

    return scores_of(run, {"scores": [*possible], "code": _code(), "nets": nets.question()}, measure)
