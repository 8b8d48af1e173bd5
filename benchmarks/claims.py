"""Compare the papers' claims with what this package measures: writes docs/claims.md.

    python benchmarks/claims.py

benchmarks/claims.toml holds the claims; our figures are read from the JSON files in docs/.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from markdown import Interval, number, share, table

CLAIMS: Final = Path(__file__).with_suffix(".toml")
DOCS: Final = Path(__file__).parent.parent / "docs"
TITLE: Final = """\
# The papers' claims, and what comes out here

`python benchmarks/claims.py` writes this page: the claims are in `benchmarks/claims.toml`, our figures in the JSON
files of this folder. Our nets and pictures are others, and much smaller, so a direction or an order can agree, but
seldom a digit. A claim of an order agrees if the values are in that order; one of a size, if our 95 % interval
reaches it. The column *why* is our reading.
"""
#: By the words of `is`: figures in the claim's order, and the number at the end of these words.
RULES: Final[Mapping[str, Callable[[Sequence[Interval], float], bool]]] = {
    "rising": lambda found, _: all(a[0] < b[0] for a, b in pairwise(found)),
    "apart": lambda found, _: all(a[2] < b[1] for a, b in pairwise(found)),  # rising, and intervals do not touch
    "least": lambda found, _: found[0][0] < min(one[0] for one in found[1:]),
    "greatest": lambda found, _: found[0][0] > max(one[0] for one in found[1:]),
    "fewer by": lambda found, times: times * found[0][0] < found[1][0],
    "reaches": lambda found, value: all(one[1] <= value <= one[2] for one in found),
    "at least": lambda found, value: all(one[2] >= value for one in found),
    "above": lambda found, value: all(one[1] > value for one in found),
    "below": lambda found, value: all(one[1] < value for one in found),
}


@cache
def figures(file: Path) -> Any:
    """The content of a file of figures."""
    return json.loads(file.read_text("utf-8"))


def figure(folder: Path, file: str, *keys: str | int) -> Interval | None:
    """A figure of docs/FILE.json; of the leaderboard the keys are task, method, metric. None if it is missing."""
    if not (folder / f"{file}.json").exists():
        return None
    found = figures(folder / f"{file}.json")
    if file == "leaderboard":
        place = {name: n for n, name in enumerate(found["columns"])}
        for row in found["figures"]:
            if tuple(row[:3]) == keys and row[place["variant"]] == "main":
                return [row[place[name]] for name in ("value", "low", "high")]
        return None
    for key in keys:
        found = found[key] if isinstance(key, int) else found.get(key)
        if found is None:
            return None
    return found  # type: ignore[no-any-return]


def row(claim: Mapping[str, Any], folder: Path) -> list[str]:
    """The line of a claim."""
    found = {name: figure(folder, *path) for name, path in claim.get("here", {}).items()}
    if not found or None in found.values():
        return [claim["claim"], claim["printed"], "not measured", "", claim.get("no", "") if not found else ""]
    kind, value = claim["is"], ""
    if kind not in RULES:
        kind, _, value = kind.rpartition(" ")
    agrees = RULES[kind]([*found.values()], float(value or 0))  # type: ignore[arg-type]
    tell = share if claim["as"] == "share" else lambda one: number(one, claim["as"])
    ours = ", ".join(f"{name} {tell(one)}" for name, one in found.items())  # type: ignore[arg-type]
    why = claim.get("yes" if agrees else "no", "")
    return [claim["claim"], claim["printed"], ours, "yes" if agrees else "**no**", why]


def page(folder: Path = DOCS) -> str:
    """The whole page."""
    claims = tomllib.loads(CLAIMS.read_text("utf-8"))["claim"]
    parts = [TITLE]
    for paper in dict.fromkeys(claim["paper"] for claim in claims):
        rows = [row(claim, folder) for claim in claims if claim["paper"] == paper]
        parts += [f"## {paper}\n", table("claim | the paper | here | agrees | why", rows)]
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    (DOCS / "claims.md").write_text(page(), "utf-8")
