"""Pages that open from disk: all text from a run is escaped, and no page loads anything from the network."""

from __future__ import annotations

import base64
import hashlib
import math
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rather import __version__
from rather.report.cards import percent, plain, reason


@cache
def environment() -> Environment:
    """The templates, which escape every value."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"version": __version__, "policy": _policy}
    made.tests["finite"] = math.isfinite
    made.filters |= {"percent": percent, "reason": reason, "whole": "{:,}".format}
    return made


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page; its own style is the file of its name that ends in .css."""
    return environment().get_template(template).render(values)


def question(config: Mapping[str, Any], *keys: str) -> dict[str, str]:
    """Some of a run's configuration in short: names without their settings."""
    values = {key: config.get(key) for key in keys}
    names = {key: value.get("name") if isinstance(value, Mapping) else value for key, value in values.items()}
    return {key: plain(name) for key, name in names.items() if name is not None and (key != "confidence" or name)}


def inside(name: str, data: bytes) -> str:
    """The address of a picture that is in the page itself."""
    del name
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _policy(*styles: str) -> str:
    """Allows pictures in the page or in its folder, and exactly our own styles and script."""

    def source(name: str) -> str:
        text = environment().get_template(name).render()
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: 'self' file:; "
        f"style-src {' '.join(map(source, styles))}; script-src {source('report.js')}"
    )


def _visible(value: Any) -> Any:
    """Text without characters that turn, hide or end the text next to them."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c)[0] == "C" else c for c in value)
