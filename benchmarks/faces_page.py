"""The page of what faces_figures.py measured: docs/faces-figures.md of docs/faces-figures.json."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from telling import Results, Verdict, counted, ended, number, said, share, table

TITLE = """\
# Faces with known causes: are the explanations true?

Written by `python benchmarks/faces_figures.py`; nothing here is typed by hand but the text. Faces are drawn
from attributes, so that one can be set and all else left: what that does to a classifier is the true effect
of the attribute. Queries are the first test faces, whatever they are, each to become the class that the
classifier does not see in it; no net was trained on them. Success is judged by the classifier on the 8-bit
picture. What changed is read by an oracle of attributes that was trained on other faces and takes no part.
Intervals are 95 %: Wilson's for a share of rows, else a bootstrap's over rows; `n` is their number.
"""
DRAWING = """\
At 64 pixels, on one core, processor time without the cache; wall time to load from it, the file having been
read before. Median of three, and their range.
"""
CLASSIFIERS = """\
Accuracy on ordinary test faces (nothing planted, full contrast), and by how much the log-odds of the second
class (smiling, old) rise when an attribute is set from 0 to 1 and all else is kept. A hair colour is set
against the mean of the other three. {rows} faces.
"""
PROBABILITIES = """\
The same of the probability:
"""
RECONSTRUCTION = """\
Held-out faces through the semantic generator: segmented, a style taken from each region, and made anew. The
Frechet distance is in the pooled features of `faces-smile` (`frechet_distance`; no FID). Its interval is a
jackknife's over 20 groups of rows, since a bootstrap would resample its bias; for scale, that of as many
other real faces. The cosine of the oracle's features stands where the paper asks a net of identities, and is
none: for scale, that of two different faces.
"""
STEEX = """\
The weight of the distance is chosen on training faces, below: {weights}.
Where the change lies: mean shares of the absolute change, by the regions as they were drawn, against the
reconstruction (what the method did) and against the query (what one sees, with the generator's errors).
Drawn anew: the shares where the same faces are drawn with the attribute at 0 and at 1 and nothing else; who
smiles narrows the eyes, too, and moves the beard around the mouth.
"""
PARTS = """\
Classifiers of age that see the top, the middle or the bottom of the picture alone. The change of each face in
the rows of pixels that each of the three nets sees, as a share of all of it, and in which of the three most
of it lies; then the regions that hold the largest share, and how often. (The middle net also sees a part only
of its rows' width.) STEEX has its default weight of the distance, 0.3.
"""
CLOSENESS = """\
The weight of the distance, lambda in the paper, on training faces; the largest with more than 99.5 % success,
that is of so few rows with all of them, is taken for the figures of STEEX above, as the paper's supplement
does; where there is none, the smallest. L1 is the mean absolute change of a pixel value against the
reconstruction. Pictures: query, reconstruction, then one for each weight in this order; dark ones are no
successes.
"""
LEAK = """\
How far the generator keeps regions apart: the style of the background is changed at random (standard
deviation {nudge:g}) and nothing else; by how much the background changes, and by how much the skin, nose,
lips, mouth and eyes, more than 4 pixels away from it. {rows} faces.
"""
CONTRAST = """\
How the planted variant was made: the same small net, trained on old faces that wear glasses (95 %) and hats
(70 %) beside chance, while the signs of age themselves are brought nearer to the middle. By how much the
probability of "old" rises when an attribute is set from 0 to 1, on 200 ordinary faces; one net for each row,
so that its own chance is not in the intervals. `faces/age-glasses` has a contrast of 0.05.
"""
BIAS = """\
`faces-age-glasses` was trained where the old mostly wear glasses and hats, `faces-age` where nobody's glasses
depend on age. `attributes` leaves the age that it is asked about as it is; STEEX cannot add glasses, since
the layout stays, only change those that are there: for it the regions are counted over the faces that wear
some. STEEX has its default weight of the distance, 0.3.
"""
FREQUENCIES = """\
How often the faces that the biased classifier was trained on have each attribute (graded ones: more than
half), by label, as in figure 7 of Liu et al. (2019):
"""
CAUSES = """\
Agreement is Spearman's rank correlation, over the 12 attributes, of the mean absolute change (as the oracle
reads it, of successes only, against the query and against the method's own reconstruction) with the absolute
true effect on the log-odds. It asks for the order alone, and the order of attributes that hardly have an
effect counts as much as that of the others: effects measured on two halves of the {rows} faces agree by
{halves:.2f} themselves. The cosine of the same numbers weighs an attribute by its effect, and so says
whether the few that truly move the classifier are what changed. Intervals are of the rows, not of the
effects.
The true first cause is `{cause}`: how often is it the most changed attribute, and among the first three?
"""
EXAGGERATION = """\
The series over bins of confidence: rank correlation of the bin with the confidence that the classifier really
has, of each row's series (mean over rows; a series that does not move counts as 0), and of all points at
once. Pictures: the query, then the series from the first bin on. In the middle bins the net unsettles this
classifier, which is hardly ever unsure, by a faint chequered pattern: what rises is its confidence, and not a
smile that a person would see growing.
"""


AGREEMENTS = ("agreement", "cosine")
STARTS = ("query", "reconstruction")


def agreed(method: Results) -> str:
    """Agreement with the true effects in a line, for the terminal."""
    return ", ".join(f"{key} {number(method[key]['query'], 2)}" for key in AGREEMENTS)


def page(known: Results) -> str:
    """The page of all that was measured."""
    wanted = [(what, told, said(so)) for what, told, so in verdicts(known)]
    parts = [TITLE, table("wanted | measured |", wanted)]
    for section, (title, part) in PAGE.items():
        if section in known:
            parts += [f"## {title}\n", *part(known[section])]
    return "\n".join(parts) + "\n" + ended(known["about"])


def verdicts(known: Results) -> Iterator[Verdict]:
    """What was wanted, what came out, and whether it is so."""
    if r := known.get("drawing"):
        yield "at least 100 faces drawn a second", f"{r['rate'][0]:.0f}", r["rate"][0] > 100
        yield (f"{r['loaded']:,} from the cache in under 3 s", f"{r['seconds'][0]:.2f} s", r["seconds"][0] < 3)
    if r := known.get("reconstruction"):
        yield "reconstruction of at least 28 dB", number(r["psnr"], 1), r["psnr"][0] >= 28
        for name, kept in r["decisions"].items():
            yield f"at least 97 % of the decisions of {name} kept", share(kept), kept[0] >= 0.97
    for name, r in known.get("steex", {}).items():
        yield f"steex: at least 99 % success, {name}", counted(r["success"]), r["success"][0] >= 0.99
    if r := known.get("steex", {}).get("faces-smile"):
        lies = r["groups"]["reconstruction"]["mouth, lips, skin"]
        drawn = r["groups"]["drawn anew"]["mouth, lips, skin"]  # with nothing but the smile set
        told = f"{share(lies)}; of a drawn smile {share(drawn)}"
        yield "of a smile at least 80 % in mouth, lips and skin", told, lies[0] >= 0.8
    for name, r in known.get("parts", {}).items():
        most = r["most in"]
        told = "; ".join(f"{part} {share(e)}" for part, e in most.items())
        yield (
            f"who sees the {name} alone: most of the change lies there",
            told,
            max(most, key=lambda part: most[part][0]) == name,
        )
    if len(parts := known.get("parts", {})) == 3:
        surest = {part: most_in(parts, part) for part in parts}
        told = "; ".join(
            f"{part}: " + ", ".join(f"net {name} {share(r['inside'][part])}" for name, r in parts.items())
            for part in parts
        )
        so = all(part == name for part, name in surest.items())
        yield "each part holds more of the change by the net that sees it than by the others", told, so
    yield from biases(known.get("bias", {}))
    if r := known.get("exaggeration"):
        told = f"row by row {number(r['row by row'])}, pooled {number(r['pooled'])}"
        yield "confidence rises with the bin: at least 0.95", told, r["row by row"][0] >= 0.95


def most_in(parts: Results, part: str) -> str:
    """The net that has the largest share of its change in a part."""
    return max(parts, key=lambda name: parts[name]["inside"][part][0])


def biases(bias: Results) -> Iterator[Verdict]:
    """Glasses among the first three of the biased classifier, clearly more often than of the other."""
    for method in ("attributes", "steex"):
        if f"{method}, faces-age" not in bias or f"{method}, faces-age-glasses" not in bias:
            continue
        with_it, without = (
            bias[f"{method}, {name}"]["by the oracle"]["first"]["3"] for name in ("faces-age-glasses", "faces-age")
        )
        told = f"biased {share(with_it)}, unbiased {share(without)}"
        so = with_it[0] >= 0.5 and with_it[1] > without[2] and without[0] < 0.5
        yield f"{method}: glasses among the first three of the biased classifier only", told, so


def shares_of(head: str, columns: Mapping[str, Results], *, least: float = 0.005) -> str:
    """A row for each name, a column for each result; without rows of next to nothing."""
    names = [name for name in next(iter(columns.values())) if any(c[name][0] >= least for c in columns.values())]
    return table(" | ".join([head, *columns]), [[name, *(share(c[name]) for c in columns.values())] for name in names])


def numbers_of(head: str, columns: Mapping[str, Results], digits: int = 2) -> str:
    names = next(iter(columns.values()))
    return table(
        " | ".join([head, *columns]), [[name, *(number(c[name], digits) for c in columns.values())] for name in names]
    )


def picture(name: str) -> str:
    return f"![{name}](faces/{name}.webp)\n"


def drawing_part(r: Results) -> Iterator[str]:
    rate, low, high = r["rate"]
    seconds, least, most = r["seconds"]
    yield DRAWING
    yield f"{rate:.0f} faces a second ({low:.0f} to {high:.0f}; {r['rows']} at a time); "
    yield f"{r['loaded']:,} faces from the cache in {seconds:.2f} s ({least:.2f} to {most:.2f}).\n"


def classifiers_part(results: Results) -> Iterator[str]:
    first = next(iter(results.values()))["log-odds"]["smile"]
    yield CLASSIFIERS.format(rows=first[3])
    yield table("classifier | right", [[name, counted(r["right"])] for name, r in results.items()])
    yield numbers_of("log-odds", {name: r["log-odds"] for name, r in results.items()})
    yield PROBABILITIES
    yield numbers_of("probability", {name: r["probability"] for name, r in results.items()}, 3)


def reconstruction_part(r: Results) -> Iterator[str]:
    yield RECONSTRUCTION
    rows = [
        ["PSNR, dB", number(r["psnr"], 1)],
        *([f"decisions of {name} unchanged", share(kept)] for name, kept in r["decisions"].items()),
        ["attributes changed, of 12 (oracle)", number(r["attributes changed"], 2)],
        ["Frechet distance", number(r["frechet"], 3)],
        ["of as many real faces", number(r["frechet of real"], 3)],
        ["cosine of the oracle's features", number(r["identity"])],
        ["of two different faces", number(r["identity of others"])],
    ]
    yield f"n = {r['psnr'][3]:,}\n"
    yield table("of the reconstruction | ", rows)
    yield "How often the oracle reads an attribute otherwise:\n"
    yield shares_of("attribute", {"changed": r["by attribute"]}, least=0)
    yield "Face, reconstruction, difference (each row in full colour at its own largest one):\n"
    yield picture("reconstruction")


def successes(results: Mapping[str, Results]) -> str:
    return table(
        "classifier | success | at the goal by mere reconstruction | L1 from the reconstruction | seconds",
        [
            [
                name,
                counted(r["success"]),
                share(r.get("by reconstruction alone")),
                number(r["l1"], 4),
                f"{r['seconds']:.2f}",
            ]
            for name, r in results.items()
        ],
    )


def steex_part(results: Results) -> Iterator[str]:
    yield successes(results)
    weights = ", ".join(f"{r['distance_weight']:g} for {name}" for name, r in results.items())
    yield STEEX.format(weights=weights)
    columns = {
        f"{name}, {against if against == 'drawn anew' else f'against the {against}'}": group
        for name, r in results.items()
        for against, group in r["groups"].items()
    }
    yield shares_of("regions", columns, least=0)
    yield "Every region, against the reconstruction:\n"
    yield shares_of("region", {name: r["regions"] for name, r in results.items()})
    for name in results:
        yield f"{name}: query, reconstruction, counterfactual (dark if it is none), what changed.\n"
        yield picture(f"steex-{name.removeprefix('faces-')}")


def parts_part(results: Results) -> Iterator[str]:
    yield PARTS
    yield successes({f"faces-age-{name}": r for name, r in results.items()})
    yield shares_of(
        "share of the change in the rows of", {f"net {n}": r["inside"] for n, r in results.items()}, least=0
    )
    yield shares_of("most lies in", {f"net {n}": r["most in"] for n, r in results.items()}, least=0)
    yield shares_of("region", {f"net {n}": r["regions"] for n, r in results.items()})
    for name, r in results.items():
        first = ", ".join(f"{region} {count}" for region, count in r["first region"].items())
        yield f"{name}: the region with the largest share, by rows: {first}.\n"
        yield picture(f"steex-age-{name}")


def leak_part(r: Results) -> Iterator[str]:
    yield LEAK.format(nudge=r["nudge"], rows=r["face"][3])
    yield table("mean change of a pixel value | ", [[k, number(r[k], 4)] for k in ("background", "face")])


def contrast_part(results: Results) -> Iterator[str]:
    yield CONTRAST
    names = [name for name in next(iter(results.values())) if name != "right"]
    yield table(
        " | ".join(["contrast", "right, ordinary faces", *names]),
        [[key, counted(r["right"]), *(number(r[name]) for name in names)] for key, r in results.items()],
    )


def closeness_part(results: Results) -> Iterator[str]:
    yield CLOSENESS
    for name, of in results.items():
        r = {weight: each for weight, each in of.items() if weight != "chosen"}
        yield table(
            f"weight, {name} | success | L1 | share of the change in the background",
            [
                [weight, counted(e["success"]), number(e["l1"], 4), share(e["regions"]["background"])]
                for weight, e in r.items()
            ],
        )
        yield f"Taken: {of['chosen']:g}.\n"
        yield picture(f"closeness-{name.removeprefix('faces-')}")


def bias_part(results: Results) -> Iterator[str]:
    runs = {name: r for name, r in results.items() if name != "frequencies"}
    yield BIAS
    yield successes(runs)
    yield "Glasses among the first one, three and five of what changed:\n"
    rows = []
    for name, r in runs.items():
        for judge, e in r.items():
            firsts = e.get("first", e) if isinstance(e, Mapping) else {}
            if {*firsts} == {"1", "3", "5"}:
                rows.append([name, judge, *(share(firsts[k]) for k in "135"), f"{firsts['1'][3]:,}"])
    yield table("method, classifier | judged | first | first three | first five | n", rows)
    yield "Mean absolute change of each attribute, as the oracle reads it:\n"
    yield numbers_of("attribute", {name: r["by the oracle"]["changes"] for name, r in runs.items()})
    yield FREQUENCIES
    frequencies = results["frequencies"]
    labels = [*next(iter(frequencies.values()))]
    yield shares_of("attribute", {k: {name: r[k] for name, r in frequencies.items()} for k in labels}, least=0)
    for name in runs:
        yield f"{name}: query, reconstruction, counterfactual (dark if it is none), what changed.\n"
        method, _, whom = name.partition(", faces-")
        yield picture(f"bias-{method}-{whom}")


def causes_part(name: str) -> Callable[[Results], Iterator[str]]:
    def part(r: Results) -> Iterator[str]:
        rows = next(iter(r["effects"].values()))[3]
        yield CAUSES.format(cause=r["cause"], halves=r["halves"], rows=rows)
        yield table(
            "method | success | agreement | from the reconstruction | cosine | from the reconstruction "
            "| cause first | among three | seconds",
            [
                [
                    title,
                    counted(m["success"]),
                    *(number(m[key][start], 2) for key in AGREEMENTS for start in STARTS),
                    share(m["cause among the first"]["1"]),
                    share(m["cause among the first"]["3"]),
                    f"{m['seconds']:.2f}",
                ]
                for title, m in r["methods"].items()
            ],
        )
        yield "True effect on the log-odds, and the mean absolute change by each method:\n"
        some = {title: m["changes"] for title, m in r["methods"].items() if m["success"][0]}
        yield table(
            " | ".join(["attribute", "true effect", *some]),
            [
                [key, f"{e[0]:.2f}", *(f"{changes[key][0]:.3f}" for changes in some.values())]
                for key, e in sorted(r["effects"].items(), key=lambda item: -abs(item[1][0]))
            ],
        )
        yield f"Queries, then {', '.join(r['methods'])}; dark ones are no successes.\n"
        yield picture(f"methods-{name}")

    return part


def exaggeration_part(r: Results) -> Iterator[str]:
    yield EXAGGERATION
    yield table(
        "success | row by row | pooled | n",
        [[share(r["success"]), number(r["row by row"]), number(r["pooled"]), f"{r['success'][3]:,}"]],
    )
    bins = r["mean confidence"]
    yield table(" | ".join(["bin", *map(str, range(len(bins)))]), [["mean confidence", *(f"{e[0]:.2f}" for e in bins)]])
    yield picture("exaggeration")


#: Section -> title, part of the page.
PAGE: dict[str, tuple[str, Callable[[Results], Iterator[str]]]] = {
    "drawing": ("Drawing", drawing_part),
    "classifiers": ("Classifiers, and what truly moves them", classifiers_part),
    "reconstruction": ("The semantic generator", reconstruction_part),
    "contrast": ("How a cue is planted", contrast_part),
    "steex": ("STEEX", steex_part),
    "leak": ("What a style changes elsewhere", leak_part),
    "parts": ("Who sees a part", parts_part),
    "distance_weight": ("Near or sure", closeness_part),
    "bias": ("Who goes by glasses", bias_part),
    "causes-smile": ("Do explanations of smiles name the causes?", causes_part("smile")),
    "causes-age": ("Do explanations of age?", causes_part("age")),
    "causes-age-glasses": ("And of the biased age?", causes_part("age-glasses")),
    "exaggeration": ("Progressive exaggeration", exaggeration_part),
}
