"""The rows of a run as tensors, and their scores: what metrics ask for by name is filled in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Final, final

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from rather.bench.judges import GROUND, Judges, Pair, known
from rather.bench.plan import Unit
from rather.config.errors import RatherError
from rather.core import Goal, Images, Labels
from rather.data.source import Source
from rather.feature_cells.key_points import cells_of_object, cells_of_points, sides_merged
from rather.io.png import unpng
from rather.metrics import Metric
from rather.metrics.cell_edits import Edits
from rather.metrics.costs import Facts
from rather.metrics.features import pooled
from rather.metrics.flips import sce
from rather.runs.scores import Measured, Scores, scores_of
from rather.runs.store import Row, Run
from rather.search.best import DENOISER_CALLS

#: Raised when a property of `EvalBatch` has other numbers: kept scores of another version are not used.
VERSION: Final = 1
#: The judge without which a property has no value.
_JUDGE_OF: Final = {
    "truth_before": "second_classifier",
    "truth_after": "second_classifier",
    "successful": "second_classifier",
    "second_logits": "second_classifier",
    "second_target": "second_classifier",
    "features_before": "feature_net",
    "features_after": "feature_net",
    "attributes_before": "oracle",
    "attributes_after": "oracle",
    "changes": "oracle",
    "everything": "autoencoders",
    "key_points": "key_points_of",
    "objects": "objects_of",
    "truths": "truth",
}
_OF_SETS: Final = {"halves", "weights", "statuses"}  # what `rather.bench.results` fills in
Grid = tuple[int, int]  # rows and columns


@final
@dataclass(frozen=True)
class EvalBatch:
    """Rows that have a query and a counterfactual; a metric asks for a property by its name."""

    rows: Sequence[Row]
    judges: Judges

    @cached_property
    def queries(self) -> Images:
        """The images."""
        return torch.stack([unpng(row.query or b"") for row in self.rows])

    @cached_property
    def counterfactuals(self) -> Images:
        """The counterfactuals, or the best attempts."""
        return torch.stack([unpng(row.image or b"") for row in self.rows])

    @cached_property
    def predicted(self) -> Labels:
        """The classes that the classifier predicts for the queries."""
        return torch.tensor([self.judges.classifier.class_named(row.predicted or "") for row in self.rows])

    @cached_property
    def target(self) -> Labels:
        """The classes that were asked for."""
        return torch.tensor([self.judges.classifier.class_named(row.target or "") for row in self.rows])

    @cached_property
    def goal(self) -> Goal:
        """With the confidence that was asked for."""
        return Goal(self.target, torch.tensor([row.confidence for row in self.rows]))

    @cached_property
    def logits(self) -> Tensor:
        """Log-probabilities of the counterfactuals."""
        return torch.tensor([row.after for row in self.rows], dtype=torch.float64).log()

    @cached_property
    def after(self) -> Labels:
        """The classifier's prediction of the counterfactuals."""
        return self.logits.argmax(1)

    @cached_property
    def second_logits(self) -> Tensor:
        """Log-probabilities of the counterfactuals, by the second classifier."""
        return known(self.judges.second_classifier).probabilities(self.counterfactuals).log()

    @cached_property
    def second_target(self) -> Labels:
        """The target as the second classifier numbers its classes."""
        return torch.tensor([known(self.judges.second_classifier).class_named(row.target or "") for row in self.rows])

    @cached_property
    def truth_before(self) -> Labels:
        """The second classifier's prediction of the queries; -1 for a class that the first one does not know."""
        return self._as_first(known(self.judges.second_classifier).probabilities(self.queries).argmax(1))

    @cached_property
    def truth_after(self) -> Labels:
        """The second classifier's prediction of the counterfactuals."""
        return self._as_first(self.second_logits.argmax(1))

    def _as_first(self, labels: Labels) -> Labels:
        names = self.judges.classifier.classes
        own = [names.index(name) if name in names else -1 for name in known(self.judges.second_classifier).classes]
        return torch.tensor(own)[labels]

    @cached_property
    def successful(self) -> Bool[Tensor, " b"]:
        """Which rows are successful counterfactual explanations."""
        return sce(self.predicted, self.after, self.truth_before, self.truth_after)

    @cached_property
    def features_before(self) -> Tensor:
        """Pooled features of the queries."""
        return pooled(known(self.judges.feature_net), self.queries)

    @cached_property
    def features_after(self) -> Tensor:
        """Pooled features of the counterfactuals."""
        return pooled(known(self.judges.feature_net), self.counterfactuals)

    @cached_property
    def attributes_before(self) -> Tensor:
        """The oracle's attributes of the queries."""
        return known(self.judges.oracle).values(self.queries)

    @cached_property
    def attributes_after(self) -> Tensor:
        """The oracle's attributes of the counterfactuals."""
        return known(self.judges.oracle).values(self.counterfactuals)

    @cached_property
    def changes(self) -> Tensor:
        """By how much each attribute changed, as the oracle reads it."""
        return self.attributes_after.double() - self.attributes_before.double()

    @cached_property
    def autoencoders(self) -> Sequence[nn.Module]:
        """One for each of the classifier's classes."""
        return known(self.judges.autoencoders).of(self.judges.classifier.classes)

    @cached_property
    def everything(self) -> nn.Module:
        """The autoencoder of all classes."""
        return known(self.judges.autoencoders).everything

    @cached_property
    def truths(self) -> Images:
        """The true counterfactuals; NaN for those that do not reach the target."""
        truths = known(self.judges.truth).images([row.id for row in self.rows], self.target == 1)
        solved = self.judges.classifier.probabilities(truths).argmax(1) == self.target
        return torch.where(solved[:, None, None, None], truths, torch.nan)

    @cached_property
    def facts(self) -> Facts:
        """Numbers that the run keeps of each row."""
        names = ("seconds", "evaluations", "memory")
        kept = {name: [getattr(row, name) for row in self.rows] for name in names}
        counts = {name: [_count(row.info.get(name)) for row in self.rows] for name in ("edits", DENOISER_CALLS)}
        return {
            name: torch.tensor([torch.nan if one is None else one for one in numbers], dtype=torch.float64)
            for name, numbers in (kept | counts).items()
        }

    @cached_property
    def edits(self) -> Edits:
        """(Query cell, distractor cell), in order, of each row that exchanges some with one distractor."""
        found = [(row.info.get("edits"), "distractor" in row.info) for row in self.rows]
        return [edits if isinstance(edits, list) and one else [] for edits, one in found]

    @cached_property
    def key_points(self) -> tuple[Tensor, Tensor]:
        """Which cells show which key point, in queries and distractors."""
        return self._in_cells(self.judges.key_points_of, key_points_in_cells)

    @cached_property
    def objects(self) -> tuple[Tensor, Tensor]:
        """Which cells show the object, in queries and distractors."""
        return self._in_cells(self.judges.objects_of, objects_in_cells)

    def _in_cells(
        self, pictures: Pair | None, where: Callable[[Source, Sequence[str | None], Grid], Tensor]
    ) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            _, _, u, v = self.judges.classifier.features(self.queries[:1]).shape
        rows = zip(self.rows, self.edits, strict=True)
        pairs = [(row.id, row.info["distractor"]) if edits else (None, None) for row, edits in rows]
        queries, distractors = zip(*pairs, strict=True)
        first, second = known(pictures)
        return where(first, queries, (u, v)), where(second, distractors, (u, v))

    def given(self, name: str) -> Any:
        """What a metric's parameter of this name is filled with."""
        return getattr(self if name in PROPERTIES else self.judges, name)


