"""Words of a command line, and files of them, as plain data."""

from __future__ import annotations

import json as jsonlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rather.config.errors import RatherError


def settings_of(pairs: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE pairs as plain data; a dot in a key goes one level down, a value is TOML or else text.

    >>> settings_of(["steps=3", "method.distractor=nearest"])
    {'steps': 3, 'method': {'distractor': 'nearest'}}
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise RatherError("CFG-SETTING", where=pair, why="not of the form KEY=VALUE")
        *path, last = key.split(".")
        level = settings
        for part in path:
            inner = level.setdefault(part, {})
            if not isinstance(inner, dict):  # `method=wachter` came before `method.steps=3`
                inner = level[part] = {"name": inner}
            level = inner
        try:
            plain = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            plain = value
        if isinstance(level.get(last), dict):  # `method.steps=3` came before `method=wachter`
            level[last]["name"] = plain
        else:
            level[last] = plain
    return settings


def from_file(words: list[str]) -> list[str]:
    """`--config FILE` replaced by the options that the TOML file gives and the command line does not.

    So the file's names and values pass the very checks that the command line's do.
    """
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--config=") else [word])]
    if "--config" not in words:
        return words
    place = words.index("--config")
    if place + 1 == len(words):
        raise RatherError("CFG-OPTIONS", where="--config", why="a file must follow")
    file, words = words[place + 1], words[:place] + words[place + 2 :]
    try:
        told = tomllib.loads(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RatherError("CFG-FILE", where=file, why=str(error)) from None
    given = {word.partition("=")[0] for word in words}
    options: list[str] = []
    for key, value in told.items():
        option = "--" + key.replace("_", "-")
        if option == "--set":
            options += [word for pair in _pairs(value, file) for word in ("--set", pair)]
        elif option in given or value is False:
            continue
        elif value is True:
            options.append(option)
        else:
            for one in value if isinstance(value, list) else [value]:
                options += [option, str(one)]
    # After the command's own name, and before what the command line says: of two settings the last one wins.
    return words[:1] + options + words[1:]


def _pairs(value: Any, file: str, above: str = "") -> list[str]:
    if not isinstance(value, dict):
        raise RatherError("CFG-FILE", where=file, why="[set] must be a table of settings")
    pairs = []
    for key, inner in value.items():
        if isinstance(inner, dict):
            pairs += _pairs(inner, file, f"{above}{key}.")
        else:
            pairs.append(f"{above}{key}={jsonlib.dumps(inner)}")
    return pairs
