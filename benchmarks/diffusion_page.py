"""The page of diffusion_figures.py: docs/diffusion-figures.md of docs/diffusion-figures.json."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from telling import Results, Verdict, counted, ended, number, said, share, table

TITLE = """\
# Diffusion: ACE, its stages and its rivals

Written by `python benchmarks/diffusion_figures.py`; nothing here is typed by hand but the text. Queries are
the first test images, whatever they are: faces to become the class that the classifier does not see in them,
digits a random other one. Success is judged by the explained classifier on the 8-bit picture. What is said of
pictures is of the successes alone, and nothing where they are less than a tenth; masks, costs and diversity
are of all rows. Intervals are 95 %: Wilson's for a share of rows, a jackknife's for Frechet distances and
correlations, else a bootstrap's over rows; `n` is the number of queries.
"""
COLUMNS = """\
Agrees: the oracle of attributes reads the wanted smile or age, or another classifier of digits the wanted
class; neither was seen by a method. L1: mean absolute change of a pixel value. Changed: share of the pixels.
COUT: -1 to 1. Attributes: how many of 12 the oracle reads otherwise; the asked one is among them.
Correlation: sum of the differences of the correlations with the asked attribute, of changes and of labels.
Identity: cosine of the oracle's features; no net of identities. Frechet: distance of half of the answers to
the queries of the other half, both ways round (no FID), in the features of the oracle or of the other
classifier, of as many successes of each method; the queries themselves, for scale, are what an answer that
changes nothing would get. Diversity: mean squared distance, 0 to 4, of three answers with other noise in the
same features, of length 1; other methods have but one answer.
"""
STAGES = """\
One attack, whose last point is kept (the paper's way), and what becomes of it: itself (Pre-CE), filtered as a
whole by the respaced schedule (FR-CE) or by every level (F-CE), refined (ACE). Pictures: the query, then these
four by l1 and by l2; dark ones are no successes.
"""
MASKS = """\
One attack: its nearest answer within the paper's mask, of all that has changed by a share of the largest
change, and within the smallest mask whose answer still succeeds, by `mask_search_steps = 4`. Pictures: the query, then
of each the answer and what changed.
"""
METHODS = """\
With their default settings, but for methods of diffusion that have a preset for these images: `ace-digits`,
`ace-faces`, `maskdime-faces` and so on, chosen by eye on training images. Fast: `ace-digits-fast`,
`ace-faces-fast`, which takes the smallest mask that does. Calls are of the denoiser, evaluations of the
classifier, seconds of one thread, which were measured while other work ran beside it.
"""
SPEED = """\
Seconds of a thread for a row, {rows} rows, median of {rounds} rounds in turns in one process, their range.
One by one and in a batch: the paper's fifty steps; a pixel of theirs differs by {apart:.2g} at most, 0 but
for rounding, which another size of batch changes and steps of a sign enlarge. Until no nearer: the default,
which looks for the nearest success. Smallest mask: that with `mask_search_steps = 4`. One call: its filter by one
prediction of the image. Fast: the same with fewer steps that get shorter, and of faces the smallest mask.
"""
MEMORY = """\
ACE on one picture of {side} x {side} pixels, tau 5, nothing computed twice, a U-Net of {parameters:,}
parameters: at most {most:.2f} GB, of which {before:.2f} GB were there before.
"""

#: Key -> head of a column, and how to tell its figure.
FIGURES: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "success": ("success", counted),
    "agrees": ("agrees", share),
    "l1": ("L1", lambda e: number(e, 4)),
    "changed": ("changed", share),
    "cout": ("COUT", number),
    "frechet": ("Frechet", number),
    "attributes": ("attributes", lambda e: number(e, 2)),
    "correlation": ("correlation", lambda e: number(e, 2)),
    "identity": ("identity", number),
    "diversity": ("diversity", lambda e: number(e, 4)),
    "outside untouched": ("outside of the mask untouched", share),
    "mask": ("mask", share),
    "calls": ("calls", lambda e: number(e, 0)),
    "evaluations": ("evaluations", lambda e: number(e, 0)),
    "seconds": ("seconds", lambda seconds: f"{seconds:.2f}"),
}


def page(known: Results) -> str:
    """The page of all that was measured."""
    wanted = [(what, told, said(so)) for what, told, so in verdicts(known)]
    parts = [TITLE, table("wanted | measured |", wanted), COLUMNS]
    attacks = {key.removeprefix("ace-"): r for key, r in known.items() if key.startswith("ace-")}
    if attacks:
        parts += ["## ACE\n", figures("classifier", attacks)]
        parts += [picture(f"ace-{name}", "query, answer, what changed") for name in attacks]
    for kind, (title, part) in PAGE.items():
        for key, r in known.items():
            if key == kind or key.startswith(f"{kind}-"):
                name = key.removeprefix(kind).removeprefix("-")
                parts += [f"## {title}{f': {name}' if name else ''}\n", *part(name, r)]
    return "\n".join(parts) + "\n" + ended(known["about"])


def figures(head: str, results: Mapping[str, Results]) -> str:
    """A row for each result, a column for each figure that one of them has."""
    keys = [key for key in FIGURES if any(key in r for r in results.values())]
    rows = [[name, *(FIGURES[key][1](r[key]) if key in r else "" for key in keys)] for name, r in results.items()]
    return table(" | ".join([head, *(FIGURES[key][0] for key in keys)]), rows)


def picture(name: str, what: str) -> str:
    return f"{name}: {what}.\n\n![{name}](diffusion/{name}.webp)\n"


def stages_part(name: str, r: Results) -> Iterator[str]:
    yield STAGES
    yield figures("stage", r)
    yield picture(f"stages-{name}", "the query, then the stages")


def masks_part(name: str, r: Results) -> Iterator[str]:
    yield MASKS
    yield figures("mask", r)
    yield picture(f"masks-{name}", "the query, then both answers, each with what changed")


def methods_part(name: str, r: Results) -> Iterator[str]:
    yield METHODS
    yield figures("method", r)
    shown = ", ".join(title for title in r if not title.startswith("the queries"))
    yield picture(f"methods-{name}", f"the query, then {shown}; dark ones are no successes")


def speed_part(name: str, r: Results) -> Iterator[str]:
    del name
    yield SPEED.format(**r)
    rows = []
    for way, each in r["seconds"].items():
        middle, low, high = middle_of(each)
        ratios = middle_of([a / b for a, b in zip(r["seconds"]["one by one"], each, strict=True)])
        rows.append([way, f"{middle:.2f} ({low:.2f} to {high:.2f})", "{:.1f} ({:.1f} to {:.1f})".format(*ratios)])
    yield table("way | seconds | times as fast as one by one", rows)


def middle_of(each: list[float]) -> tuple[float, float, float]:
    """Median, least and most."""
    ranked = sorted(each)
    return ranked[len(ranked) // 2], ranked[0], ranked[-1]


def memory_part(name: str, r: Results) -> Iterator[str]:
    del name
    yield MEMORY.format(**{**r, "most": r["most"] / 1e9, "before": r["before"] / 1e9})


#: Beginning of a section's name -> title, part of the page.
PAGE: dict[str, tuple[str, Callable[[str, Results], Iterator[str]]]] = {
    "masks": ("The smallest mask", masks_part),
    "stages": ("Stages", stages_part),
    "methods": ("Beside others", methods_part),
    "speed": ("Speed", speed_part),
    "memory": ("Memory", memory_part),
}


def verdicts(known: Results) -> Iterator[Verdict]:
    """What was wanted, what came out, and whether it is so."""
    for name in ("digits", "faces-smile", "faces-age"):
        if r := known.get(f"ace-{name}"):
            yield f"ace: at least 99 % success, {name}", counted(r["success"]), r["success"][0] >= 0.99
            told = share(r["outside untouched"])
            yield f"pixels outside of the mask are the query's, {name}", told, r["outside untouched"][0] == 1
        if r := known.get(f"stages-{name}"):
            yield from shape_of_table_5(name, r)
        if r := known.get(f"methods-{name}"):
            yield from order(name, r)
        if r := known.get(f"speed-{name}"):
            pairs = zip(r["seconds"]["in a batch"], r["seconds"].get("fast", []), strict=False)
            if ratios := [exact / fast for exact, fast in pairs]:
                middle, low, high = middle_of(ratios)
                told = f"{middle:.1f} times ({low:.1f} to {high:.1f})"
                yield (f"ace's fast mode is at least 8 times as fast as the exact one, {name}", told, middle >= 8)
    if r := known.get("memory"):
        yield ("128 pixels and ten million parameters in under 4 GB", f"{r['most'] / 1e9:.2f} GB", r["most"] < 4e9)


def shape_of_table_5(name: str, r: Results) -> Iterator[Verdict]:
    """Which stage is best at what, by l1, as in the paper: ACE, FR-CE, ACE; and l1 is sparser than l2."""
    stages = {stage.partition(",")[0]: each for stage, each in r.items() if stage.endswith("l1")}
    for key, sign, paper in (("frechet", 1, "ACE"), ("success", -1, "FR-CE"), ("attributes", 1, "ACE")):
        some = {stage: each[key] for stage, each in stages.items() if key in each}
        if paper in some:
            best = min(sign * each[0] for each in some.values())
            tell = FIGURES[key][1]
            told = ", ".join(f"{stage} {tell(each)}" for stage, each in some.items())
            yield f"table 5, {name}: best {FIGURES[key][0]} has {paper}", told, sign * some[paper][0] == best
    ours, theirs = (r[f"ACE, {norm}"].get("changed") for norm in ("l1", "l2"))
    if ours and theirs:
        yield f"l1 is sparser than l2, {name}", f"{share(ours)}, {share(theirs)}", ours[0] < theirs[0]


def order(name: str, r: Results) -> Iterator[Verdict]:
    """What is expected of ACE and MaskDiME beside the rest."""
    ace, mask = r.get("ace"), r.get("maskdime")
    if not (ace and mask):
        return
    for key, sign in (("frechet", 1), ("cout", -1), ("attributes", 1), ("identity", -1)):
        rivals = {title: each for title, each in r.items() if not title.startswith(("ace,", "the queries"))}
        some = {title: each[key] for title, each in rivals.items() if key in each}
        if "ace" in some:
            best = min(some, key=lambda title: sign * some[title][0])
            told = f"ace {number(some['ace'])}, best {best} {number(some[best])}"
            yield f"ace ahead by {FIGURES[key][0]}, {name}", told, some["ace"][0] == some[best][0]
    for key in ("cout", "success"):
        if key in mask and key in ace:
            told = f"{number(mask[key])}, {number(ace[key])}"
            yield f"maskdime at or above ace by {key}, {name}", told, mask[key][0] >= ace[key][0]
    if fast := r.get("ace, fast"):
        told = f"{number(fast['success'])}, {number(ace['success'])}"
        yield f"ace's fast mode flips no fewer, {name}", told, fast["success"][0] >= ace["success"][0]
        ratio = fast["l1"][0] / ace["l1"][0]
        yield f"and its L1 is at most 1.05 of the exact one's, {name}", f"{ratio:.3f}", ratio <= 1.05
    told = f"{number(mask['calls'], 0)}, {number(ace['calls'], 0)}"
    yield (f"maskdime with a tenth of ace's calls at most, {name}", told, mask["calls"][0] <= ace["calls"][0] / 10)
