"""The page of what latent_figures.py measured: docs/latent-figures.md of docs/latent-figures.json."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from telling import Results, number, said, share, table

SLIDES = ("wachter", "schut", "revise", "revise-e", "latent-classifier", "clarity")  # Theobald (2023)

TITLE = """\
# Latent space: counterfactuals that look like data

Written by `python benchmarks/latent_figures.py`; nothing here is typed by hand but the text. Queries are test
digits that every explained classifier names rightly: of 5 and of 3 all of them (but for {left_out} that some
classifier misnames), to become 1 and 8 as in the slides of Theobald (2023); of the other classes some, each
to become a random other class. The judges were trained by the script on the training digits, and no method
sees them: a classifier of another architecture and seed ({accuracy} of 2,000 test digits right), and small
dense autoencoders, one for each class and one for all. Intervals are 95 %: Wilson's for a share of rows, else
a bootstrap's over rows.
"""
METHODS_NOTE = """\
Success is judged by the explained classifier on the 8-bit picture; all that follows is of the successes. IM1
and IM2 are better if lower; below 1, IM1 finds the picture more like its new class. L1 is the mean absolute
change of a pixel. Seconds are a row's, of one processor and thread; evaluations are questions to the
classifier, one for all members of an ensemble.
"""
KINDS_NOTE = """\
Success, and of it the judge's share, by kind of query; and the Frechet distance of the successes to training
digits of their target classes in the judge's pooled features (no FID; it has no interval):
"""
PICTURES = """\
The first ten queries of each kind, not chosen by their look; below, what became of them. Those that are no
successes are darkened.
"""
PROTOTYPES = """\
Prototypes of {rows} queries, compared on the 8-bit picture and in 64 bits; {sure} more are as sure already as
32 bits can say. The doubt, 1 - p, is a median over the rows; its half is the goal. A query whose class is
lost by mere reconstruction has first to be won back.
"""
CRITICISMS = """\
Criticisms, to the first choice: the weight bisected for each row by `Minimal`, and fixed ones. How much
further a fixed one's picture is, is measured where both succeed.
"""
DIVE = """\
Eight answers of each row, to the first choice, and how far they lie apart: the mean pairwise distance in the
judge's unit-normalised features (`feature_diversity`; no LPIPS), of all answers and of those at the goal. L1
is of the nearest success.
"""
BATCHING = """\
The same rows in one call, and in a call each, in turns in one process: the median of the ratios, and their
range. Rows that are done leave the batch, and end their call when they are alone. The loop, as that of most
published code, does not stop when its row is done, but goes through all steps. No pictures of the path are
kept.
"""


def page(known: Results) -> str:
    """The page of all that was measured."""
    about = known["about"]
    right = about["judge"]["correct"] / about["judge"]["tested_on"]
    parts = [TITLE.format(accuracy=f"{100 * right:.1f} %", left_out=about["left out"])]
    parts.append(table("wanted | measured |", verdicts(known)))
    parts.append(judges_part(about["judge"]))
    sure = f"The goal is the target as first choice, with a confidence of at least {about['confidence']:g}"
    if "methods" in known:
        parts += ["## The six of the slides, and others\n", *methods_part(sure, known["methods"])]
        parts += ["### Pictures\n", PICTURES, *pictures(["queries", *known["methods"]])]
    if "first-choice" in known:
        goal = "The same queries, where the target need only be the first choice"
        parts += ["## To the first choice only\n", *methods_part(goal, known["first-choice"])]
    for section, title, part in (
        ("introspection", "Introspection", introspection_part),
        ("dive", "DiVE", dive_part),
        ("batching", "In a batch, and one by one", batching_part),
    ):
        if section in known:
            parts += [f"## {title}\n", *part(known[section])]
    commands = [f"    {command}  # {section}" for section, command in about["commands"].items()]
    parts.append(f"## Commands\n\nMeasured with {about['made with']}:\n\n" + "\n".join(commands) + "\n")
    return "\n".join(parts)


def shortly(r: Results) -> str:
    """A method's figures in a line, for the terminal."""
    parts = [f"success {share(r['success'])}", f"transfer {share(r.get('transfer'))}"]
    parts += [f"{key} {number(r.get(key))}" for key in ("im1", "im2", "l1")]
    return ", ".join([*parts, f"{r['seconds']:.3f} s", f"{number(r['evaluations'], 0)} evaluations"])


