"""The measures of a benchmark, in one table: which metric, of which rows, and how scores make it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, final

import torch
from torch import Tensor

from rather.bench import samples
from rather.bench.nets import Nets
from rather.errors import RatherError
from rather.metrics import Metric, list_metrics
from rather.metrics.attributes import attributes_changed, correlation_difference
from rather.metrics.causes import cosine_agreement, named_among, rank_agreement
from rather.metrics.distribution import frechet_of_features, kid_of_features, split_frechet_of_features

#: Which rows count: all that were asked, those that have an answer, or those whose answer is at its goal.
Over = Literal["asked", "searched", "found"]
Columns = Mapping[str, Tensor]
THEMES: Final = ("answers", "meaning", "distance", "realism", "attributes", "causes", "costs")


@final
@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number of each row, whose mean is told, or one of a whole set of rows."""

    title: str  # at the head of a column
    metric: Metric  # what it is, its unit, and which way is better
    theme: str  # one of THEMES
    columns: tuple[str, ...]  # of scores
    of: Callable[[Columns, Nets], Tensor]  # (n,) of n rows, or () of a set
    over: Over = "found"  # which rows count; of successes the tables have a variant for all answers
    samples: Callable[[Columns, Nets, samples.Weights], Tensor] | None = None  # (s,): then it is of a set
    biased: bool = False  # in few rows: then its interval is a jackknife's
    needs: tuple[str, ...] = ()  # fields of Nets

    @property
    def what(self) -> str:
        """In a line."""
        return self.metric.what

    @property
    def unit(self) -> str:
        """Of its numbers."""
        return self.metric.unit.removesuffix(".")

    @property
    def higher_is_better(self) -> bool:
        """Or lower."""
        return bool(self.metric.higher_is_better)

    @property
    def per_row(self) -> bool:
        """Whether each row has one, or only a set of them."""
        return self.samples is None

    @property
    def share(self) -> bool:
        """Whether each row says yes or no, so that the mean is a share."""
        return self.unit.startswith("yes or no")


@cache
def _known() -> dict[str, Metric]:
    return list_metrics()


def _metric(name: str) -> Metric:
    return _known()[name]


def _cost(name: str, what: str, unit: str) -> Metric:
    return Metric(name, "", "", what, higher_is_better=False, unit=unit)


def _column(name: str) -> Callable[[Columns, Nets], Tensor]:
    return lambda columns, _nets: columns[name]


def _changed(columns: Columns, _nets: Nets) -> Tensor:
    """The queried attribute counts: so it does in published numbers."""
    return attributes_changed(columns["attributes_before"], columns["attributes_after"])


def _asked(columns: Columns, nets: Nets) -> tuple[Tensor, Tensor, int, Tensor]:
    assert nets.attribute is not None  # noqa: S101 - it is in `needs`
    assert nets.labels is not None  # noqa: S101 - it is in `needs`
    return columns["attributes_before"], columns["attributes_after"], nets.attribute, nets.labels


def _correlation(columns: Columns, nets: Nets) -> Tensor:
    return correlation_difference(*_asked(columns, nets))


def _correlations(columns: Columns, nets: Nets, weights: samples.Weights) -> Tensor:
    return samples.correlation_difference(*_asked(columns, nets), weights)


def _moves(columns: Columns) -> Tensor:
    """By how much each attribute changed, as the oracle reads it."""
    return columns["attributes_after"] - columns["attributes_before"]


def _effects(nets: Nets) -> Tensor:
    assert nets.effects is not None  # noqa: S101 - it is in `needs`
    return nets.effects


def _split(columns: Columns, _nets: Nets) -> Tensor:
    return split_frechet_of_features(
        columns["features_after"], columns["features_before"], columns["halves"].T.bool()
    ).mean()


def _names(columns: Columns, nets: Nets) -> Tensor:
    return named_among(_moves(columns), int(_effects(nets).abs().argmax()), 1)


