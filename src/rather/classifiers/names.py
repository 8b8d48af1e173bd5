"""Names of classes: given one by one, in a file, or those of ImageNet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from unicodedata import normalize

from rather.config.errors import RatherError

Names = Sequence[str] | str | Path
IMAGENET: Final = "imagenet"
_FILES: Final = {".txt", ".json"}


def names_of(given: Names) -> tuple[str, ...]:
    """Names in the order of a net's outputs, in one Unicode form, so that equal names are equal.

    Args:
        given: the names (of a text, its letters); or, as the only one, "imagenet", or a file: a name on each
            line, or JSON with a list of names, or with names by number, as `id2label` of transformers.

    Raises:
        RatherError: MODEL-CLASSES for a file that cannot be read or holds no names.
    """
    word = given if isinstance(given, str | Path) else given[0] if len(given) == 1 else ""
    names: Sequence[str] = () if isinstance(given, Path) else given
    if word == IMAGENET:
        names = imagenet()
    elif isinstance(word, Path) or Path(word).suffix in _FILES or Path(word).is_file():
        names = with_numbers(_read(Path(word)))
    return tuple(normal(str(name)) for name in names)


def normal(name: str) -> str:
    """A name in Unicode's composed form: an accent may be a character of its own, and looks the same."""
    return normalize("NFC", name)


def imagenet() -> list[str]:
    """The 1,000 classes of ImageNet, as torchvision names them."""
    from torchvision.models import ResNet18_Weights

    return with_numbers(ResNet18_Weights.DEFAULT.meta["categories"])


def with_numbers(names: Sequence[str]) -> list[str]:
    """The names, where twins get their numbers: ImageNet's crane is a bird, and a machine."""
    return [f"{name} ({n})" if names.count(name) > 1 else name for n, name in enumerate(names)]


def _read(file: Path) -> list[str]:
    """The names in a file."""
    try:
        text = file.read_text("utf-8-sig")
        names = _of_json(json.loads(text)) if file.suffix == ".json" else text.rstrip().splitlines()
    except OSError as error:
        raise RatherError("MODEL-CLASSES", where=file, why=error.strerror or "cannot be read") from None
    except (ValueError, TypeError, LookupError, AttributeError):
        names = []
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        do = "Write a name on each line, or JSON with a list of names, or with names by number"
        raise RatherError("MODEL-CLASSES", where=file, why="it holds no names of classes", do=do)
    return [name.strip() for name in names]


def _of_json(given: Any) -> list[str]:
    """A list; names by number or numbers by name; or a configuration that has them as `id2label`."""
    if isinstance(given, list):
        return given
    given = given.get("id2label", given)
    if all(isinstance(value, int) for value in given.values()):
        given = {number: name for name, number in given.items()}
    names = {int(number): name for number, name in given.items()}
    return [names[n][-1] if isinstance(names[n], list) else names[n] for n in range(len(names))]