def methods_part(goal: str, results: Results) -> Iterator[str]:
    first = next(r for r in results.values() if "kinds" in r)
    counts = ", ".join(f"{r['success'][3]} {kind}" for kind, r in first["kinds"].items() if r["success"])
    yield f"{goal}. Rows: {first['success'][3]} ({counts}).\n"
    yield table(
        "method | explains | success | the judge says so too | IM1 | IM2 | L1 | seconds | evaluations",
        [
            [
                shown(name),
                r["explained"],
                share(r.get("success")),
                share(r.get("transfer")),
                number(r.get("im1"), 2),
                number(r.get("im2")),
                number(r.get("l1")),
                f"{r['seconds']:.3f}" if "seconds" in r else "",
                number(r.get("evaluations"), 0),
            ]
            for name, r in results.items()
        ],
    )
    yield METHODS_NOTE
    yield KINDS_NOTE
    yield table(
        " | ".join(["method", *first["kinds"], "Frechet"]),
        [
            [shown(name), *by_kind(r, first["kinds"]), f"{r.get('frechet', float('nan')):.3f}"]
            for name, r in results.items()
        ],
    )


def shown(name: str) -> str:
    return "*real digits of the target classes*" if name == "real" else name


def by_kind(r: Results, kinds: Iterable[str]) -> list[str]:
    of = r.get("kinds", {})
    return [f"{share(of[k]['success'])}; {share(of[k].get('transfer'))}" if k in of else "" for k in kinds]


def verdicts(known: Results) -> Iterator[tuple[str, str, str]]:
    """What was wanted, what came out, and whether it is so."""
    if {*SLIDES} <= {*known.get("methods", {})}:
        m = known["methods"]
        at = {name: (m[name].get("transfer") or [0])[0] for name in SLIDES}
        pixels, latents = (at["wachter"], at["schut"]), (at["revise"], at["revise-e"])
        so = max(pixels) < min(latents) and max(latents) < at["clarity"] == max(at.values())
        told = ", ".join(f"{name} {100 * at[name]:.1f} %" for name in sorted(SLIDES, key=lambda name: at[name]))
        yield ("transfer: wachter and schut < revise and revise-e < clarity, the best of the six", told, said(so))
        success = m["clarity"]["success"]
        yield "success of clarity at least 99 %", share(success), said(success[0] >= 0.99)
    if "introspection" in known:
        raised = {
            f"{one['generator']}, weight {one['weight']:g}": one["raised"]
            for one in known["introspection"]["prototypes"]
        }
        told = "; ".join(f"{name}: {share(r)}" for name, r in raised.items())
        so = any(r[0] >= 0.95 for r in raised.values())
        yield "prototypes raise the confidence of at least 95 %, with any", told, said(so)
        told, so = against_fixed(known["introspection"]["criticisms"])
        yield "the bisected criticism is nearer than a fixed weight at the same success", told, said(so)
    if "dive" in known:
        told = "; ".join(f"{name} {number(r['apart'])}" for name, r in known["dive"].items())
        yield ("DiVE's eight explanations differ", told, said(all(r["apart"][1] > 0 for r in known["dive"].values())))
    for name, wanted in (("revise", 10), ("clarity", 100)):
        if name in known.get("batching", {}):
            r = known["batching"][name]
            alone, loop = r["ratio"][0], r["ratio of the loop"][0]
            told = f"{loop:.1f} times, {r['rows']} rows; {alone:.1f} than rows alone that stop when done"
            yield f"{name} in a batch at least {wanted} times faster than a loop", told, said(loop >= wanted)


