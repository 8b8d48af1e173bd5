"""The papers' claims beside what this package measures: writes docs/claims.md of the figures in docs/.

    python benchmarks/claims.py

What the papers print is typed here, with its place; what is ours is read, so that a figure that is measured
anew, or for the first time, changes the page and its verdicts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from telling import number, said, share, table

DOCS: Final = Path(__file__).parent.parent / "docs"
TITLE = """\
# The papers' claims, and what comes out here

Written by `python benchmarks/claims.py` of the figures in this folder; of ours none is typed by hand. Our
nets and pictures are others, and much smaller: what can agree is a direction or an order, seldom a digit. A
claim of an order agrees if the means are in that order; one of a size, if our interval reaches it. What
stands below *why* is our reading of it, and typed.
"""
HEAD = "claim | the paper | here | agrees | why"
SIX = ("wachter", "schut", "revise", "latent-classifier", "revise-e", "clarity")
LEAST = 0.995

Interval = Sequence[float]
Ours = tuple[str, bool]  # what to say, and whether it is as the paper has it


@dataclass(frozen=True)
class Known:
    """All that was measured; KeyError for what was not."""

    folder: Path

    def __call__(self, file: str, *keys: str) -> Any:
        """A place in a file of figures."""
        told = _read(self.folder / f"{file}.json")
        for key in keys:
            told = told[key]
        return told

    def page(self, file: str, section: str, label: str) -> Interval:
        """The line of a page's tables that is called so, the first below a heading; shares from 0 to 1."""
        _, there, rest = (self.folder / f"{file}.md").read_text("utf-8").partition(section)
        line = next((line for line in rest.splitlines() if line.startswith(f"| {label} |")), None)
        if not there or line is None:
            raise KeyError(label)
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        scale = 0.01 if "%" in cells[2] else 1
        numbers = [float(one) for one in re.findall(r"[\d.]+", f"{cells[2]} {cells[3]}")]
        return [one * scale for one in numbers]

    def board(self, task: str, method: str, metric: str) -> Interval:
        """A figure of the leaderboard, of successes."""
        asked = {"task": task, "method": method, "metric": metric, "variant": "main"}
        names = self("leaderboard", "columns")
        for values in self("leaderboard", "figures"):
            one = dict(zip(names, values, strict=True))
            if asked.items() <= one.items():
                return [one["value"], one["low"], one["high"]]
        raise KeyError(method)


@cache
def _read(file: Path) -> Any:
    if not file.exists():
        raise KeyError(file.name)
    return json.loads(file.read_text("utf-8"))


@dataclass(frozen=True)
class Claim:
    """What a paper says, and how to ask for it here."""

    paper: str
    text: str
    there: str  # its figure, with the place in the paper
    ours: Callable[[Known], Ours] | None  # None of what this package cannot measure without more
    if_so: str = ""  # why it agrees, where that has to be said
    if_not: str = ""  # why it does not, or is not measured


def most_of(name: str, known: Known) -> Interval:
    found: Interval = known("faces-figures", "parts", name, "most in", name)
    return found


def rising(names: Sequence[str], values: Sequence[Interval], tell: Callable[[Interval], str]) -> Ours:
    """Whether means rise in the order in which they are given."""
    told = ", ".join(f"{name} {tell(one)}" for name, one in zip(names, values, strict=True))
    means = [one[0] for one in values]
    return told, all(a < b for a, b in pairwise(means))


def steex_succeeds(known: Known) -> Ours:
    names = ("faces-smile", "faces-age")
    found = {name: known("faces-figures", "steex", name, "success") for name in names}
    told = ", ".join(f"{name} {share(one)}" for name, one in found.items())
    return told, all(one[2] >= LEAST for one in found.values())


def parts_are_told(known: Known) -> Ours:
    found = {name: most_of(name, known) for name in ("top", "middle", "bottom")}
    return ", ".join(f"{name} {share(one)}" for name, one in found.items()), all(
        one[1] > 1 / 3 for one in found.values()
    )


def reconstruction_costs(known: Known) -> Ours:
    own, real = (known("faces-figures", "reconstruction", key) for key in ("frechet", "frechet of real"))
    return f"Frechet {number(own)}, of as many real faces {number(real)}", own[1] > real[2]


def of_six(known: Known, measure: str) -> dict[str, Interval]:
    return {name: known("latent-figures", "methods", name, measure) for name in SIX}


