"""Columns of a comparison: from the words METHOD[@CLASSIFIER],... and the settings to a plan for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from rather.config.errors import RatherError
from rather.hub.presets import Plan, expand, merged


@final
@dataclass(frozen=True)
class Column:
    """A method or preset with its settings, and the classifier that it explains."""

    name: str  # of the method or preset, as it was asked for
    classifier: str | None  # a spec of `classifiers.bring`; None for the one that all share
    plan: Plan

    @property
    def label(self) -> str:
        """What was asked for."""
        return self.name if self.classifier is None else f"{self.name}@{self.classifier}"


def columns(methods: str, settings: Mapping[str, Any] | None = None) -> list[Column]:
    """The columns of `--method` and `--set`.

    Settings of a single method are its own. Of several methods, each setting says whose it is: `NAME.KEY` is
    for every column of a method or preset, `2.KEY` for the second column, and the latter wins.

    Args:
        methods: METHOD[@CLASSIFIER], or several with commas between them.
        settings: plain data.

    Raises:
        RatherError: CFG-UNKNOWN for a name, or none; CFG-OPTIONS for a column that is there twice;
            CFG-SETTING for a setting that does not say whose it is.
    """
    asked = [_read(word, methods) for word in methods.split(",")]
    labels = ["@".join(filter(None, one)) for one in asked]
    for label in labels:
        if labels.count(label) > 1:
            raise RatherError("CFG-OPTIONS", where=f"--method {methods}", why=f"{label} is there twice")
    own = [dict(settings or {})] if len(asked) == 1 else _addressed(settings or {}, [name for name, _ in asked])
    if any("name" in mine for mine in own):
        raise RatherError("CFG-SETTING", where="name", why="the method is not a setting", do="Say --method")
    return [
        Column(name, classifier, expand({"name": name} | mine))
        for (name, classifier), mine in zip(asked, own, strict=True)
    ]


def _read(word: str, methods: str) -> tuple[str, str | None]:
    name, at, classifier = word.strip().partition("@")
    if not name or (at and not classifier):
        raise RatherError("CFG-UNKNOWN", where=f"--method {methods}", why="not of the form METHOD[@CLASSIFIER],...")
    return name, classifier or None


def _addressed(settings: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """The settings of each column."""
    numbers = {str(n): n - 1 for n in range(1, len(names) + 1)}
    own: list[dict[str, Any]] = [{} for _ in names]
    # Those for a number come last, so that they win.
    for key, value in sorted(settings.items(), key=lambda item: item[0] in numbers):
        if not isinstance(value, Mapping) or not (key in numbers or key in names):
            raise RatherError(
                "CFG-SETTING",
                where=key,
                why=f"there are {len(names)} methods",
                do=f"Say whose setting it is: {names[0]}.KEY=VALUE, or 1.KEY=VALUE",
            )
        for n, name in enumerate(names):
            if numbers.get(key) == n or key == name:
                own[n] = merged(own[n], value)
    return own
