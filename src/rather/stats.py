"""How sure a figure is, and whether two differ: over images, each with the rows of all seeds together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit
from scipy.stats import rankdata
from torch import Tensor

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
#: Of the standard normal distribution 95 % lie within this on either side.
Z: Final = 1.959964
RESAMPLES: Final = 2_000
STATISTICS: Final = 500  # resamples of what is no mean, and takes longer
SIGNS: Final = 9_999  # draws of signs; the smallest p is one in ten thousand
GROUPS: Final = 20  # of images, that the jackknife leaves out
FEWEST: Final = 8  # images of which some can be left out, or that two methods are compared on


def wilson(count: float, of: int, *, z: float = Z) -> tuple[float, float]:
    """The interval of a share (Wilson, 1927), of 95 % if z is not given; the count may be a mean over seeds.

    >>> tuple(round(end, 3) for end in wilson(81, 90))
    (0.821, 0.946)
    """
    p = count / of
    middle = (p + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z * (p * (1 - p) / of + z**2 / (4 * of**2)) ** 0.5 / (1 + z**2 / of)
    return middle - half, middle + half


def mid_ranks(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The place of each value when they are in order, from 1 on; equal ones share the middle of theirs."""
    return torch.from_numpy(rankdata(values.cpu().numpy()))


def rank_correlation(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Spearman's rank correlation (1904), from -1 to 1, in 64 bits.

    NaN where there is no order to agree on: all of one side are equal, or a value is NaN.
    """
    if a.isnan().any() or b.isnan().any():
        return torch.full((), torch.nan, dtype=torch.float64)
    one, other = (ranks - ranks.mean() for ranks in (mid_ranks(a), mid_ranks(b)))
    correlation: Tensor = (one @ other) / (one.norm() * other.norm())
    return correlation


def image_means(values: Numbers, image: Places, count: int) -> Numbers:
    """The mean of each image's rows that have a value; NaN of an image without.

    >>> image_means(np.array([1.0, 3.0, np.nan]), np.array([0, 0, 1]), 3)
    array([ 2., nan, nan])
    """
    known = ~np.isnan(values)
    total = np.bincount(image[known], values[known], count)
    rows = np.bincount(image[known], minlength=count)
    with np.errstate(invalid="ignore"):
        means: Numbers = total / rows
    return means


def draws(count: int, seed: int = 0) -> Numbers:
    """How often each of `count` images is in each of the bootstrap's samples: (RESAMPLES, count).

    All methods of a task get the same, so that their differences can be resampled as well.
    """
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return weights.astype(np.float64)


def bootstrap_mean(means: Numbers, weights: Numbers) -> tuple[float, float]:
    """The 95 % interval of the mean over images that have one: the bootstrap's percentiles."""
    known = ~np.isnan(means)
    some = weights[:, known]
    size = some.sum(1)
    return percentiles((some @ means[known])[size > 0] / size[size > 0])


def percentiles(values: Numbers) -> tuple[float, float]:
    """The 95 % interval; samples in which the statistic is not defined are left out."""
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.percentile(known, [2.5, 97.5]).tolist()
    return low, high


def resampled(image: Places, weights: Numbers) -> Numbers:
    """How often each row is in each of the bootstrap's samples: images are drawn, each with all of its rows."""
    return weights[:STATISTICS][:, image]


def sign_flip(differences: Numbers, seed: int = 0) -> float:
    """The p-value of a mean difference of pairs above 0: how often random signs give as much (Fisher, 1935).

    Exact up to the number of draws, whatever the numbers are; of yes and no it is McNemar's exact test. One side:
    differences that are below 0 on the whole have a p of more than a half.

    >>> sign_flip(np.array([0.0, 0.0]))
    1.0
    """
    signs = np.random.default_rng(seed).integers(0, 2, (SIGNS, len(differences))) * 2.0 - 1
    as_large = signs @ differences >= differences.sum() - 1e-9 * np.abs(differences).sum()
    return float((1 + as_large.sum()) / (SIGNS + 1))


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are (Holm, 1979).

    >>> [round(q, 3) for q in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda n: p[n])):
        highest = max(highest, min(1.0, p[place] * (len(p) - rank)))
        corrected[place] = highest
    return corrected


def left_out(image: Places, count: int, seed: int = 0) -> Numbers:
    """How often each row is in each of the jackknife's samples: all rows but those of a group of images.

    There is a sample for each group that has rows: to leave out none says nothing.
    """
    group = np.random.default_rng(seed).permutation(np.arange(count) % GROUPS)
    return np.array([group[image] != n for n in range(GROUPS) if (group[image] == n).any()], dtype=np.float64)


def jackknife_error(without: Numbers) -> float:
    """The standard error, from what leaving out gives; NaN if it is not defined of some."""
    share = (len(without) - 1) / len(without)
    return math.sqrt(share * float(np.square(without - without.mean()).sum()))


def jackknife_interval(value: float, without: Numbers) -> tuple[float, float]:
    """95 % of what is biased in few rows: a bootstrap would resample the bias, and miss the figure.

    By Student's t, of a degree of freedom less than there are samples.
    """
    half = float(stdtrit(len(without) - 1, 0.975)) * jackknife_error(without)
    return value - half, value + half


def student_p(difference: float, error: float, degrees: float = math.inf) -> float:
    """The p-value of a difference above 0 with an error: one side of Student's t, or of the normal."""
    if error == 0:
        return 0.0 if difference > 0 else 1.0
    return float(stdtr(degrees, -difference / error))
