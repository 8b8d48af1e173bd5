"""When something found is suspicious: the rules of the warnings, each with the evidence that it states.

Nobody can see from pictures alone what ought to decide. So a rule needs one of two witnesses: labels, which
say that the answer moves and the truth does not; or a person, who has named what may decide (`expect`).
Without a witness nothing is suspicious, and no warning never means that nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from rather.audit.findings import Attribute, Estimate, Place, Region, Suspicion

MATTERS: Final = 0.1  # of the probability, of the images or of the change: less is not worth a warning
_NARROW: Final = 0.9  # a smaller place that does nearly as much says more


def suspicious_attributes(found: Sequence[Attribute], expected: Collection[str]) -> Iterator[Suspicion]:
    """Attributes that move the answer more than the label, or that were not expected to move it.

    Args:
        found: the attributes, whatever is known of them.
        expected: attributes that may decide; if there are some, all others may not.
    """
    for one in found:
        if one.answer is None or one.name in expected or one.answer.least < MATTERS:
            continue
        adds = f"with {one.name} the probability of {one.towards} changes by {_told(one.answer)}"
        among = f"in {one.changed.count} of {one.changed.of} counterfactuals it came or went"
        if expected:
            yield Suspicion(
                kind="attribute",
                name=one.name,
                rule="the answer goes by an attribute that was not expected to decide",
                evidence=f"All else equal, {adds}; {among}.",
                strength=one.answer.least,
                examples=one.examples,
            )
        elif one.label is not None and one.excess is not None and _more(one.answer, one.excess):
            yield Suspicion(
                kind="attribute",
                name=one.name,
                rule="the answer goes by it, and the labels do not",
                evidence=f"All else equal, {adds}, and the share of images labelled {one.towards} by "
                f"{_told(one.label)}: {_told(one.excess)} too much; {among}.",
                strength=one.excess.least,
                examples=one.examples,
            )


def suspicious_places(found: Sequence[Place]) -> Iterator[Suspicion]:
    """The smallest place that alone accounts for wrong answers in many images, if there is one.

    It is the best of many, so its interval is one that would hold for all of them together.
    """
    healing = [(one, one.heals) for one in found if one.heals is not None]
    if not healing:
        return
    most = max(heals.count for _, heals in healing)
    able = [(one, heals) for one, heals in healing if heals.count >= _NARROW * most]
    one, heals = min(able, key=lambda each: (each[0].size, -each[1].count))
    low, high = heals.among(len(healing))
    if low < MATTERS:
        return
    yield Suspicion(
        kind="place",
        name=one.name,
        rule="one place, the same in all images, makes many answers wrong",
        evidence=f"In {heals.count} of {heals.of} images ({_percent(low)} to {_percent(high)}) the answer is "
        "wrong, and becomes right with nothing but this place taken from the nearest image of the same label "
        f"whose answer is right; {one.decides.count} of {one.decides.of} images take on another image's "
        "answer with its content there.",
        strength=low,
        examples=one.examples,
    )


def suspicious_regions(found: Sequence[Region], expected: Collection[str]) -> Iterator[Suspicion]:
    """Regions that were not expected to decide, and that change more than their size would have it.

    Args:
        found: the regions.
        expected: regions that may decide; without any, there is no such rule.
    """
    for one in found:
        if expected and one.name not in expected and one.share.low >= max(MATTERS, 2 * one.area):
            yield Suspicion(
                kind="region",
                name=one.name,
                rule="the change lies in a region that was not expected to decide",
                evidence=f"{_percent(one.share.value)} of the change ({_percent(one.share.low)} to "
                f"{_percent(one.share.high)}) lies there, on {_percent(one.area)} of the picture.",
                strength=one.share.low,
                examples=one.examples,
            )


def _more(answer: Estimate, excess: Estimate) -> bool:
    return excess.least >= MATTERS and answer.value * excess.value > 0


def _told(estimate: Estimate) -> str:
    r"""A signed number with its interval.

    >>> _told(Estimate(value=0.871, low=0.8, high=0.94))
    '+0.87 (+0.80 to +0.94)'
    """
    value, low, high = (
        f"{one:+.2f}".replace("-", "\N{MINUS SIGN}") for one in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low} to {high})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
