"""Train the classifiers of the package anew: python benchmarks/make_weights.py [NAME ...]."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform

import torch

from rather.bundled import WEIGHTS
from rather.net_file import read_plan
from rather.train import Recipe, train_to_file

CC_BY_SA = "CC BY-SA 3.0, as the pictures that it was trained on (MNIST, Yann LeCun and Corinna Cortes)"

#: name -> (data set, recipe, what it is, licence)
RECIPES = {
    "digits": ("digits", Recipe(), "the digit net of Goyal et al. (2019), 4 x 4 x 20 features", CC_BY_SA),
    "digits-ensemble": (
        "digits",
        Recipe(members=5, seed=1),
        "an ensemble of 5 such nets, none of them the net `digits`",
        CC_BY_SA,
    ),
    "shapes": (
        "shapes",
        Recipe(architecture="patches", shift=0),
        "a net for the drawn shapes whose 4 x 4 x 32 features see a cell each",
        "Apache-2.0",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(RECIPES), help="which; all by default")
    torch.set_num_threads(1)  # several would change the order of sums, and so the weights
    for name in parser.parse_args().names:
        data, recipe, what, licence = RECIPES[name]
        file = WEIGHTS / f"{name}.safetensors"
        figures = train_to_file(
            data, file, recipe, progress=lambda done, of, loss: print(f"epoch {done}/{of}: loss {loss:.4f}")
        )
        card = {
            "what": f"{what}; {100 * figures.accuracy:.1f} % of {figures.tested_on:,} test pictures",
            **read_plan(file)["card"],
            "script": f"benchmarks/make_weights.py {name}",
            "made_with": f"torch {torch.__version__.partition('+')[0]}, one thread, {platform.machine()}",
            "licence": licence,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        file.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", "utf-8")
        print(f"{name}: accuracy {figures.accuracy:.4f}, 95 % interval {figures.interval}")


if __name__ == "__main__":
    main()
