"""Comparing methods from Python: the searches, their metrics with intervals, and each method's counterfactuals."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from rather.bench.batch import score_all
from rather.bench.judges import Judges, features_of
from rather.bench.plan import Skipped, Unit
from rather.bench.results import Estimate, estimates_of
from rather.bench.tables import interval, number, skip_line
from rather.core import Classifier, Counterfactuals, Method
from rather.data.source import Dataset
from rather.hub.given import GivenClassifier, GivenImages, as_classifier, as_dataset, as_method, references_by_default
from rather.hub.metrics import metric_named
from rather.hub.resources import Requirement, ResourceSpec, evenly_spaced, fill_resources, references_of
from rather.metrics import Metric
from rather.runs.comparison import start_comparison
from rather.runs.in_memory import counterfactuals_of
from rather.runs.runner import Job, run_config, run_pending, with_same_goals
from rather.runs.store import Run
from rather.search.goals import REFERENCED, check_target
from rather.search.references import References

#: What a paper calls the share of rows that are found.
_ALIASES: Final = {"validity": "found", "flip_rate": "found"}


@final
@dataclass(frozen=True, eq=False)
class Comparison(Mapping[str, Counterfactuals]):
    """Methods on the same images for the same targets: by the name of a method its counterfactuals.

    Printed, it is a table: the mean of each metric with its 95 % interval, the best of a column with a star, and
    those that are not significantly worse in brackets.
    """

    counterfactuals: Mapping[str, Counterfactuals]
    estimates: Sequence[Estimate]
    skipped: Sequence[Skipped]
    metrics: Mapping[str, Metric]  # by the names that were asked for
    folder: Path | None  # of the stored runs: `rather report FOLDER` makes a page of it

    def __getitem__(self, method: str) -> Counterfactuals:
        return self.counterfactuals[method]

    def __iter__(self) -> Iterator[str]:
        return iter(self.counterfactuals)

    def __len__(self) -> int:
        return len(self.counterfactuals)

    def estimate(self, method: str, metric: str) -> Estimate | None:
        """A metric of a method, over the rows that count for it; None if it could not be computed."""
        name = self.metrics[metric].name
        of_both = (one for one in self.estimates if (one.method, one.metric, one.variant) == (method, name, "main"))
        return next(of_both, None)

    def __repr__(self) -> str:
        rows = [["", *self.metrics]]
        rows += [[method, *(self._cell(method, name) for name in self.metrics)] for method in self.counterfactuals]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *dict.fromkeys(map(skip_line, self.skipped))])

    def _cell(self, method: str, name: str) -> str:
        one = self.estimate(method, name)
        if one is None:
            return "-"
        text = f"{number(one.value, self.metrics[name])} {interval(one)}"
        return f"{text}*" if one.best else f"({text})" if one.tied else text


def compare(
    methods: Mapping[str, Method | str] | Sequence[str],
    classifier: GivenClassifier,
    images: GivenImages,
    *,
    target: str = "nearest",
    confidence: float = 0.0,
    metrics: Sequence[str] = ("validity", "l1", "l2"),
    second_classifier: GivenClassifier | None = None,
    features: str = "squeezenet",
    count: int | None = None,
    seed: int = 0,
    batch_size: int = 32,
    out: str | Path | None = None,
) -> Comparison:
    """Run several methods on the same images for the same targets, and measure what they find.

    Args:
        methods: a method, or the name of one, by what to call it; or names alone.
        classifier: to explain, as of `rather.explain`.
        images: as of `rather.explain`.
        target: a class, or a rule (next, random, nearest, runner-up, confused, prototype).
        confidence: the least probability of the target, besides being the first choice.
        metrics: of `rather.list_metrics`; "validity" is the share of images for which a change is found.
        second_classifier: for metrics that ask an independent classifier.
        features: the net whose features compare sets of pictures: "squeezenet", or "inception:FILE" for FID.
        count: how many of the images, evenly spaced; by default all.
        seed: of all random numbers.
        batch_size: how many images are searched together.
        out: a folder to keep the runs in; the same call resumes them. By default nothing is kept.

    Raises:
        RatherError: CFG-UNKNOWN for a metric that does not exist, and for what cannot be loaded.
    """
    chosen = _chosen(metrics)
    net = as_classifier(classifier, images)
    check_target(target, net)
    pictures = as_dataset(images, net)
    named = methods if isinstance(methods, Mapping) else {name: name for name in methods}
    made = {name: as_method(method, net, pictures) for name, method in named.items()}
    jobs = _jobs(made, net, pictures, target=target, confidence=confidence, count=count, seed=seed)
    second = None if second_classifier is None else as_classifier(second_classifier, images)
    feature_net = features_of(features, net) if _of_features(chosen) else None
    judges = Judges(classifier=net, second_classifier=second, feature_net=feature_net)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) if out is None else Path(out)
        ids = [jobs[0].source.id(index) for index in jobs[0].indices]
        runs = [
            Run.start(one, run_config(job, pictures.name), ids, batch_size)
            for one, job in zip(start_comparison(folder, [*made]), jobs, strict=True)
        ]
        run_pending(runs, jobs, lambda _done, _total: None)
        units = [
            Unit(task="", method=name, seed=seed, run=run, judges=judges, job=job)
            for name, run, job in zip(made, runs, jobs, strict=True)
        ]
        wanted = [*dict.fromkeys(chosen.values())]
        estimates, skipped = estimates_of(units, score_all(units, wanted), wanted)
        found = {name: counterfactuals_of(run) for name, run in zip(made, runs, strict=True)}
    return Comparison(found, estimates, skipped, chosen, None if out is None else folder)


def _chosen(names: Sequence[str]) -> dict[str, Metric]:
    return {name: metric_named(_ALIASES.get(name, name)) for name in names}


def _of_features(metrics: Mapping[str, Metric]) -> bool:
    return any(need.startswith("features_") for metric in metrics.values() for need in metric.needs)


def _jobs(
    methods: Mapping[str, Method],
    net: Classifier,
    pictures: Dataset,
    *,
    target: str,
    confidence: float,
    count: int | None,
    seed: int,
) -> list[Job]:
    spec = ResourceSpec(pictures=pictures, references=references_by_default(net, pictures))
    needs = [Requirement("references", References)] if target in REFERENCED else []
    references = references_of(fill_resources(needs, net, spec.resolve))
    total = len(pictures.test)
    jobs = [
        Job(
            source=pictures.test,
            indices=evenly_spaced(total, count or total),
            classifier=net,
            method=method,
            references=references,
            target=target,
            confidence=confidence,
            seed=seed,
        )
        for method in methods.values()
    ]
    return with_same_goals(jobs)
