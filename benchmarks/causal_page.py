"""The page of what causal_figures.py measured: docs/causal-figures.md of docs/causal-figures.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from telling import Results, ended, number, share, table

TITLE = """\
# Do explanations name what a classifier truly goes by?

Written by `python benchmarks/causal_figures.py`; nothing here is typed by hand but the text. How another
method or another classifier is asked the same: [causal.md](causal.md). Half of the classifiers, of drawn
faces and of drawn shapes, were trained with a planted cue, half without a use for one. What each goes by is
measured, by setting one cause at a time, and not taken from its recipe. Queries are ordinary scenes, nothing
planted, whatever they are.
"""
CLASSIFIERS = """\
With its probability, the strength, a cue is what the label is; contrast is that of the label's own cause.
Effects are on the log-odds of the second class when a cause is set from 0 to 1, largest first. A
classifier counts as planted if the cue has the largest effect of all, and as clean if the label's own cause
has; {counting}
"""
METHODS = """\
All scores but success are of successes. *Agreement*: rank correlation of changed attributes with true
effects. *Cosine*: of the same. *Inside*: share of the change where the true counterfactual (nothing changed
but the cause that the classifier follows) differs from the query; *by chance*: the share of the picture that
this is, which an even change would have. *Distance*: to the true counterfactual, in units of the query's:
0 is exact, 1 is no better than to change nothing. *Truth solves*: how often the true counterfactual is one,
because changing that cause is enough; only there are inside and distance taken. Each classifier has one
value of each, their mean over pictures: intervals (95 %, bootstrap) are over classifiers.
"""
DETECTION = """\
Somebody looks at the 20 largest changes of all explanations of a classifier. *Found*: the cause that comes up
most often is the one that the classifier follows. *Suspicion*: the largest share of them that is a cause
other than the label's own; the area under the ROC curve says how well it tells planted from clean, 0.5 being
chance. The user who is suspicious needs to know neither cue nor effects. Wilson's intervals, and for the area
a bootstrap's over classifiers.
"""
EACH = """\
The cause that comes up most often among these 20 changes, with its share; bold where it is not the one that
the classifier follows.
"""
SCORES = ("success", "agreement", "cosine", "inside", "region", "distance", "solved")
HEAD = "method | rows | success | agreement | cosine | inside | by chance | distance | truth solves | seconds a row"


def page(known: Results) -> str:
    """The page of all that was measured."""
    return "\n".join([TITLE, *_parts(known), ended(known["about"])])


def _parts(known: Results) -> Iterator[str]:
    if "classifiers" in known:
        yield from _classifiers(known["classifiers"])
    methods = {name: of for name, of in known.items() if name not in {"about", "classifiers"}}
    if methods:
        yield from _methods(methods)


def _classifiers(known: Results) -> Iterator[str]:
    follows = [of["follows"] for of in known.values()]
    planted = sum(of["cue"] == cause for of, cause in zip(known.values(), follows, strict=True))
    clean = sum(of["cause"] == cause for of, cause in zip(known.values(), follows, strict=True))
    counting = f"{planted} of these {len(known)} are planted, {clean} clean, {len(known) - planted - clean} neither."
    yield "## The classifiers, and what truly moves them\n"
    yield CLASSIFIERS.format(counting=counting)
    head = "classifier | label | cue | strength | contrast | right | largest effects | times the next"
    yield table(
        head,
        [
            [
                name,
                of["label"],
                of["cue"] or "",
                f"{of['strength']:g}" if of["cue"] else "",
                f"{of['contrast']:g}",
                f"{100 * of['right']:.1f} %",
                _largest(of["effects"]),
                f"{of['dominance']:.1f}",
            ]
            for name, of in known.items()
        ],
    )


def _largest(effects: Results) -> str:
    ranked = sorted(effects.items(), key=lambda item: -abs(item[1]["log_odds"][0]))
    return "; ".join(f"{name} {number(of['log_odds'], 2)}" for name, of in ranked[:2])


def _methods(known: Results) -> Iterator[str]:
    yield "## Is the explanation true?\n"
    yield METHODS
    yield table(
        HEAD,
        [
            [name, str(of["rows"]), *(_score(of, key) for key in SCORES), f"{of['seconds'][0]:.3f}"]
            for name, of in known.items()
        ],
    )
    yield "## Is the planted cue found?\n"
    yield DETECTION
    yield table(
        "method | found, of planted | found, of clean | area under the ROC curve",
        [
            [name, _count(of["right of planted"]), _count(of["right of clean"]), number(of["area"], 2)]
            for name, of in known.items()
        ],
    )
    yield EACH
    names = list(dict.fromkeys(name for of in known.values() for name in of["each"]))
    yield table(
        " | ".join(["classifier", "follows", *known]),
        [[name, _follows(known, name), *(_seen(of["each"].get(name)) for of in known.values())] for name in names],
    )


def _score(of: Results, key: str) -> str:
    return share(of[key]) if key in {"success", "inside", "region", "solved"} else number(of[key], 2)


def _count(e: Any) -> str:
    return "" if e is None else f"{round(e[0] * e[3])} of {e[3]} ({share(e)})"


def _follows(known: Results, name: str) -> str:
    return next(of["each"][name]["follows"] for of in known.values() if name in of["each"])


def _seen(of: Any) -> str:
    if of is None or of["names"] is None:
        return ""
    told = f"{of['names']} {100 * of['seen'][of['names']]:.0f} %"
    return told if of["names"] == of["follows"] else f"**{told}**"
