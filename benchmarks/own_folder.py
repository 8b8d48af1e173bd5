"""Explain the images of an ordinary folder, from PNGs to counterfactuals, by commands alone.

    python benchmarks/own_folder.py --idx FOLDER [--work FOLDER] [--write]

Unpacks clothes of Fashion-MNIST (Debian: dataset-fashion-mnist) into a folder for each class, as grey images
of 28 x 28 pixels and as coloured ones of 64 x 64, runs the commands that a user would run, and writes what they
print to docs/own-folder.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from markdown import share
from rather.data.mnist import read
from rather.stats import wilson

CLASSES = ["top", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
INTRODUCTION = """# From a folder of PNGs to explanations, without writing code

This is what `rather` does with a folder of ordinary pictures: 10 folders with {each} clothes each (Fashion-MNIST),
one folder for each class. A tenth of them is held out to measure on; shares come with their 95 % interval
(Wilson). `python benchmarks/own_folder.py --write` makes this page.

The steps: train a classifier (or bring your own), train a VAE, explain with `revise`; or train latent classifiers
and explain with `clarity`. Before you look at a counterfactual, look at *keep their class in reconstruction*: the
other pictures change their class by passing through the VAE alone, so blur accounts for some of the flips.
"""
SHARES = {
    "test pictures right": ("correct", "tested_on"),
    "test pictures keep their class in reconstruction": ("same_class", "tested_on"),
    "queries with a counterfactual": ("found", "queries"),
}
PAGE = Path(__file__).parents[1] / "docs" / "own-folder.md"


def unpack(idx: Path, folder: Path, each: int, side: int, *, colour: bool) -> None:
    """`each` pictures of each class; coloured ones get a tint that says nothing of the class."""
    images, labels = read(idx, "train")
    tints = torch.rand(len(images), 3, generator=torch.Generator().manual_seed(0)) / 2 + 0.5
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for n in (labels == number).nonzero()[0][:each].tolist():
            picture = Image.fromarray(images[n]).resize((side, side), Image.Resampling.BICUBIC)
            if colour:
                bands = [picture.point([round(v * t) for v in range(256)]) for t in tints[n].tolist()]
                picture = Image.merge("RGB", bands)
            picture.save(folder / name / f"{n:05d}.png")


def run(*words: object) -> tuple[str, float]:
    """What the command prints as JSON, and its seconds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "rather", *map(str, words), "--json"]
    print("rather", *words, file=sys.stderr, flush=True)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {done.stderr}")
    return done.stdout.strip().splitlines()[-1], time.monotonic() - began


def flow(data: Path, work: Path, size: list[object], steps: int) -> list[str]:
    """Run the commands, and return a line about each."""
    vae, net, latent = (work / f"{name}.safetensors" for name in ("vae", "net", "latent"))
    lines = []
    for words in (
        ["train", "classifier", "--data", data, "--out", net, "--epochs", 10, *size],
        ["train", "vae", "--data", data, "--out", vae, "--classifier", net, *size,
         "--set", f"steps={steps}", "--set", "width=16"],
        ["train", "latent-classifier", "--data", data, "--generator", vae, "--out", latent],
        ["explain", data, "--classifier", net, "--generator", vae, "--method", "revise", "--target", "random",
         "--confidence", 0.9, "--count", 60, "--out", work / "revise"],
        ["explain", data, "--classifier", latent, "--method", "clarity", "--target", "random",
         "--confidence", 0.9, "--count", 60, "--out", work / "clarity"],
    ):  # fmt: skip
        result, seconds = run(*words)
        plain = " ".join(Path(word).name if isinstance(word, Path) else str(word) for word in words)
        lines.append(f"- `rather {plain}` ({seconds:.0f} s): {summary(json.loads(result))}")
    return lines


def summary(result: dict[str, Any]) -> str:
    """The shares in the result of a command, with their intervals, and the error of the pixels."""
    parts = []
    for what, (key, total) in SHARES.items():
        if key in result:
            count, of = result[key], result[total]
            parts.append(f"{count} of {of} {what}, {share([count / of, *wilson(count, of)])}")
    return "; ".join([*parts, *(f"{key} {result[key]}" for key in ("pixel_error",) if key in result)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--idx", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--work", type=Path, help="the folder for all files; by default a temporary one")
    parser.add_argument("--each", type=int, default=200, help="pictures of a class")
    parser.add_argument("--steps", type=int, default=300, help="training steps of the VAE")
    parser.add_argument("--write", action="store_true", help="write docs/own-folder.md")
    asked = parser.parse_args()
    pages = [INTRODUCTION.format(each=asked.each)]
    with tempfile.TemporaryDirectory() as temporary:
        work = asked.work or Path(temporary)
        for name, side, colour in (("grey, 28 x 28", 28, False), ("colour, 64 x 64", 64, True)):
            here = work / str(side)
            unpack(asked.idx, here / "clothes", asked.each, side, colour=colour)
            lines = flow(here / "clothes", here, ["--size", side], asked.steps)
            pages += [f"## {name}\n", *lines, ""]
            print("\n".join(pages[-len(lines) - 2 :]))
    if asked.write:
        PAGE.write_text("\n".join(pages), "utf-8")


if __name__ == "__main__":
    main()
