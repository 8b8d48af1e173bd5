"""What a user says of own pictures: how to read what their files leave open, and where labels and masks are."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal, final

from rather.config.errors import RatherError

#: `scale` maps all values of 16 bits to 0 to 255, `window` those from the picture's smallest to its largest.
Depth16 = Literal["scale", "window"]
_NAMED: Final = {"white": "#ffffff", "black": "#000000"}


@final
@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """How your own pictures are read, and what you know of them; what stays open is refused.

    Raises:
        RatherError: CFG-SETTING for a background that is no colour.
    """

    depth16: Depth16 | None = None
    """How numbers of 16 bits become grey levels: scale (0 to 65,535) or window (smallest to largest of the image)."""
    background: str | None = None
    """What is behind transparent pixels: white, black or #rrggbb."""
    annotations: Path | None = None
    """A CSV file: a column file, and any of label, x_NAME with y_NAME (key points) and attributes (0 or 1)."""
    masks: Path | None = None
    """A folder of masks with the images' names: numbers of regions, or 0 and 255 for one object."""

    def __post_init__(self) -> None:
        if self.background is not None and not _digits(self.background):
            raise RatherError("CFG-SETTING", where=f"background {self.background}", do="Give white, black or #rrggbb")

    def given(self) -> dict[str, str]:
        """The options that are given, as plain data."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: str(value) for name, value in values.items() if value is not None}

    def behind(self, where: object) -> tuple[int, int, int]:
        """The background's red, green and blue; IMG-ALPHA for the picture there if none is given."""
        if self.background is None:
            do = "Say what is behind it: --background white, black or #rrggbb"
            raise RatherError("IMG-ALPHA", where=where, do=do)
        red, green, blue = bytes.fromhex(_digits(self.background))
        return red, green, blue


NO_OPTIONS: Final = PictureOptions()


def _digits(colour: str) -> str:
    """The six digits of a colour, or nothing."""
    found = re.fullmatch("#([0-9a-fA-F]{6})", _NAMED.get(colour, colour))
    return found[1] if found else ""
