"""Pages that open from disk: what is somebody's text is escaped, and nothing asks for anything beyond."""

from __future__ import annotations

import base64
import hashlib
import math
import unicodedata
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rather.report.cards import percent, reason


def environment() -> Environment:
    """The templates, which escape whatever they are given."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.tests["finite"] = math.isfinite
    made.filters |= {"percent": percent, "reason": reason, "whole": "{:,}".format}
    return made


def policy(templates: Environment, *styles: str) -> str:
    """Nothing but pictures beside or inside the page, and our own styles and script, word for word."""

    def source(name: str) -> str:
        text = templates.get_template(name).render()
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: 'self' file:; "
        f"style-src {' '.join(map(source, styles))}; script-src {source('report.js')}"
    )


def inside(name: str, data: bytes) -> str:
    """The address of a picture that is in the page itself."""
    del name
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _visible(value: Any) -> Any:
    """Text without characters that turn, hide or end what stands beside them."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c)[0] == "C" else c for c in value)
