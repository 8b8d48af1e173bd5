"""What is computed of each answer, once, and kept: the numbers of which all measures are made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Final, NamedTuple, final

import torch
from torch import Tensor

from rather.bench.nets import Nets
from rather.bench.work import Unit
from rather.best import DENOISER_CALLS
from rather.core import Goal, Images, Labels
from rather.features import pooled
from rather.handling import as_jpeg
from rather.metrics.causes import distance_to_truth, inside_true_change
from rather.metrics.cout import cout
from rather.metrics.diversity import feature_diversity
from rather.metrics.identity import identity_similarity, s3
from rather.metrics.meaning import noncausal_flip, telling, trivial_flip
from rather.metrics.proximity import l1, l2
from rather.metrics.realism import im1, im2
from rather.metrics.sparsity import hoyer, share_changed
from rather.metrics.survival import survives
from rather.metrics.transfer import transfer
from rather.metrics.validity import confidence
from rather.png import unpng
from rather.runs.scores import Measured, Scores, scores_of
from rather.runs.store import Row, Run


@final
@dataclass(frozen=True)
class Answers:
    """Rows that have a query and an answer, as tensors; what several scores need is computed once."""

    rows: Sequence[Row]
    nets: Nets

    @cached_property
    def queries(self) -> Images:
        """The images."""
        return torch.stack([unpng(row.query or b"") for row in self.rows])

    @cached_property
    def images(self) -> Images:
        """The counterfactuals, or the best attempts."""
        return torch.stack([unpng(row.image or b"") for row in self.rows])

    @cached_property
    def predicted(self) -> Labels:
        """The classes that the classifier sees in the queries."""
        return torch.tensor([self.nets.classifier.class_named(row.predicted or "") for row in self.rows])

    @cached_property
    def target(self) -> Labels:
        """The classes that were asked for."""
        return torch.tensor([self.nets.classifier.class_named(row.target or "") for row in self.rows])

    @cached_property
    def goal(self) -> Goal:
        """With the confidence that was asked for."""
        return Goal(self.target, torch.tensor([row.confidence for row in self.rows]))

    @cached_property
    def after(self) -> Tensor:
        """Log-probabilities of the answers."""
        return torch.tensor([row.after for row in self.rows], dtype=torch.float64).log()

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """Of queries and answers."""
        assert self.nets.features is not None  # noqa: S101 - asked for only then
        return pooled(self.nets.features, self.queries), pooled(self.nets.features, self.images)

    @cached_property
    def attributes(self) -> tuple[Tensor, Tensor]:
        """Of queries and answers, as the oracle reads them."""
        assert self.nets.oracle is not None  # noqa: S101 - asked for only then
        return self.nets.oracle.values(self.queries), self.nets.oracle.values(self.images)

    @cached_property
    def said(self) -> tuple[Labels, Labels, Labels, Labels]:
        """What the classifier says before and after, and the judge, whose classes are taken for the truth."""
        judge = self.nets.judge
        assert judge is not None  # noqa: S101 - asked for only then
        names = self.nets.classifier.classes
        own = torch.tensor([names.index(name) if name in names else -1 for name in judge.classes])
        before, after = (judge.probabilities(x).argmax(1) for x in (self.queries, self.images))
        return self.predicted, self.after.argmax(1), own[before], own[after]

    @cached_property
    def truths(self) -> Images:
        """The true counterfactuals; NaN of those that do not reach the target."""
        assert self.nets.truth is not None  # noqa: S101 - asked for only then
        truths = self.nets.truth.images([row.id for row in self.rows], self.target == 1)
        solved = self.nets.classifier.probabilities(truths).argmax(1) == self.target
        return torch.where(solved[:, None, None, None], truths, torch.nan)


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
    told = [row.facts.get(fact) for row in a.rows]
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


DIVERSITY: Final = "diversity"  # of an image's answers, of all seeds together


def score_all(units: Sequence[Unit], names: Collection[str] = (*SCORES, DIVERSITY)) -> list[Scores]:
    """The scores of each run; of each method's first seed also how much all of its seeds' answers differ.

    Args:
        units: the runs.
        names: of the scores that are asked for.

    Raises:
        RatherError: as `score`.
    """
    scores = [score(unit.run, unit.nets, names) for unit in units]
    if DIVERSITY not in names:
        return scores
    by_method: dict[tuple[str, str], list[int]] = {}
    for place, unit in enumerate(units):
        by_method.setdefault((unit.task, unit.method), []).append(place)
    for places in by_method.values():
        first, *others = (units[place] for place in places)
        if not others or first.nets.features is None:
            continue
        together = _together(first.run, [one.run for one in others], first.nets).values
        if DIVERSITY not in together:  # no row has an answer
            continue
        none = torch.full_like(together[DIVERSITY], torch.nan)
        for place in places:
            own = together[DIVERSITY] if place == places[0] else none
            scores[place] = replace(scores[place], values={**scores[place].values, DIVERSITY: own})
    return scores


def _together(first: Run, others: Sequence[Run], nets: Nets) -> Scores:
    """The diversity of the answers of several seeds, where all of them ended alike."""
    net = nets.features
    assert net is not None  # noqa: S101 - asked for only then

    @cache
    def further() -> list[dict[str, Row]]:
        return [{row.id: row for row in run.rows()} for run in others]

    def measure(rows: Sequence[Row]) -> Measured:
        apart = torch.full((len(rows),), torch.nan)
        for place, row in enumerate(rows):
            same = [row, *(known[row.id] for known in further())]
            images = [unpng(one.image) for one in same if one.image and one.status == row.status]
            if len(images) == len(same):
                apart[place] = feature_diversity(torch.stack(images)[None], net)[0]
        return {DIVERSITY: apart}

    question = {
        "scores": [DIVERSITY],
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
    files = [here, here.with_name("nets.py"), *sorted(package.glob("features/*.py")), package / "handling.py"]
    digest = hashlib.sha256()
    for file in (*files, *sorted(package.glob("metrics/*.py"))):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def score(run: Run, nets: Nets, names: Collection[str] = SCORES) -> Scores:
    """Those of the scores that the nets allow, of the rows of a run.

    Raises:
        RatherError: RUN-DAMAGED, or a judge does not know a class.
    """
    possible = {
        name: one for name, one in SCORES.items() if name in names and not any(map(nets.lacks, one.needs))
    }

    def measure(rows: Sequence[Row]) -> Measured:
        answers = Answers(rows, nets)
        return {name: one.of(answers) for name, one in possible.items()}

    return scores_of(run, {"scores": [*possible], "code": _code(), "nets": nets.question()}, measure)