def against_fixed(criticisms: Results) -> tuple[str, bool]:
    """Beside the bisected criticism the tightest fixed weight that succeeds as often, or else most often."""
    bisected = criticisms["bisected"]
    fixed = {name: r for name, r in criticisms.items() if name != "bisected"}
    as_often = [name for name, r in fixed.items() if r["success"][0] >= bisected["success"][0]]
    name = as_often[-1] if as_often else max(fixed, key=lambda name: fixed[name]["success"][0])
    away = fixed[name]["further"]
    told = f"weight {name} is further by {number(away, 4)}; success {share(fixed[name]['success'])}"
    return f"{told}, bisected {share(bisected['success'])}", away is not None and away[1] > 0


def judges_part(card: Results) -> str:
    e = {what: number(value, 1) for what, value in card["errors"].items()}
    return (
        f"Squared error of the autoencoders on test digits, a sum over the pixels: {e['own class']} by that\n"
        f"of their class, {e['next class']} by that of the next class, {e['all classes']} by that of all.\n"
    )


def pictures(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield f"{shown(name)}\n\n![{name}](latent-figures/{name}.png)\n"


def introspection_part(r: Results) -> Iterator[str]:
    p = r["prototypes"]
    first = p[0]
    yield PROTOTYPES.format(rows=first["raised"][3], sure=first["cannot be surer"])
    yield table(
        "generator | weight | raised | of those less than 99.99 % sure | at the goal | doubt, before, after "
        "| class kept by reconstruction | L1 | seconds",
        [
            [
                one["generator"],
                f"{one['weight']:g}",
                share(one["raised"]),
                share(one["raised, of the unsure"]),
                share(one["half of the doubt gone"]),
                "{:.1g}, {:.1g}".format(*one["doubt"]),
                share(one["class kept by reconstruction"]),
                number(one["l1"]),
                f"{one['seconds']:.3f}",
            ]
            for one in p
        ],
    )
    yield from pictures(f"prototypes-{one['generator']}-{one['weight']:g}" for one in p)
    yield CRITICISMS
    yield table(
        "weight | success | L1 | further than the bisected | the judge says so too | seconds",
        [
            [
                name,
                share(c["success"]),
                number(c["l1"], 4),
                number(c.get("further"), 4),
                share(c["transfer"]),
                f"{c['seconds']:.3f}",
            ]
            for name, c in r["criticisms"].items()
        ],
    )


def dive_part(results: Results) -> Iterator[str]:
    yield DIVE
    yield table(
        "method | answers at the goal | apart | those at the goal | the judge says so too | L1 | seconds",
        [
            [
                name,
                share(r["valid answers"]),
                number(r["apart"]),
                number(r["valid ones apart"]),
                share(r["transfer"]),
                number(r["l1"]),
                f"{r['seconds']:.3f}",
            ]
            for name, r in results.items()
        ],
    )


def batching_part(results: Results) -> Iterator[str]:
    yield BATCHING
    yield table(
        "method | rows | ms a row, batch | alone | loop | batch faster than alone | than the loop",
        [
            [
                name,
                str(r["rows"]),
                *(f"{1000 * r[how]:.2f}" for how in ("together", "alone", "through")),
                *(f"{m:.1f} ({low:.1f} to {high:.1f})" for m, low, high in (r["ratio"], r["ratio of the loop"])),
            ]
            for name, r in results.items()
        ],
    )
    yield table(
        "method | evaluations | as many alone | same success | same picture | at most apart, grey levels",
        [
            [
                name,
                f"{number(r['evaluations'], 0)}, at most {r['most evaluations']}",
                share(r["same evaluations"]),
                said(r["same success"]),
                share(r["same pictures"]),
                f"{r['greatest difference']:g}",
            ]
            for name, r in results.items()
        ],
    )
