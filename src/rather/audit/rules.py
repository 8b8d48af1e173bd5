"""The rules of the warnings, each with the evidence that it states.

Pictures alone do not show what ought to decide. A rule therefore needs labels, which show that the prediction moves
where the truth does not, or a person, who names what may decide (`expect`). Without either nothing is suspicious, and
no warning never means that nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from rather.audit.findings import Attribute, Estimate, Place, Region, Share, Suspicion
from rather.data.agreement import Agreement

MATTERS: Final = 0.1  # of the probability, of the images or of the change: less is not worth a warning


def suspicious_labels(found: Agreement | None) -> Iterator[Suspicion]:
    """What is odd about the predictions as a whole, given the labels: all else rests on their names."""
    for warning in found.warnings() if found else ():
        evidence = f"The classifier {found}."
        yield Suspicion(kind="labels", name="predictions", rule=warning, evidence=evidence, strength=1.0, examples=())


def suspicious_attributes(found: Sequence[Attribute], expected: Collection[str]) -> Iterator[Suspicion]:
    """Attributes that move the prediction more than the label, or that were not expected to move it.

    Args:
        found: the attributes, with or without an effect.
        expected: attributes that may decide; if there are some, all others may not.
    """
    for one in found:
        if one.answer is None or one.name in expected or one.answer.least < MATTERS:
            continue
        if not expected and (one.label is None or one.excess is None or not _more(one.answer, one.excess)):
            continue
        shift = _shift(one.answer)
        evidence = [f"With all else equal, the probability of `{one.towards}` is {shift} in images with `{one.name}`."]
        if not expected and one.label and one.excess:
            evidence += [
                f"The share of images labelled `{one.towards}` is {_shift(one.label)}.",
                f"The difference is {_signed(one.excess)}.",
            ]
        evidence.append(f"The attribute changed in {one.changed.count} of {one.changed.of} counterfactuals.")
        yield Suspicion(
            kind="attribute",
            name=one.name,
            rule="the prediction relies on an attribute that was not expected to decide"
            if expected
            else "the prediction relies on it, and the labels do not",
            evidence=" ".join(evidence),
            strength=one.answer.least if expected or not one.excess else one.excess.least,
            examples=one.examples,
        )


def suspicious_places(found: Sequence[Place]) -> Iterator[Suspicion]:
    """The smallest place that alone explains wrong predictions in many images, if there is one.

    It is the best of many, so its interval is one that holds for all of them together.
    """
    repairing = [(one, one.repairs) for one in found if one.repairs is not None]
    if not repairing:
        return
    clear = [each for each in repairing if each[1].among(len(repairing))[0] >= MATTERS]
    if not clear:
        return
    one, repairs = narrowest(clear)
    low, high = repairs.among(len(repairing))
    yield Suspicion(
        kind="place",
        name=one.name,
        rule="one place, the same in all images, causes many wrong predictions",
        evidence=f"In {repairs.count} of {repairs.of} images the prediction is wrong, and becomes right when only this "
        "place is replaced by that of the nearest correctly predicted image of the same label "
        f"({_percent(low)} to {_percent(high)}, an interval of 95 % for all places together). "
        f"In {one.decides.count} of {one.decides.of} images the prediction becomes that of another image when only "
        "this place is replaced by the other image's.",
        strength=low,
        examples=one.examples,
    )


def narrowest(found: Sequence[tuple[Place, Share]]) -> tuple[Place, Share]:
    """The smallest place that does nearly as much as any: fewer images only by what chance explains."""
    most = max(share.count for _, share in found)
    able = [each for each in found if each[1].count >= most - most**0.5]
    return min(able, key=lambda each: (each[0].size, -each[1].count))


def suspicious_regions(found: Sequence[Region], expected: Collection[str]) -> Iterator[Suspicion]:
    """Regions that were not expected to decide, and that hold at least twice their share of the change.

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
                evidence=f"This region holds {_percent(one.share.value)} of the change (95 % interval "
                f"{_percent(one.share.low)} to {_percent(one.share.high)}) and {_percent(one.area)} of the picture.",
                strength=one.share.low,
                examples=one.examples,
            )


def _more(answer: Estimate, excess: Estimate) -> bool:
    return excess.least >= MATTERS and answer.value * excess.value > 0


def _shift(estimate: Estimate) -> str:
    """A difference in words, with its interval.

    >>> _shift(Estimate(value=-0.871, low=-0.94, high=-0.8))
    '0.87 lower (95 % interval 0.80 to 0.94)'
    """
    sign = -1 if estimate.value < 0 else 1
    word = f"{abs(estimate.value):.2f} {'lower' if sign < 0 else 'higher'}"
    if not round(estimate.value, 2):
        sign, word = 1, "about the same"
    low, high = sorted((sign * estimate.low, sign * estimate.high))
    return f"{word} (95 % interval {_number(low)} to {_number(high)})"


def _signed(estimate: Estimate) -> str:
    return f"{_number(estimate.value)} ({_number(estimate.low)} to {_number(estimate.high)})"


def _number(value: float) -> str:
    r"""Two digits, with a true minus sign, and no sign on zero.

    >>> _number(-0.5), _number(-0.001)
    ('\u22120.50', '0.00')
    """
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
