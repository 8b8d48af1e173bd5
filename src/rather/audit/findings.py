"""What an audit finds, as values: numbers with intervals, rows to look at, and what is suspicious of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal, final

from jaxtyping import Float
from torch import Tensor

from rather.stats import wilson

#: Rows, and columns, of the places.
GRID: Final = 4
_ERROR: Final = 0.05
Kind = Literal["attribute", "region", "place"]


@final
@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def least(self) -> float:
        """How far it is from 0 at least, by its interval; 0 if that holds 0."""
        return max(self.low, -self.high, 0.0)

    def __neg__(self) -> Estimate:
        return Estimate(value=-self.value, low=-self.high, high=-self.low)


@final
@dataclass(frozen=True, kw_only=True)
class Share:
    """So many of so many, and the 95 % interval of the share."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share; of nothing 0."""
        return self.count / max(self.of, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """By Wilson; of nothing everything is possible."""
        return wilson(self.count, self.of) if self.of else (0.0, 1.0)

    def among(self, shares: int) -> tuple[float, float]:
        """The interval if the share was picked from so many: all of theirs hold with 95 % (Bonferroni)."""
        z = NormalDist().inv_cdf(1 - _ERROR / 2 / shares)
        return wilson(self.count, self.of, z=z) if self.of else (0.0, 1.0)


@final
@dataclass(frozen=True, kw_only=True)
class Attribute:
    """An attribute, as an oracle reads it: does the answer go with it, and does it change along?"""

    name: str
    has: Share  # images that have it
    towards: str  # the class whose probability is meant
    answer: Estimate | None  # what having it adds to the probability; None if too few have it, or have it not
    label: Estimate | None  # what it adds to the share of images with that label; None without labels
    excess: Estimate | None  # the one less the other
    changed: Share  # counterfactuals in which it came or went
    amount: float  # mean |change| of what the oracle says
    examples: Sequence[str]  # rows in which it changed most


@final
@dataclass(frozen=True, kw_only=True)
class Region:
    """A region of the picture, as a segmenter sees it, and how much of the change lies there."""

    name: str
    share: Estimate  # of all change, mean over the rows
    area: float  # of all pixels, mean over the rows
    examples: Sequence[str]  # rows with the largest shares


@final
@dataclass(frozen=True, kw_only=True)
class Place:
    """A part of the frame, the same for all images: does the answer come along when it is swapped?"""

    name: str
    cells: Sequence[tuple[int, int]]  # row and column of a grid of 4 x 4; none where it is no part of it
    decides: Share  # images that take on another image's answer with that image's content there
    heals: Share | None  # images with a wrong answer that becomes right with the content of a right one of
    # the same label there; of all with a label, right ones too; None without labels
    examples: Sequence[str]  # rows that are healed, or that take on the other answer

    @property
    def size(self) -> int:
        """How many cells; of what is no part, all."""
        return len(self.cells) or GRID**2


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """What changes from what the classifier says to what was asked for: the mean over rows."""

    predicted: str
    target: str
    rows: int
    query: Float[Tensor, "c h w"]
    counterfactual: Float[Tensor, "c h w"]
    amount: Float[Tensor, "h w"]  # mean of the largest |difference| of the channels


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Cluster:
    """Rows of which the same changed."""

    share: Share
    amount: Float[Tensor, "h w"]  # as of a pair, each row brought to a sum of 1 first
    spread: float  # how many cells of 8 x 8 as much change would fill evenly: exp of the entropy
    pairs: Sequence[tuple[str, str, int]]  # predicted, target, rows
    examples: Sequence[str]  # those in its middle


@final
@dataclass(frozen=True, kw_only=True)
class Member:
    """How far an image lies inside its class: mean |difference| of the pixels, in pixel values."""

    id: str
    leave: float  # that had to change until the classifier said another class
    surer: float | None  # and until it was surer of the class; None if that was not asked


@final
@dataclass(frozen=True, kw_only=True)
class Kin:
    """Typical and odd images of a class, as the classifier has it.

    S. Liu et al., "Generative counterfactual introspection for explainable deep learning", 2019, figure 8: a
    prototype has to change much until it is of another class, and little until it is surer of its own.
    """

    predicted: str
    rows: int
    prototypes: Sequence[Member]
    outliers: Sequence[Member]


@final
@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """A warning: what the answer seems to go by without having to, by which rule, with which evidence."""

    kind: Kind
    name: str
    rule: str
    evidence: str
    strength: float  # from 0 to 1: for how much of the answer it accounts at least, by its interval
    examples: Sequence[str]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """All of it."""

    rows: int
    found: int  # with a counterfactual
    image: Float[Tensor, "c h w"]  # the mean of all
    right: Share | None  # of images with a label those of which the classifier says it; None without labels
    warnings: Sequence[Suspicion]
    attributes: Sequence[Attribute]
    regions: Sequence[Region]
    places: Sequence[Place]
    pairs: Sequence[Pair]
    clusters: Sequence[Cluster]
    kin: Sequence[Kin]
    notes: Sequence[str]  # what could not be looked at, and why
