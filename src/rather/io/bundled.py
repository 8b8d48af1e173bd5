"""The nets that come with the package; `benchmarks/make_weights.py` trains them again.

Each is a file of safetensors with a card next to it: what it was trained on and how, its figures, its sha256.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from rather.config.errors import RatherError, did_you_mean

WEIGHTS: Final = Path(__file__).parent.parent / "weights"


def list_weights(*kinds: str) -> dict[str, str]:
    """Name and one line of every bundled net of these kinds; nothing but the cards is read for it.

    Args:
        kinds: as in `nets.file`: classifier, latent-classifier, generator.
    """
    cards = {file.stem: _card(file) for file in WEIGHTS.glob("*.json")}
    return {name: card["what"] for name, card in sorted(cards.items()) if card["kind"] in kinds}


def weights_file(name: str, *kinds: str) -> Path:
    """The file of a bundled net of one of these kinds.

    Raises:
        RatherError: MODEL-NOT-FOUND, or MODEL-FILE-DAMAGED if the file is not the one of its card.
    """
    if name not in list_weights(*kinds):
        raise RatherError("MODEL-NOT-FOUND", where=name, do=did_you_mean(name, list_weights(*kinds)))
    file = WEIGHTS / f"{name}.safetensors"
    if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != _card(file)["sha256"]:
        raise RatherError(
            "MODEL-FILE-DAMAGED", where=file, why="its sha256 is not the card's", do="Install rather again"
        )
    return file


def _card(file: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(file.with_suffix(".json").read_text("utf-8"))
    return card
