"""The classifiers that come with the package; `benchmarks/make_weights.py` trains them anew.

Each is a file of safetensors with a card beside it: what it was trained on and how, its accuracy, its sha256.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rather.errors import RatherError
from rather.suggest import near

if TYPE_CHECKING:
    from rather.core import Classifier

WEIGHTS: Final = Path(__file__).parents[1] / "weights"


def list_weights() -> dict[str, str]:
    """Name and one line of every bundled classifier; nothing but the cards is read for it."""
    files = {file.stem: file for file in WEIGHTS.glob("*.json")}
    return {name: _card(files[name])["what"] for name in sorted(files)}


def load_weights(name: str) -> Classifier:
    """A bundled classifier by its name.

    Raises:
        RatherError: MODEL-NOT-FOUND, or MODEL-FILE-DAMAGED if the file is not the one of its card.
    """
    from rather.classifiers.file import load_classifier

    file = WEIGHTS / f"{name}.safetensors"
    if not (name.replace("-", "").isalnum() and file.is_file()):
        raise RatherError("MODEL-NOT-FOUND", where=name, do=near(name, list_weights()))
    if hashlib.sha256(file.read_bytes()).hexdigest() != _card(file.with_suffix(".json"))["sha256"]:
        raise RatherError(
            "MODEL-FILE-DAMAGED", where=file, why="its sha256 is not the card's", do="Install rather again"
        )
    return load_classifier(file)


def _card(file: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return card