PROPERTIES: Final = {name for name, one in vars(EvalBatch).items() if isinstance(one, cached_property)}
_JUDGES: Final = {*Judges.__dataclass_fields__}


def _count(fact: object) -> float:
    """A fact that is a number, or a list whose length counts; NaN of a method that does not report it."""
    number = len(fact) if isinstance(fact, list) else fact
    return float(number) if isinstance(number, int) else torch.nan


def key_points_in_cells(source: Source, ids: Sequence[str | None], grid: Grid) -> Bool[Tensor, "b p n"]:
    """Which cells show which key point, those of both sides as one; for a source that knows key points."""
    names, (u, v) = source.point_names, grid
    shown = _of_each(lambda n: cells_of_points(source.key_points(n)[None], grid)[0], source, ids, (len(names), u * v))
    return sides_merged(shown, names)


def objects_in_cells(source: Source, ids: Sequence[str | None], grid: Grid) -> Bool[Tensor, "b n"]:
    """Which cells the object fills by half; for a source that knows the background."""
    ground, (u, v) = source.regions.index(GROUND), grid
    return _of_each(lambda n: cells_of_object((source.layout(n) != ground)[None], grid)[0], source, ids, (u * v,))


def _of_each(
    cells: Callable[[int], Tensor], source: Source, ids: Sequence[str | None], shape: tuple[int, ...]
) -> Bool[Tensor, "b *d"]:
    """A picture whose key points or mask cannot be read shows none: a file that is missing ends no benchmark."""
    shown = torch.zeros(len(ids), *shape, dtype=torch.bool)
    for row, one in zip(shown, ids, strict=True):
        if one is not None:
            (index,) = source.find([one])
            with suppress(RatherError):
                row[:] = cells(index)
    return shown


