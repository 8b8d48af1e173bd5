"""The measures, in one table: what each is called, its unit, which way is better, and how scores make it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from torch import Tensor

from rather.bench.nets import Nets
from rather.errors import RatherError
from rather.metrics.attributes import attributes_changed, correlation_difference
from rather.metrics.causes import cosine_agreement, named_among, rank_agreement
from rather.metrics.distribution import frechet_of_features, split_frechet_of_features

#: Which rows count: all that were asked, those that have an answer, or those whose answer is at its goal.
Over = Literal["asked", "searched", "found"]
Columns = Mapping[str, Tensor]
THEMES: Final = ("answers", "distance", "realism", "attributes", "causes", "costs")


@final
@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number of each row, whose mean is told, or one of a whole set of rows."""

    what: str  # in a line of a table's key
    title: str  # at the head of a column
    unit: str
    higher_is_better: bool
    theme: str  # one of THEMES
    over: Over  # which rows count; where it is "found", the tables have a variant for all that have an answer
    columns: tuple[str, ...]  # of scores
    of: Callable[[Columns, Nets], Tensor]  # (n,) of n rows, or () of a set
    per_row: bool = True
    biased: bool = False  # in few rows: then its interval is a jackknife's
    needs: tuple[str, ...] = ()  # fields of Nets

    @property
    def share(self) -> bool:
        """Whether each row says yes or no."""
        return self.unit == "share of rows"


def _column(name: str) -> Callable[[Columns, Nets], Tensor]:
    return lambda columns, _nets: columns[name]


def _changed(columns: Columns, nets: Nets) -> Tensor:
    return attributes_changed(columns["attributes_before"], columns["attributes_after"], nets.attribute)


def _correlation(columns: Columns, nets: Nets) -> Tensor:
    assert nets.attribute is not None  # noqa: S101 - it is in `needs`
    assert nets.labels is not None  # noqa: S101 - it is in `needs`
    return correlation_difference(
        columns["attributes_before"], columns["attributes_after"], nets.attribute, nets.labels
    )


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


_ATTRIBUTES: Final = ("attributes_before", "attributes_after")
_FEATURES: Final = ("features_before", "features_after")