_ATTRIBUTES: Final = ("attributes_before", "attributes_after")
_FEATURES: Final = ("features_before", "features_after")

_EVALUATIONS: Final = _cost(
    "evaluations", "How often the classifier, or its head, was asked (lower is better).", "a row"
)
_SECONDS: Final = _cost("seconds", "Of the method's call (lower is better).", "a row")

MEASURES: Final[Mapping[str, Measure]] = {
    "found": Measure(
        title="found",
        metric=_metric("reached"),
        theme="answers",
        over="asked",
        columns=("found",),
        of=_column("found"),
    ),
    "confidence": Measure(
        title="confidence",
        metric=_metric("confidence"),
        theme="answers",
        columns=("confidence",),
        of=_column("confidence"),
    ),
    "transfer": Measure(
        title="transfer",
        metric=_metric("transfer"),
        theme="answers",
        columns=("transfer",),
        of=_column("transfer"),
        needs=("judge",),
    ),
    "survives_jpeg": Measure(
        title="after JPEG",
        metric=_metric("survives"),
        theme="answers",
        columns=("survives_jpeg",),
        of=_column("survives_jpeg"),
    ),
    "survives_filter": Measure(
        title="after a filter",
        metric=_metric("survives"),
        theme="answers",
        columns=("survives_filter",),
        of=_column("survives_filter"),
        needs=("filter",),
    ),
    "cout": Measure(
        title="COUT",
        metric=_metric("cout"),
        theme="answers",
        over="searched",
        columns=("cout",),
        of=_column("cout"),
    ),
    "telling": Measure(
        title="telling",
        metric=_metric("telling"),
        theme="meaning",
        over="searched",
        columns=("telling",),
        of=_column("telling"),
        needs=("judge",),
    ),
    "noncausal_flip": Measure(
        title="non-causal",
        metric=_metric("noncausal_flip"),
        theme="meaning",
        over="searched",
        columns=("noncausal_flip",),
        of=_column("noncausal_flip"),
        needs=("judge",),
    ),
    "trivial_flip": Measure(
        title="trivial",
        metric=_metric("trivial_flip"),
        theme="meaning",
        over="searched",
        columns=("trivial_flip",),
        of=_column("trivial_flip"),
        needs=("judge",),
    ),
    "l1": Measure(
        title="L1",
        metric=_metric("l1"),
        theme="distance",
        columns=("l1",),
        of=_column("l1"),
    ),
    "l2": Measure(
        title="L2",
        metric=_metric("l2"),
        theme="distance",
        columns=("l2",),
        of=_column("l2"),
    ),
    "share_changed": Measure(
        title="pixels",
        metric=_metric("share_changed"),
        theme="distance",
        columns=("share_changed",),
        of=_column("share_changed"),
    ),
    "hoyer": Measure(
        title="Hoyer",
        metric=_metric("hoyer"),
        theme="distance",
        columns=("hoyer",),
        of=_column("hoyer"),
    ),
    "edits": Measure(
        title="edits",
        metric=_metric("edit_count"),
        theme="distance",
        columns=("edits",),
        of=_column("edits"),
    ),
    "similarity": Measure(
        title="similarity",
        metric=_metric("identity_similarity"),
        theme="realism",
        columns=("similarity",),
        of=_column("similarity"),
        needs=("features",),
    ),
    "identity": Measure(
        title="identity",
        metric=_metric("identity_kept"),
        theme="realism",
        columns=("similarity",),
        of=lambda c, nets: (c["similarity"] > nets.alike).double(),
        needs=("features",),
    ),
    "s3": Measure(
        title="S3",
        metric=_metric("s3"),
        theme="realism",
        columns=("s3",),
        of=_column("s3"),
        needs=("encoder",),
    ),
    "diversity": Measure(
        title="diversity",
        metric=_metric("feature_diversity"),
        theme="realism",
        columns=("diversity",),
        of=_column("diversity"),
        needs=("features",),
    ),
    "frechet": Measure(
        title="Frechet",
        metric=_metric("frechet_of_features"),
        theme="realism",
        columns=_FEATURES,
        of=lambda c, _nets: frechet_of_features(c["features_after"], c["features_before"]),
        samples=lambda c, _nets, w: samples.frechet(c["features_after"], c["features_before"], w, w),
        biased=True,
        needs=("features",),
    ),
    "split_frechet": Measure(
        title="split Frechet",
        metric=_metric("split_frechet_of_features"),
        theme="realism",
        columns=(*_FEATURES, "halves"),
        of=_split,
        samples=lambda c, _nets, w: samples.split_frechet(
            c["features_after"], c["features_before"], c["halves"], w
        ),
        biased=True,
        needs=("features",),
    ),
    "kid": Measure(
        title="KID",
        metric=_metric("kid_of_features"),
        theme="realism",
        columns=_FEATURES,
        of=lambda c, _nets: kid_of_features(c["features_after"], c["features_before"], paired=True),
        samples=lambda c, _nets, w: samples.kid(c["features_after"], c["features_before"], w),
        biased=True,
        needs=("features",),
    ),
    "attributes_changed": Measure(
        title="MNAC",
        metric=_metric("attributes_changed"),
        theme="attributes",
        columns=_ATTRIBUTES,
        of=_changed,
        needs=("oracle",),
    ),
    "correlation_difference": Measure(
        title="CD",
        metric=_metric("correlation_difference"),
        theme="attributes",
        columns=_ATTRIBUTES,
        of=_correlation,
        samples=_correlations,
        biased=True,  # a sum of distances, each away from 0
        needs=("oracle", "attribute", "labels"),
    ),
    "names_cause": Measure(
        title="names the cause",
        metric=_metric("named_among"),
        theme="causes",
        columns=_ATTRIBUTES,
        of=_names,
        needs=("oracle", "effects"),
    ),
    "rank_agreement": Measure(
        title="rank agreement",
        metric=_metric("rank_agreement"),
        theme="causes",
        columns=_ATTRIBUTES,
        of=lambda c, nets: rank_agreement(_moves(c), _effects(nets)),
        samples=lambda c, nets, w: samples.rank_agreement(_moves(c), _effects(nets), w),
        needs=("oracle", "effects"),
    ),
    "cosine_agreement": Measure(
        title="cosine agreement",
        metric=_metric("cosine_agreement"),
        theme="causes",
        columns=_ATTRIBUTES,
        of=lambda c, nets: cosine_agreement(_moves(c), _effects(nets)),
        samples=lambda c, nets, w: samples.cosine_agreement(_moves(c), _effects(nets), w),
        needs=("oracle", "effects"),
    ),
    "inside_true_change": Measure(
        title="inside",
        metric=_metric("inside_true_change"),
        theme="causes",
        columns=("inside_true_change",),
        of=_column("inside_true_change"),
        needs=("truth",),
    ),
    "distance_to_truth": Measure(
        title="to the truth",
        metric=_metric("distance_to_truth"),
        theme="causes",
        columns=("distance_to_truth",),
        of=_column("distance_to_truth"),
        needs=("truth",),
    ),
    "evaluations": Measure(
        title="evaluations",
        metric=_EVALUATIONS,
        theme="costs",
        over="searched",
        columns=("evaluations",),
        of=_column("evaluations"),
    ),
    "seconds": Measure(
        title="seconds",
        metric=_SECONDS,
        theme="costs",
        over="searched",
        columns=("seconds",),
        of=_column("seconds"),
    ),
}


def value(measure: Measure, columns: Columns, nets: Nets) -> Tensor:
    """A measure of rows; NaN of a set that is too small for it."""
    try:
        return measure.of(columns, nets).double()
    except RatherError as error:
        if error.code != "DATA-EMPTY":
            raise
        return torch.tensor(torch.nan, dtype=torch.float64)
