"""A script of figures: sections that are measured one by one, JSON that keeps them, and its page in docs/."""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from rather.io.bundled import WEIGHTS
from runs import Asked, MissingError, Nets

DOCS = Path(__file__).parent.parent / "docs"
Section = Callable[[Asked], dict[str, Any]]


def measure(
    name: str, sections: Mapping[str, Section], page: Callable[[Mapping[str, Any]], str], what: str | None
) -> None:
    """Measure the sections that the command line asks for, and write docs/NAME.json and docs/NAME.md.

    Args:
        name: of the two files.
        sections: by name.
        page: of all that is known.
        what: the script's docstring.
    """
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(sections)}; all by default")
    parser.add_argument("--rows", type=int, default=300, help="queries; of slow methods some scripts take a third")
    parser.add_argument("--held-out", type=int, default=2000, help="test images where no method is run")
    parser.add_argument("--work", type=Path, default=Path("build") / name, help="where answers are kept")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the nets are")
    parser.add_argument("--out", type=Path, default=DOCS, help="where the page goes")
    args = parser.parse_args()
    wrong = {*args.sections} - {*sections}
    if wrong:
        parser.error(f"no section {', '.join(sorted(wrong))}")
    torch.set_num_threads(1)
    asked = Asked(Nets(args.weights), args.rows, args.held_out, args.work, args.out / name.removesuffix("-figures"))
    sheets, file = args.out / name.removesuffix("-figures"), args.out / f"{name}.json"
    known = json.loads(file.read_text("utf-8")) if file.exists() else {"about": {}}
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *without_folders(sys.argv[1:])])
    for section in args.sections or sections:
        asked = Asked(Nets(args.weights), args.rows, args.held_out, args.work, sheets)
        began = time.perf_counter()
        print(f"{section} ...", flush=True)
        try:
            known[section] = sections[section](asked)
        except MissingError as missing:
            print(f"{section}: skipped, {missing} is not in {args.weights} yet", flush=True)
            continue
        made = f"torch {torch.__version__.partition('+')[0]}, one thread, {platform.machine()}"
        known["about"][section] = {"command": command, "nets": asked.nets.read(), "made with": made}
        args.out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
        file.with_suffix(".md").write_text(page(known), "utf-8")
        print(f"{section}: measured, {time.perf_counter() - began:.0f} s", flush=True)


def without_folders(arguments: list[str]) -> Iterator[str]:
    """Where things are kept is no part of the question."""
    hidden = {"--work", "--weights", "--out"}
    for n, one in enumerate(arguments):
        if one not in hidden and not (n and arguments[n - 1] in hidden):
            yield one
