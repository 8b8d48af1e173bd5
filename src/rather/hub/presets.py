"""Presets: names that stand for a method with settings, listed in presets.toml; and plans made of words.

A plan is plain data: a method's name and its settings, among them the plans of the methods that it wraps.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from rather.config.errors import RatherError, did_you_mean
from rather.hub.extensions import is_code
from rather.hub.methods import list_methods, method_class

_FILE: Final = Path(__file__).with_suffix(".toml")
Plan = Mapping[str, Any]


def list_presets() -> dict[str, str]:
    """Name and one line of every preset; nothing but the file is read for it."""
    return {name: preset["what"] for name, preset in _presets().items()}


def preset(name: str) -> dict[str, Any] | None:
    """The plan that a name stands for, if it is a preset's."""
    found = _presets().get(name)
    return found and {**found["plan"]}


def expand(plan: Plan) -> dict[str, Any]:
    """The plan with every preset, at any depth, replaced by what it stands for; the plan's own settings win.

    Raises:
        RatherError: CFG-UNKNOWN for a name that is neither a method's nor a preset's.
    """
    name, own = str(plan.get("name", "")), {key: value for key, value in plan.items() if key != "name"}
    whole = merged(preset(name) or {"name": name}, own)
    known = list_methods()
    if whole["name"] not in known and not is_code(whole["name"]):
        raise RatherError("CFG-UNKNOWN", where=f"method {name}", do=did_you_mean(name, [*known, *_presets()]))
    return whole | {key: expand(inner) for key, inner in wrapped(whole).items()}


def wrapped(plan: Plan) -> dict[str, Plan]:
    """The plans of the methods that a plan's method wraps, by the fields that they are for."""
    from rather.core import Method

    fields = method_class(str(plan["name"])).model_fields
    given = {key: plan.get(key) for key, field in fields.items() if field.annotation is Method}
    return {
        key: {"name": inner} if isinstance(inner, str) else inner
        for key, inner in given.items()
        if isinstance(inner, str | Mapping)
    }


def merged(below: Plan, above: Plan) -> dict[str, Any]:
    """What is above wins; settings of a wrapped method are merged, unless it is another method."""
    whole = {**below, **above}
    for key, value in above.items():
        inner = below.get(key)
        if isinstance(value, Mapping) and isinstance(inner, Mapping) and "name" not in value:
            whole[key] = merged(inner, value)
    return whole


@cache
def _presets() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text("utf-8"))