def clarity_is_best(known: Known) -> Ours:
    said_so, im1 = of_six(known, "transfer"), of_six(known, "im1")
    best = max(said_so, key=lambda name: said_so[name][0]), min(im1, key=lambda name: im1[name][0])
    success = known("latent-figures", "methods", "clarity", "success")
    told = f"success {share(success)}; best of six by transfer: {best[0]}, by IM1: {best[1]}"
    return told, best == ("clarity", "clarity") and success[0] >= 0.99


def pixels_are_noisy(known: Known) -> Ours:
    im1 = of_six(known, "im1")
    told = ", ".join(f"IM1 of {name} {number(im1[name], 2)}" for name in ("wachter", "schut", "clarity"))
    return told, all(im1[name][1] > 1 for name in ("wachter", "schut"))


def revise_is_stuck(known: Known) -> Ours:
    success = known("latent-figures", "methods", "revise", "success")
    return f"revise succeeds with {share(success)}", success[0] < 0.99


def revise_is_implausible(known: Known) -> Ours:
    found = of_six(known, "transfer")
    return rising(("revise", "clarity"), [found["revise"], found["clarity"]], share)


def of_diffusion(known: Known, measure: str, *names: str) -> list[Interval]:
    return [known("diffusion-figures", "methods-digits", name, measure) for name in names]


def filter_is_semantic(known: Known) -> Ours:
    return rising(("attack", "ace"), of_diffusion(known, "agrees", "attack", "ace"), share)


def ace_is_nearest_to_data(known: Known) -> Ours:
    names = ("ace", "dime", "dive")
    return rising(names, of_diffusion(known, "frechet", *names), number)


def ace_is_less_diverse(known: Known) -> Ours:
    names = ("ace", "dime")
    return rising(names, of_diffusion(known, "diversity", *names), number)


def ace_is_faster(known: Known) -> Ours:
    calls = of_diffusion(known, "calls", "ace", "dime")
    return f"calls of the denoiser: ace {number(calls[0], 0)}, dime {number(calls[1], 0)}", (
        3 * calls[0][0] < calls[1][0]
    )


def maskdime_is_faster(known: Known) -> Ours:
    calls = of_diffusion(known, "calls", "maskdime", "dime")
    return f"calls of the denoiser: maskdime {number(calls[0], 0)}, dime {number(calls[1], 0)}", (
        30 * calls[0][0] < calls[1][0]
    )


def stages(known: Known, task: str) -> Ours:
    """A stage that succeeds on less than half of the rows has no distance, and does not count."""
    of = known("diffusion-figures", f"stages-{task}")
    names = [name for name in ("ACE", "Pre-CE", "F-CE", "FR-CE") if "frechet" in of.get(f"{name}, l1", ())]
    found = [of[f"{name}, l1"]["frechet"] for name in names]
    told, _ = rising(names, found, number)
    return told, names[0] == "ACE" and found[0][0] < min(one[0] for one in found[1:])


def order_on_faces(known: Known) -> Ours:
    names = ("ace of faces", "dime of faces", "steex", "dive")
    return rising(names, [known.board("faces smile", name, "frechet") for name in names], number)


def l1_is_sparser(known: Known) -> Ours:
    found = [known("diffusion-figures", "stages-faces-smile", f"ACE, {norm}", "changed") for norm in ("l1", "l2")]
    return rising(("pixels changed by l1", "by l2"), found, share)


def on_page(section: str, label: str, there: float) -> Callable[[Known], Ours]:
    """Whether a figure of the page on Goyal et al. reaches the paper's."""

    def ours(known: Known) -> Ours:
        found = known.page("goyal-figures", section, label)
        tell = share if there < 1 else number
        return tell(found), found[1] <= there <= found[2]

    return ours


def below(section: str, less: str, more: str) -> Callable[[Known], Ours]:
    """Whether one figure of that page is below another."""

    def ours(known: Known) -> Ours:
        found = [known.page("goyal-figures", section, label) for label in (less, more)]
        tell = share if found[0][0] < 1 else number
        return " < ".join(map(tell, found)), found[0][2] < found[1][1]

    return ours


def letters_need_fewer(known: Known) -> Ours:
    label = "edits until c' is the first choice"
    letters, digits = (known.page("goyal-figures", part, label) for part in ("## Omniglot", "## Digits"))
    return rising(("letters", "digits"), [letters, digits], number)


