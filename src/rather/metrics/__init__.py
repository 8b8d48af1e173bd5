"""The metrics, one file for each question that they answer.

A metric is a pure function of tensors, and of the nets that it asks, with one value for each row, or one for a whole
set of rows. The decorator `metric` says its unit, which way is better and where it is from; `rather bench` fills its
parameters by their names.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from rather.metrics.registry import METRICS, Metric, list_metrics, metric

if TYPE_CHECKING:
    from rather.metrics.cell_edits import cell_agreement, inside_object, near_key_point, same_key_point
    from rather.metrics.costs import denoiser_calls, evaluations, memory, seconds
    from rather.metrics.distribution import (
        frechet,
        frechet_distance,
        frechet_of_features,
        kid,
        kid_of_features,
        split_frechet,
    )
    from rather.metrics.features import pooled
    from rather.metrics.flips import causal_flip, noncausal_flip, sce, trivial_flip
    from rather.metrics.ground_truth import (
        area_under_curve,
        cosine_agreement,
        distance_to_truth,
        inside_true_change,
        largest_changes,
        named_among,
        names_cause,
        rank_agreement,
    )
    from rather.metrics.oracle_attributes import attributes_changed, correlation_difference
    from rather.metrics.prediction import confidence, found, transfer
    from rather.metrics.proximity import edits, hoyer, l1, l2, share_changed
    from rather.metrics.realism import im1, im2
    from rather.metrics.resemblance import identity, s3, similarity
    from rather.metrics.robustness import as_jpeg, robustness_filter, robustness_jpeg, survives
    from rather.metrics.transition import cout
    from rather.metrics.variety import cardinality, diversity

__all__ = [
    "METRICS",
    "Metric",
    "area_under_curve",
    "as_jpeg",
    "attributes_changed",
    "cardinality",
    "causal_flip",
    "cell_agreement",
    "confidence",
    "correlation_difference",
    "cosine_agreement",
    "cout",
    "denoiser_calls",
    "distance_to_truth",
    "diversity",
    "edits",
    "evaluations",
    "found",
    "frechet",
    "frechet_distance",
    "frechet_of_features",
    "hoyer",
    "identity",
    "im1",
    "im2",
    "inside_object",
    "inside_true_change",
    "kid",
    "kid_of_features",
    "l1",
    "l2",
    "largest_changes",
    "list_metrics",
    "load_metrics",
    "memory",
    "metric",
    "named_among",
    "names_cause",
    "near_key_point",
    "noncausal_flip",
    "pooled",
    "rank_agreement",
    "robustness_filter",
    "robustness_jpeg",
    "s3",
    "same_key_point",
    "sce",
    "seconds",
    "share_changed",
    "similarity",
    "split_frechet",
    "survives",
    "transfer",
    "trivial_flip",
]


def load_metrics() -> dict[str, Metric]:
    """The metrics by name, those of the package and those that other modules have registered."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return METRICS


def __getattr__(name: str) -> Any:
    """A metric, imported when it is first used: `rather list metrics` loads no torch."""
    for module in iter_modules(__path__) if name in __all__ else ():
        home = import_module(f"{__name__}.{module.name}")
        if getattr(getattr(home, name, None), "__module__", "") == home.__name__:
            return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
