"""Digits: the first 10,000 training and 2,000 test images of MNIST, in the package."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Final

import numpy as np

from rather.data.lists import damaged
from rather.data.mnist import as_source
from rather.data.source import Dataset

NAMES: Final = {"digits": "handwritten digits, in the package: 10,000 to train on, 2,000 to explain"}
FILE: Final = Path(__file__).with_name("digits.npz")
CARD: Final = FILE.with_suffix(".json")


def load() -> Dataset:
    """10,000 digits to train on and to take references from, 2,000 to explain."""
    try:
        data, card = FILE.read_bytes(), json.loads(CARD.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(FILE, str(error), "Install rather again") from None
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise damaged(FILE, "its sha256 is not the card's", "Install rather again")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return Dataset(
            "digits",
            test=as_source("digits", "test", arrays["test_images"], arrays["test_labels"]),
            train=as_source("digits", "train", arrays["train_images"], arrays["train_labels"]),
        )