def edits_are_right(known: Known) -> Ours:
    found = known.page("goyal-figures", "each cell sees one square", "one shape to another: first edit is right")
    return f"{share(found)} of first edits, of shapes", found[2] >= 0.97


def bisection_is_nearer(known: Known) -> Ours:
    found = known("latent-figures", "introspection", "criticisms", "0.03", "further")
    own = known("latent-figures", "introspection", "criticisms", "bisected", "success")
    return f"success {share(own)}; a fixed weight's is further by {number(found, 4)}", found[1] > 0


def prototypes_rise(known: Known) -> Ours:
    every = known("latent-figures", "introspection", "prototypes")
    best = max(every, key=lambda one: one["raised"][0])
    return f"{share(best['raised'])}, {best['generator']}, weight {best['weight']:g}", best["raised"][0] >= 0.95


def bias_is_seen(judge: str) -> Callable[[Known], Ours]:
    """Whether glasses are among the first five of the biased classifier more often than of the unbiased."""

    def ours(known: Known) -> Ours:
        nets = ("faces-age", "faces-age-glasses")
        found = [known("faces-figures", "bias", f"attributes, {net}", judge, "first", "5") for net in nets]
        told = f"glasses among the first five: biased {share(found[1])}, unbiased {share(found[0])}"
        return told, found[1][1] > found[0][2]

    return ours


STEEX, CLARITY = "Jacob et al. (2022), STEEX", "Theobald (2023), Clarity"
ACE, GOYAL = "Jeanneret et al. (2023), ACE", "Goyal et al. (2019)"
GCI, MASK = "Liu et al. (2019), GCI", "MaskDiME (2026)"
BIRDS = "needs the birds of CUB, which do not come with the package"
PEOPLE = "needs people"

