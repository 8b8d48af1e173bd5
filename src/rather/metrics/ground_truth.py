"""Does the explanation name what truly moves the classifier?

Only where the true effect of every attribute is known can an explanation be right or wrong: for drawn faces it is
measured by setting one attribute and leaving all else. There the true counterfactual is known as well: the same face
drawn with nothing changed but the cause.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Images
from rather.metrics.registry import metric
from rather.search.losses import l1
from rather.stats import mid_ranks

Changes = Float[Tensor, "n a"]  # of each row by how much each attribute changed, signed or not
Weights = Float[Tensor, "s n"]  # how often each of s samples has each row; then there is a value for each sample


@metric(title="rank agreement", theme="causes", unit="Spearman's correlation", better="higher", version=1)
def rank_agreement(
    changes: Changes, effects: Float[Tensor, " a"], *, weights: Weights | None = None
) -> Float[Tensor, "*s"]:
    """Rank correlation of what changed with what truly has an effect, -1 to 1.

    Spearman's, with middle ranks for ties, of the mean over rows of |change| with |effect|, attribute by attribute. It
    compares the order alone: a change of an attribute and an effect on a classifier have no common unit. One value for
    all rows; NaN where nothing changed, or all changed alike.

    Source: C. Spearman, "The proof and measurement of association between two things", American Journal of
    Psychology 1904.
    Avoids: ranks in the order of the attributes where changes are equal, by which what never changed agrees or not
    by its place in the list.

    Args:
        changes: of rows and attributes, as an oracle that took no part reads them in the pictures.
        effects: of the same attributes, in their order, on the classifier that was explained.
        weights: of samples of the rows.

    Raises:
        RatherError: DATA-EMPTY for no rows.
    """
    amounts = _amounts(changes, weights)
    one, other = (
        ranks - ranks.mean(1, keepdim=True) for ranks in (_mid_ranks(amounts), _mid_ranks(effects.abs().double()[None]))
    )
    correlation: Tensor = (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1))
    correlation = correlation.masked_fill(amounts.isnan().any(1) | effects.isnan().any(), torch.nan)
    return correlation[0] if weights is None else correlation


@metric(title="cosine agreement", theme="causes", unit="cosine", better="higher", version=1)
def cosine_agreement(
    changes: Changes, effects: Float[Tensor, " a"], *, weights: Weights | None = None
) -> Float[Tensor, "*s"]:
    """Cosine of what changed and what truly has an effect, 0 to 1.

    Of the mean over rows of |change| and of |effect|. Where one attribute moves the classifier and the others hardly
    do, `rank_agreement` counts the order of those others as much as the one; this does not: it is near 1 if that one
    changed and little else. One value for all rows; NaN where nothing changed.

    Source: this library.
    Avoids: signed means, in which changes that go up in some rows and down in others cancel.

    Args:
        changes: as for `rank_agreement`, and so are the others.
        effects: on the classifier.
        weights: of samples of the rows.

    Raises:
        RatherError: DATA-EMPTY for no rows.
    """
    amounts, sizes = _amounts(changes, weights), effects.abs().double()
    cosine: Tensor = amounts @ sizes / (amounts.norm(dim=1) * sizes.norm())
    return cosine[0] if weights is None else cosine


def _amounts(changes: Changes, weights: Weights | None) -> Float[Tensor, "s a"]:
    """The mean over the rows of each sample."""
    if not len(changes):
        raise RatherError("DATA-EMPTY", where="changes of no rows", do="Give one row at least")
    amounts = changes.abs().double()
    return amounts.mean(0)[None] if weights is None else weights @ amounts / weights.sum(1, keepdim=True)


def _mid_ranks(values: Float[Tensor, "s a"]) -> Float[Tensor, "s a"]:
    below = (values[:, None] < values[:, :, None]).double().sum(2)
    equal = (values[:, None] == values[:, :, None]).double().sum(2)
    return below + (equal + 1) / 2


@metric(title="names the cause", theme="causes", unit="yes or no; its mean is a share", better="higher", version=1)
def names_cause(changes: Changes, effects: Float[Tensor, " a"]) -> Float[Tensor, " n"]:
    """Whether the attribute with the largest true effect is the one that changed most; NaN where a change is NaN.

    Source: this library.
    Avoids: the first of equal changes alone, by which the order of the attributes decides which one is named.
    """
    named = named_among(changes, int(effects.abs().argmax()), 1)
    return named.double().masked_fill(changes.isnan().any(1), torch.nan)


def named_among(changes: Changes, index: int, first: int) -> Bool[Tensor, " n"]:
    """Whether an attribute is among the `first` most changed.

    An attribute that did not change is never named, and of attributes that changed alike all are.

    Args:
        changes: of rows and attributes.
        index: which attribute.
        first: how many are looked at; 1 for the most changed alone.
    """
    amount = changes.abs()
    own = amount[:, index, None]
    return ((amount > own).sum(1) < first) & (own[:, 0] > 0)


def largest_changes(changes: Changes, first: int = 20) -> Float[Tensor, " a"]:
    """Of the `first` largest changes of all rows, the share that is each attribute's.

    It is what a reader sees who goes through the changes of many explanations, the largest first, and stops after a
    few: does a planted cause come up, and how often? Those that are as large as the last share the places that are
    left; what did not change has none, so that the shares may sum to less than 1.

    Args:
        changes: of rows and attributes.
        first: how many changes are looked at.

    Raises:
        RatherError: DATA-EMPTY for no rows, CFG-SETTING for none that are looked at.
    """
    if not changes.numel():
        raise RatherError("DATA-EMPTY", where="changes of no rows", do="Give one row at least")
    if first < 1:
        raise RatherError("CFG-SETTING", where=f"first {first}", why="it is not 1 at least")
    amount = changes.abs().double()
    last = amount.flatten().sort(descending=True).values[min(first, amount.numel()) - 1]
    above, as_large = amount > last, (amount == last) & (amount > 0)
    left = (first - above.sum()).clamp(max=as_large.sum()) / as_large.sum().clamp(min=1)
    places: Tensor = above.sum(0) + left * as_large.sum(0)
    return places / first


def area_under_curve(planted: Float[Tensor, " n"], clean: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """How well a score separates planted from clean classifiers, 0 to 1.

    The area under the receiver operating characteristic: how often a planted one has a higher score than a clean one,
    over all pairs, of which equal ones count half; 0.5 is chance. NaN if a score is. J. Hanley and B. McNeil, Radiology
    1982, by the ranks of Mann and Whitney, 1947.

    Args:
        planted: the scores of classifiers with a planted cause.
        clean: of others.

    Raises:
        RatherError: DATA-EMPTY for none of either.
    """
    n, m = len(planted), len(clean)
    if not n * m:
        raise RatherError("DATA-EMPTY", where=f"{n} planted and {m} clean", do="Give one of each at least")
    both = torch.cat([planted, clean]).double()
    if both.isnan().any():
        return torch.full((), torch.nan, dtype=torch.float64)
    wins: Tensor = mid_ranks(both)[:n].sum() - n * (n + 1) / 2
    return wins / (n * m)


@metric(title="inside", theme="causes", unit="share of the change", better="higher", version=1)
def inside_true_change(counterfactuals: Images, queries: Images, truths: Images) -> Float[Tensor, " b"]:
    """The share of all change that lies where the true counterfactual differs, 0 to 1.

    Precision of the changed region: sum of |change| over the pixels in which query and true counterfactual differ in
    any channel, over that of all pixels. A change that is spread evenly has the share of the image that this region
    takes, and not 0. NaN where nothing changed, or the truth is NaN.

    Source: this library.
    Avoids: a threshold on the change, which any share can be had with.

    Args:
        counterfactuals: of the queries.
        queries: from which on the change is counted.
        truths: the same scenes with only the cause changed; on the same grid of values as the queries, so that what did
            not change is equal.
    """
    differs = (truths != queries).any(1, keepdim=True)
    change = (counterfactuals - queries).abs().double()
    inside: Tensor = (change * differs).flatten(1).sum(1) / change.flatten(1).sum(1)
    return inside.masked_fill(truths.isnan().flatten(1).any(1), torch.nan)


@metric(title="to the truth", theme="causes", unit="distances of the query", better="lower", version=1)
def distance_to_truth(counterfactuals: Images, queries: Images, truths: Images) -> Float[Tensor, " b"]:
    """How far the counterfactual is from the true one, in units of the query's distance.

    L1(counterfactual, truth) / L1(query, truth): 0 is exact; 1 is as far as the query itself, so that to change nothing
    would have done as well; above 1 it leads away. A change that is nearly invisible is near 1, from whichever side.
    NaN where the true one is the query.

    Source: this library.
    Avoids: plain distances, by which easy rows, whose truth is near, look well explained.

    Args:
        counterfactuals: of the queries.
        queries: in [0, 1].
        truths: the same scenes with only the cause changed.
    """
    distance: Tensor = l1(counterfactuals.double(), truths.double()) / l1(queries.double(), truths.double())
    return distance