def lacks(metric: Metric, judges: Judges) -> str:
    """Why a metric cannot be computed, or nothing if it can."""
    for name, optional in metric.needs.items():
        need = _JUDGE_OF.get(name, name)
        if need in _JUDGES:
            if why := judges.lacks(need):
                return why
        elif name not in PROPERTIES | _OF_SETS and not optional:
            return f"a benchmark has no {name}"
    return ""


def measured_by(metric: Metric, judges: Judges) -> str:
    """The names of the nets that measure it."""
    needs = dict.fromkeys(_JUDGE_OF.get(name, name) for name in metric.needs if name != "classifier")
    return ", ".join(filter(None, (judges.named(need) for need in needs if need in _JUDGES)))


def columns_of(metric: Metric) -> list[str]:
    """The scores that it is made of: its own, or, of a metric of sets, what it takes of each row."""
    return [metric.name] if metric.per_row else [name for name in metric.needs if name in PROPERTIES]


def score_all(units: Sequence[Unit], metrics: Sequence[Metric]) -> list[Scores]:
    """The scores of each run; those of all seeds together are kept with a method's first seed.

    Args:
        units: the runs.
        metrics: what is measured, as far as the judges allow.

    Raises:
        RatherError: RUN-DAMAGED, or a judge does not know a class.
    """
    single = [metric for metric in metrics if not metric.several_seeds and metric.over != "all"]
    scores = [_score(unit.run, unit.judges, single) for unit in units]
    by_method: dict[tuple[str, str], list[int]] = {}
    for place, unit in enumerate(units):
        by_method.setdefault((unit.task, unit.method), []).append(place)
    several = [metric for metric in metrics if metric.several_seeds]
    for places in by_method.values() if several else ():
        if len(places) > 1:
            values = _score_seeds([units[place] for place in places], several).values
            for place in places:
                own = {n: v if place == places[0] else torch.full_like(v, torch.nan) for n, v in values.items()}
                scores[place] = replace(scores[place], values={**scores[place].values, **own})
    return scores


def _question(metrics: Sequence[Metric], judges: Judges) -> dict[str, Any]:
    """All that can change a score of a row, as plain data."""
    # A metric in a file of yours has a new home when the file changes.
    versions = {m.name: [m.home, m.version] if m.home.startswith("rather_trusted_") else m.version for m in metrics}
    return {"metrics": versions, "inputs": VERSION, "judges": judges.question()}


def _score(run: Run, judges: Judges, metrics: Sequence[Metric]) -> Scores:
    able = [metric for metric in metrics if not lacks(metric, judges)]

    def measure(rows: Sequence[Row]) -> Measured:
        batch = EvalBatch(rows, judges)
        values = {metric.name: _call(metric, batch.given) for metric in able if metric.per_row}
        stored = {name: batch.given(name) for metric in able if not metric.per_row for name in columns_of(metric)}
        return values | stored

    return scores_of(run, _question(able, judges), measure)


def _score_seeds(units: Sequence[Unit], metrics: Sequence[Metric]) -> Scores:
    """Of images of which all seeds have an answer; of successes, only where all seeds ended alike."""
    judges, (first, *others) = units[0].judges, [unit.run for unit in units]
    able = [metric for metric in metrics if not lacks(metric, judges)]

    @cache
    def further() -> list[Mapping[str, Row]]:
        return [{row.id: row for row in run.rows()} for run in others]

    def measure(rows: Sequence[Row]) -> Measured:
        values = {metric.name: torch.full((len(rows),), torch.nan, dtype=torch.float64) for metric in able}
        same = [[row, *(seed[row.id] for seed in further())] for row in rows]
        some = [n for n, seeds in enumerate(same) if all(row.image for row in seeds)]
        if some:
            batches = [EvalBatch(seed, judges) for seed in zip(*(same[n] for n in some), strict=True)]
            mixed = torch.tensor([len({row.status for row in same[n]}) > 1 for n in some])
            for metric in able:
                value = _call(metric, lambda name: _stacked(batches, name)).double()
                values[metric.name][some] = value.masked_fill(mixed, torch.nan) if metric.over == "success" else value
        return values

    return scores_of(first, _question(able, judges) | {"with": [run.shards() for run in others]}, measure)


def _stacked(batches: Sequence[EvalBatch], name: str) -> Any:
    if name not in PROPERTIES:
        return batches[0].given(name)
    values = [batch.given(name) for batch in batches]
    return torch.stack(values, 1) if isinstance(values[0], Tensor) else [*zip(*values, strict=True)]


def _call(metric: Metric, given: Callable[[str], Any]) -> Tensor:
    value: Tensor = metric.function(**{name: given(name) for name in metric.needs if name in PROPERTIES | _JUDGES})
    return value
