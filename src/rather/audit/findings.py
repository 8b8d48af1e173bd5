"""What an audit finds: numbers with intervals, examples, and what of it is suspicious."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal, final

from jaxtyping import Float
from torch import Tensor

from rather.data.agreement import Agreement
from rather.stats import wilson

#: Rows, and columns, of the grid of places.
GRID: Final = 4
_ERROR: Final = 0.05
Kind = Literal["attribute", "region", "place", "labels"]


@final
@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def least(self) -> float:
        """The smallest distance from 0 within the interval; 0 if the interval contains 0."""
        return max(self.low, -self.high, 0.0)


@final
@dataclass(frozen=True, kw_only=True)
class Share:
    """A count out of a total, and the 95 % interval of the share."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share; 0 of a total of 0."""
        return self.count / max(self.of, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval; (0, 1) of a total of 0."""
        return wilson(self.count, self.of) if self.of else (0.0, 1.0)

    def among(self, shares: int) -> tuple[float, float]:
        """The interval if the share is the best of so many: all of them hold together with 95 % (Bonferroni)."""
        z = NormalDist().inv_cdf(1 - _ERROR / 2 / shares)
        return wilson(self.count, self.of, z=z) if self.of else (0.0, 1.0)


@final
@dataclass(frozen=True, kw_only=True)
class Attribute:
    """An attribute: its effect on the prediction with the other attributes held fixed, and how often it changed."""

    name: str
    has: Share  # images with it
    towards: str  # the class whose probability `answer` is about
    answer: Estimate | None  # effect on the probability; None if too few images have it, or do not have it
    label: Estimate | None  # effect on the share of images with that label; None without labels
    excess: Estimate | None  # the difference of the two
    changed: Share  # counterfactuals in which it appeared or disappeared
    amount: float  # mean |change| of its value
    examples: Sequence[str]  # rows in which it changed most


@final
@dataclass(frozen=True, kw_only=True)
class Region:
    """A region of the picture, by a segmenter, and how much of the change lies in it."""

    name: str
    share: Estimate  # of all change, mean over the rows
    area: float  # of all pixels, mean over the rows
    examples: Sequence[str]  # rows with the largest shares


@final
@dataclass(frozen=True, kw_only=True)
class Place:
    """A part of the frame, the same in all images: does the prediction move with its content?"""

    name: str
    cells: Sequence[tuple[int, int]]  # row and column of a grid of 4 x 4; none for the colour of the whole picture
    decides: Share  # images whose prediction becomes another image's with that image's content in the place
    repairs: Share | None  # images whose wrong prediction becomes right with the content of a correctly predicted image
    # of the same label; out of all images with a label; None without labels
    examples: Sequence[str]  # rows that are repaired, or whose prediction moves

    @property
    def size(self) -> int:
        """The number of cells; all of them for the colour of the whole picture."""
        return len(self.cells) or GRID**2


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """What changes from the predicted class to the target: the mean over rows."""

    predicted: str
    target: str
    rows: int
    query: Float[Tensor, "c h w"]
    counterfactual: Float[Tensor, "c h w"]
    amount: Float[Tensor, "h w"]  # mean of the largest |difference| of the channels


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Cluster:
    """Rows whose change lies in the same place."""

    share: Share
    amount: Float[Tensor, "h w"]  # as of a pair, after scaling each row to a sum of 1
    spread: float  # how many cells of 8 x 8 an even change of this entropy would fill
    pairs: Sequence[tuple[str, str, int]]  # predicted, target, rows
    examples: Sequence[str]  # the rows nearest to its centre


@final
@dataclass(frozen=True, kw_only=True)
class Member:
    """An image of a class, by the mean |difference| of the pixels, in pixel values."""

    id: str
    change: float  # that another prediction needed
    surer: float | None  # that more confidence needed; None if that was not asked


@final
@dataclass(frozen=True, kw_only=True)
class Typicality:
    """The most and the least typical images of a class, for the classifier.

    S. Liu et al., "Generative counterfactual introspection for explainable deep learning", 2019, figure 8: a prototype
    needs a large change to another class, and a small change to be surer of its own.
    """

    predicted: str
    rows: int
    prototypes: Sequence[Member]
    outliers: Sequence[Member]


@final
@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """A warning: what the prediction seems to rely on without reason, by which rule, with which evidence."""

    kind: Kind
    name: str
    rule: str
    evidence: str
    strength: float  # 0 to 1: the least share of the prediction that it explains, by its interval
    examples: Sequence[str]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """All findings of a run."""

    rows: int
    found: int  # rows with a counterfactual
    image: Float[Tensor, "c h w"]  # the mean image
    agreement: Agreement | None  # of the predictions with the labels; None without labels
    warnings: Sequence[Suspicion]
    attributes: Sequence[Attribute]
    regions: Sequence[Region]
    places: Sequence[Place]
    pairs: Sequence[Pair]
    clusters: Sequence[Cluster]
    typical: Sequence[Typicality]
    notes: Sequence[str]  # what could not be examined, and why