MEASURES: Final[Mapping[str, Measure]] = {
    "found": Measure(
        what="share of the images whose picture, read back from its file, is at its goal",
        title="found",
        unit="share of rows",
        higher_is_better=True,
        theme="answers",
        over="asked",
        columns=("found",),
        of=_column("found"),
    ),
    "confidence": Measure(
        what="probability of the target after the change",
        title="confidence",
        unit="probability",
        higher_is_better=True,
        theme="answers",
        over="found",
        columns=("confidence",),
        of=_column("confidence"),
    ),
    "transfer": Measure(
        what="share that a second classifier, too, calls the target",
        title="transfer",
        unit="share of rows",
        higher_is_better=True,
        theme="answers",
        over="found",
        columns=("transfer",),
        of=_column("transfer"),
        needs=("judge",),
    ),
    "cout": Measure(
        what="COUT: how soon the answer changes, if the most changed pixels come first",
        title="COUT",
        unit="-1 to 1",
        higher_is_better=True,
        theme="answers",
        over="searched",
        columns=("cout",),
        of=_column("cout"),
    ),
    "l1": Measure(
        what="mean absolute change of a pixel value in [0, 1]",
        title="L1",
        unit="pixel value",
        higher_is_better=False,
        theme="distance",
        over="found",
        columns=("l1",),
        of=_column("l1"),
    ),
    "l2": Measure(
        what="root of the summed squared changes",
        title="L2",
        unit="pixel value",
        higher_is_better=False,
        theme="distance",
        over="found",
        columns=("l2",),
        of=_column("l2"),
    ),
    "share_changed": Measure(
        what="share of the pixels that differ by a step of 8 bits or more",
        title="pixels",
        unit="share of pixels",
        higher_is_better=False,
        theme="distance",
        over="found",
        columns=("share_changed",),
        of=_column("share_changed"),
    ),
    "hoyer": Measure(
        what="Hoyer's sparsity of the change, 1 for one pixel",
        title="Hoyer",
        unit="0 to 1",
        higher_is_better=True,
        theme="distance",
        over="found",
        columns=("hoyer",),
        of=_column("hoyer"),
    ),
    "edits": Measure(
        what="edits, of methods that count them",
        title="edits",
        unit="edits",
        higher_is_better=False,
        theme="distance",
        over="found",
        columns=("edits",),
        of=_column("edits"),
    ),
    "similarity": Measure(
        what="cosine of the net's features before and after",
        title="similarity",
        unit="-1 to 1",
        higher_is_better=True,
        theme="realism",
        over="found",
        columns=("similarity",),
        of=_column("similarity"),
        needs=("features",),
    ),
    "frechet": Measure(
        what="Frechet distance of answers to queries in the net's features; falls with the number of rows",
        title="Frechet",
        unit="features squared",
        higher_is_better=False,
        theme="realism",
        over="found",
        columns=_FEATURES,
        of=lambda columns, _nets: frechet_of_features(columns["features_after"], columns["features_before"]),
        per_row=False,
        biased=True,
        needs=("features",),
    ),
    "split_frechet": Measure(
        what="the same of answers to the queries of other rows, mean of 10 splits (the protocol of sFID)",
        title="split Frechet",
        unit="features squared",
        higher_is_better=False,
        theme="realism",
        over="found",
        columns=(*_FEATURES, "halves"),
        of=_split,
        per_row=False,
        biased=True,
        needs=("features",),
    ),
    "attributes_changed": Measure(
        what="MNAC: attributes that came or went, as the oracle reads them, the queried one left out",
        title="MNAC",
        unit="attributes",
        higher_is_better=False,
        theme="attributes",
        over="found",
        columns=_ATTRIBUTES,
        of=_changed,
        needs=("oracle",),
    ),
    "correlation_difference": Measure(
        what="CD: how far the changes' correlations are from the labels'; not to be read alone",
        title="CD",
        unit="sum of correlations",
        higher_is_better=False,
        theme="attributes",
        over="found",
        columns=_ATTRIBUTES,
        of=_correlation,
        per_row=False,
        needs=("oracle", "attribute", "labels"),
    ),
    "names_cause": Measure(
        what="share whose most changed attribute is the one with the largest true effect",
        title="names the cause",
        unit="share of rows",
        higher_is_better=True,
        theme="causes",
        over="found",
        columns=_ATTRIBUTES,
        of=lambda columns, nets: named_among(_moves(columns), int(_effects(nets).abs().argmax()), 1).double(),
        needs=("oracle", "effects"),
    ),
    "rank_agreement": Measure(
        what="rank correlation of what changed with what truly has an effect",
        title="rank agreement",
        unit="-1 to 1",
        higher_is_better=True,
        theme="causes",
        over="found",
        columns=_ATTRIBUTES,
        of=lambda columns, nets: rank_agreement(_moves(columns), _effects(nets)),
        per_row=False,
        needs=("oracle", "effects"),
    ),
    "cosine_agreement": Measure(
        what="cosine of what changed with what truly has an effect",
        title="cosine agreement",
        unit="0 to 1",
        higher_is_better=True,
        theme="causes",
        over="found",
        columns=_ATTRIBUTES,
        of=lambda columns, nets: cosine_agreement(_moves(columns), _effects(nets)),
        per_row=False,
        needs=("oracle", "effects"),
    ),
    "evaluations": Measure(
        what="how often the classifier, or its head, was asked",
        title="evaluations",
        unit="an image",
        higher_is_better=False,
        theme="costs",
        over="searched",
        columns=("evaluations",),
        of=_column("evaluations"),
    ),
    "seconds": Measure(
        what="of the method's call",
        title="seconds",
        unit="an image",
        higher_is_better=False,
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