CLAIMS: Final = (
    Claim(
        STEEX,
        "the generator's reconstruction alone costs realism",
        "FID 8.4 CelebA, 21.7 CelebAMask-HQ, 56.3 BDD100k (supplement, table 1)",
        reconstruction_costs,
        "small as the faces are, the reconstruction is further from them than other faces",
    ),
    Claim(
        STEEX,
        "success is almost perfect at the chosen weight of the distance",
        "> 99.5 % on training images (supplement)",
        steex_succeeds,
        "ours is of test images",
        "ours is of test images",
    ),
    Claim(
        STEEX,
        "the picture tells which part of the face a classifier sees",
        "shown for the top, the middle and the bottom (supplement)",
        parts_are_told,
        "most of the change of most faces lies where the classifier sees",
    ),
    Claim(
        CLARITY,
        "classifiers of latents give realistic pictures of all images",
        "shown (slides)",
        clarity_is_best,
        "by two judges that no method saw",
    ),
    Claim(
        CLARITY,
        "gradients in pixels give noise",
        "shown (slides)",
        pixels_are_noisy,
        "an IM1 above 1 is nearer to the old class",
    ),
    Claim(
        CLARITY,
        "REVISE often gets stuck",
        "shown (slides)",
        revise_is_stuck,
        if_not="why is not known: the nets and the settings are others",
    ),
    Claim(CLARITY, "REVISE's pictures are less plausible", "shown (slides)", revise_is_implausible),
    Claim(
        ACE,
        "a diffusion model makes an attack semantic",
        "shown (section 4)",
        filter_is_semantic,
        "another classifier, which took no part, follows",
    ),
    Claim(
        ACE,
        "it is nearest to the data",
        "CelebA, smile: FID 1.27, DiME 3.17, DiVE 29.4 (table 1)",
        ace_is_nearest_to_data,
    ),
    Claim(
        ACE,
        "the order of the methods on faces",
        "CelebA, smile: FID of ACE 1.27, DiME 3.17, STEEX 10.2, DiVE 29.4 (table 1)",
        order_on_faces,
        if_not="thirty images, in our judge's features: ACE and STEEX are not told apart",
    ),
    *(
        Claim(
            ACE,
            f"refinement brings the pictures nearer to the data, {task}",
            f"FID of Pre-CE, FR-CE, F-CE, ACE: {there} (table 5)",
            lambda known, task=task: stages(known, task),  # type: ignore[misc]
            "by the attack's last point Pre-CE flips less than half, and has no distance",
        )
        for task, there in (("faces-smile", "1.87, 8.31, 2.64, 1.27"), ("faces-age", "3.93, 7.10, 4.23, 2.08"))
    ),
    Claim(ACE, "L1 is sparser than L2", "said (section 4.2)", l1_is_sparser),
    Claim(ACE, "it is less diverse than DiME", "0.110 and 0.213 (section 4.3)", ace_is_less_diverse),
    Claim(
        ACE,
        "it is faster than DiME",
        "3.6 times, some 500 calls",
        ace_is_faster,
        if_not="of digits DiME goes up fewer levels, and its calls grow with their square",
    ),
    Claim(
        MASK,
        "it is faster than DiME",
        "> 30 times",
        maskdime_is_faster,
        if_not="DiME's calls grow with the square of the levels: 60 there, fewer here",
    ),
    Claim(
        GOYAL,
        "edits of digits",
        "2.67 of 16 cells (4.1)",
        on_page("## Digits", "edits until c' is the first choice", 2.67),
        if_not="with c left for any class it is nearer: the paper has two readings, see goyal-figures.md",
    ),
    Claim(
        GOYAL,
        "edits of letters",
        "1.46 (4.2)",
        on_page("## Omniglot", "edits until c' is the first choice", 1.46),
        if_not="as above; of 42 classes there is always another near by, but seldom c'",
    ),
    Claim(GOYAL, "letters need fewer edits than digits", "1.46 < 2.67 (4.2)", letters_need_fewer, if_not="as above"),
    Claim(
        GOYAL,
        "distractors of one class agree on the cell more than those of others",
        "42 % < 78 %, of birds (4.3)",
        below(
            "### Agreement",
            "two distractors, one of each other class: same best query cell",
            "two distractors, of the same class: same best query cell",
        ),
    ),
    Claim(
        GOYAL,
        "the relaxation finds the best edit",
        "79.98 %, of birds (2.3)",
        on_page("### Relaxation", "same best edit as the exhaustive search", 0.7998),
        if_not="what it starts from decides, and more steps hardly help, see goyal-figures.md",
    ),
    Claim(
        GOYAL,
        "it reaches most of the best probability",
        "92 %, of birds (2.3)",
        on_page("### Relaxation", "share of the best p(c')", 0.92),
        if_not="as above; of log-probabilities it is more",
    ),
    Claim(GOYAL, "edits lie on the object", "97 %, of birds (4.3)", edits_are_right, "where cells see but themselves"),
    Claim(GOYAL, "edits of birds", "5.3 (nearest class), 7.4 (4.3)", None, if_not=BIRDS),
    Claim(GOYAL, "edits lie near key points", "75 %, 80 %; on the same one 20 % (4.3)", None, if_not=BIRDS),
    Claim(
        GOYAL,
        "people learn from them: counterfactuals, highlights, nothing",
        "78.77 %, 74.29 %, 71.09 % (5)",
        None,
        if_not=PEOPLE,
    ),
    Claim(GCI, "bisecting the weight gives a small change that flips", "shown (figure 2)", bisection_is_nearer),
    Claim(GCI, "prototypes are surer", "shown (figure 3)", prototypes_rise, "if the distance hardly counts"),
    Claim(
        GCI,
        "the most changed attributes reveal a bias, by the editor's own account",
        "top five (figure 6)",
        bias_is_seen("by its own account"),
    ),
    Claim(
        GCI,
        "the same, by an oracle that reads the picture",
        "not asked",
        bias_is_seen("by the oracle"),
        "though less: what the editor is told to change it does not always draw",
        if_not="what the editor is told to change it does not always draw",
    ),
)


def page(folder: Path = DOCS) -> str:
    """The whole page."""
    known = Known(folder)
    parts = [TITLE]
    for paper in dict.fromkeys(claim.paper for claim in CLAIMS):
        rows = [row(claim, known) for claim in CLAIMS if claim.paper == paper]
        parts += [f"## {paper}\n", table(HEAD, rows)]
    return "\n".join(parts).rstrip() + "\n"


def row(claim: Claim, known: Known) -> list[str]:
    """A claim's line."""
    try:
        told = claim.ours(known) if claim.ours else None
    except KeyError:
        told = None
    if told is None:
        why = claim.if_not if claim.ours is None else ""
        return [claim.text, claim.there, "not measured", "", why]
    return [claim.text, claim.there, told[0], said(told[1]), claim.if_so if told[1] else claim.if_not]


if __name__ == "__main__":
    (DOCS / "claims.md").write_text(page(), "utf-8")
