"""The page of what audit_figures.py measured: docs/audit-figures.md of docs/audit-figures.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rather.stats import wilson
from telling import Results, ended, number, said, share, table

TITLE = """\
# Does the audit find what is planted?

Written by `python benchmarks/audit_figures.py`; nothing here is typed by hand but the text. `rather audit`
with its defaults, on test faces where nothing is planted; it is told neither the recipe nor what may decide.
Found means that a warning names the cue; accused, that there is a warning at all. Intervals are 95 %.
"""
CLASSIFIERS = """\
Ten classifiers of drawn faces that were trained with a cue that goes with the label, and ten without one,
or with one that is of no use. What each goes by is measured by setting one cause at a time
(`rather.worlds.bias_spec`); the audit does not see that. A clean one goes by the label's own cause most, and
may go by its cue as well: the true effect, on the probability, says how much, and where it is large an
accusation is none too many. Of background, the light behind the head, the oracle knows nothing. Right: the
share of the {rows} audited faces whose label the classifier says. In these nothing goes with the label:
where the cue goes with it, labels do not tell them apart.

What makes this easy: the oracle was trained on the drawn faces' own attributes, and each cue is one of these
or, the light behind the head, what one of the appearances reads. A cue without a name was not tried. Those
that are planted are right in only {worst} to {best} of the audited faces, so that labels are plain witnesses.
Nor are these classifiers that nobody had looked at. After some of them had been seen, three choices were
made: an attribute is left out if the others inflate its variance five times, where it was ten; the place that
is named is the best of the smallest, where it was the first; a cluster has three rows at least. The figures
are of the same classifiers: there is no other set on which these choices were tested.

The intervals of places were then made wider: one for the best of 59 places, and not for a place that was
chosen before. The runs were not repeated. Of the places that were named, the count in the evidence still
meets the rule with the wider interval; the strength and the shares in `audit-figures.json` are as they were.
"""


def page(known: Results) -> str:
    """The page of all that was measured."""
    parts = [TITLE]
    if "classifiers" in known:
        parts.append(_classifiers(known["classifiers"]))
    if "bundled" in known:
        rows = [(name, share(one["right"]), _most(one), _warnings(one)) for name, one in known["bundled"].items()]
        parts.append(
            "## The bundled classifiers\n\n" + table("classifier | right | adds most to the answer | warnings", rows)
        )
    return "\n".join([*parts, ended(known["about"])])


def _classifiers(found: Results) -> str:
    planted, clean = ([one for one in found.values() if one["planted"] is kind] for kind in (True, False))
    truly = [one for one in planted if one["as meant"]]
    counts = [
        (
            "planted classifiers in which the cue is named",
            _count([bool(one["named"]) for one in planted]),
            "at least 9",
        ),
        ("... of those that do go by it", _count([bool(one["named"]) for one in truly]), ""),
        ("clean classifiers that are accused", _count([bool(one["warnings"]) for one in clean]), "at most 1"),
    ]
    rows = [
        (
            f"{one['label']}, {one['cue'] or 'no cue'}",
            one["follows"],
            said(one["as meant"]),
            "" if one["cue"] is None else f"{one['effects'][one['cue']]:+.2f}",
            share(one["right"]),
            _most(one),
            _warnings(one),
        )
        for one in (*planted, *clean)
    ]
    every = next(iter(found.values()))
    right = [one["right"][0] for one in planted]
    return "\n".join(
        [
            "## Twenty classifiers\n",
            CLASSIFIERS.format(rows=every["rows"], worst=_whole(min(right)), best=_whole(max(right))),
            table("what | how many | wanted", counts),
            table(
                "label, cue | goes by most | as meant | true effect of the cue | right | "
                "adds most to the answer | warnings",
                rows,
            ),
        ]
    )


def _count(outcomes: Sequence[bool]) -> str:
    if not outcomes:
        return "none"
    low, high = wilson(sum(outcomes), len(outcomes))
    return f"{sum(outcomes)} of {len(outcomes)} ({100 * low:.0f} to {100 * high:.0f} %)"


def _whole(value: float) -> str:
    return f"{100 * value:.0f} %"


def _most(one: Results) -> str:
    if not one["most"]:
        return ""
    name, value, low, high = one["most"][0]
    return f"{name} {number([value, low, high], 2)}"


def _warnings(one: Results) -> str:
    each: list[Any] = one["warnings"]
    return "; ".join(f"{warning['kind']} {warning['name']}" for warning in each) or "none"
