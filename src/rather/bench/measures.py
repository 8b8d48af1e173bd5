"""The measures of a benchmark, in one table: which metric, of which rows, and how scores make it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal, final

import torch
from torch import Tensor

from rather.bench import samples
from rather.bench.judges import Nets
from rather.config.errors import RatherError
from rather.metrics import Metric, list_metrics
from rather.metrics.distribution import frechet_of_features, kid_of_features, split_frechet_of_features
from rather.metrics.ground_truth import cosine_agreement, named_among, rank_agreement
from rather.metrics.oracle_attributes import attributes_changed, correlation_difference

#: Which rows count: all that were asked, those that have an answer, or those whose answer is at its goal.
Over = Literal["asked", "searched", "found"]
Columns = Mapping[str, Tensor]
THEMES: Final = ("answers", "meaning", "distance", "realism", "cells", "attributes", "causes", "costs")


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
    shared: bool = False  # by all rows of a chunk: then no test can tell methods apart
    seeds: int = 1  # of which it needs the answers
    blank: str = ""  # why no row of a method has it, if that does not go without saying

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


def _score(
    name: str,
    title: str,
    theme: str,
    *,
    metric: Metric | None = None,
    over: Over = "found",
    need: str = "",
    blank: str = "",
) -> Measure:
    """A score as it is, of the metric of its name if no other is given."""
    return Measure(
        title=title,
        metric=metric or _metric(name),
        theme=theme,
        over=over,
        columns=(name,),
        of=lambda columns, _nets: columns[name],
        needs=(need,) if need else (),
        blank=blank,
    )


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
_DENOISER_CALLS: Final = _cost(
    "denoiser_calls", "How often a diffusion model's net was asked (lower is better).", "a row"
)
_MEMORY: Final = _cost(
    "memory",
    "What the method's call took at its peak, beyond what was in use before (lower is better).",
    "MB, of a call with all images of a chunk",
)
_SECONDS: Final = _cost("seconds", "Of the method's call (lower is better).", "a row")

_NO_CELLS: Final = "it exchanges no cells between pictures that both show {}"
#: All seeds have one target: then it is better if they go for one place.
_AGREEMENT: Final = replace(
    _metric("cell_agreement"),
    what="Share of the pairs of seeds that exchanged the same cell first (higher is better).",
    higher_is_better=True,
)

MEASURES: Final[Mapping[str, Measure]] = {
    "found": _score("found", "found", "answers", metric=_metric("reached"), over="asked"),
    "confidence": _score("confidence", "confidence", "answers"),
    "transfer": _score("transfer", "transfer", "answers", need="judge"),
    "survives_jpeg": _score("survives_jpeg", "after JPEG", "answers", metric=_metric("survives")),
    "survives_filter": _score(
        "survives_filter", "after a filter", "answers", metric=_metric("survives"), need="filter"
    ),
    "cout": _score("cout", "COUT", "answers", over="searched"),
    "telling": _score("telling", "telling", "meaning", over="searched", need="judge"),
    "noncausal_flip": _score("noncausal_flip", "non-causal", "meaning", over="searched", need="judge"),
    "trivial_flip": _score("trivial_flip", "trivial", "meaning", over="searched", need="judge"),
    "l1": _score("l1", "L1", "distance"),
    "l2": _score("l2", "L2", "distance"),
    "share_changed": _score("share_changed", "pixels", "distance"),
    "hoyer": _score("hoyer", "Hoyer", "distance"),
    "edits": _score("edits", "edits", "distance", metric=_metric("edit_count")),
    "similarity": _score("similarity", "similarity", "realism", metric=_metric("identity_similarity"), need="features"),
    "identity": Measure(
        title="identity",
        metric=_metric("identity_kept"),
        theme="realism",
        columns=("similarity",),
        of=lambda c, nets: (c["similarity"] > nets.alike).double(),
        needs=("features",),
    ),
    "s3": _score("s3", "S3", "realism", need="encoder"),
    "im1": _score("im1", "IM1", "realism", need="autoencoders"),
    "im2": _score("im2", "IM2", "realism", need="autoencoders"),
    "diversity": replace(
        _score("diversity", "diversity", "realism", metric=_metric("feature_diversity"), need="features"), seeds=2
    ),
    "cardinality": replace(
        _score("cardinality", "cardinality", "meaning", over="searched"), needs=("judge", "oracle"), seeds=2
    ),
    "near_key_point": _score(
        "near_key_point", "near KP", "cells", need="key_points_of", blank=_NO_CELLS.format("key points")
    ),
    "same_key_point": _score(
        "same_key_point", "same KP", "cells", need="key_points_of", blank=_NO_CELLS.format("key points")
    ),
    "inside_object": _score(
        "inside_object", "in the object", "cells", need="objects_of", blank=_NO_CELLS.format("the object")
    ),
    "cell_agreement": replace(
        _score("cell_agreement", "agreement", "cells", metric=_AGREEMENT, over="searched"),
        seeds=2,
        blank="no image of which all seeds exchange cells",
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
        samples=lambda c, _nets, w: samples.split_frechet(c["features_after"], c["features_before"], c["halves"], w),
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
    "inside_true_change": _score("inside_true_change", "inside", "causes", need="truth"),
    "distance_to_truth": _score("distance_to_truth", "to the truth", "causes", need="truth"),
    "evaluations": _score("evaluations", "evaluations", "costs", metric=_EVALUATIONS, over="searched"),
    "denoiser_calls": _score("denoiser_calls", "denoised", "costs", metric=_DENOISER_CALLS, over="searched"),
    "seconds": replace(_score("seconds", "seconds", "costs", metric=_SECONDS, over="searched"), shared=True),
    "memory": Measure(
        title="MB",
        metric=_MEMORY,
        theme="costs",
        over="searched",
        columns=("memory",),
        shared=True,
        of=lambda columns, _nets: columns["memory"] / 1e6,
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
