"""Pack the package's digits from MNIST's official files: python benchmarks/make_digits.py FOLDER."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

from rather.data import mnist
from rather.data.mnist import FILE

TRAIN, TEST = 10_000, 2_000

LICENCE = "CC BY-SA 3.0 (https://creativecommons.org/licenses/by-sa/3.0/)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train-images-idx3-ubyte.gz and its companions")
    folder = parser.parse_args().folder
    train_images, train_labels = mnist.read(folder, "train")
    test_images, test_labels = mnist.read(folder, "t10k")
    np.savez_compressed(
        FILE,
        train_images=train_images[:TRAIN],
        train_labels=train_labels[:TRAIN],
        test_images=test_images[:TEST],
        test_labels=test_labels[:TEST],
    )
    card = {
        "name": "digits",
        "what": f"the first {TRAIN} training and the first {TEST} test images of MNIST, unchanged",
        "creators": "Yann LeCun and Corinna Cortes",
        "licence": LICENCE,
        "script": "benchmarks/make_digits.py",
        "arrays": {
            "train_images": [TRAIN, 28, 28],
            "train_labels": [TRAIN],
            "test_images": [TEST, 28, 28],
            "test_labels": [TEST],
        },
        "train_images_per_class": np.bincount(train_labels[:TRAIN]).tolist(),
        "test_images_per_class": np.bincount(test_labels[:TEST]).tolist(),
        "sha256": hashlib.sha256(FILE.read_bytes()).hexdigest(),
    }
    FILE.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", "utf-8")
    print(f"{FILE}: {FILE.stat().st_size} bytes, sha256 {card['sha256']}")


if __name__ == "__main__":
    main()
