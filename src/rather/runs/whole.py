"""The whole picture of which a classifier sees a part: with a frame around that part, and with what changed in it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from PIL import Image, ImageDraw

from rather.config.errors import RatherError
from rather.data.source import Source, Whole
from rather.io.png import png, seen, unpng
from rather.runs.store import Row

#: The artifact of this name: the picture, and the same with the counterfactual in its place.
WHOLE = "whole_picture"
_FRAME = (255, 140, 0)


def with_whole(row: Row, source: Source, index: int) -> Row:
    """A row with its whole picture, if the classifier sees only a part of it."""
    with suppress(RatherError):  # its file is another than a moment ago: the row stays as it is
        whole = source.whole(index) if row.query and row.image else None
        if whole is not None:
            series = [_framed(whole, data) for data in (row.query, row.image) if data]
            return replace(row, artifacts=row.artifacts | {WHOLE: series})
    return row


def _framed(whole: Whole, part: bytes) -> bytes:
    """The picture with a part in its place, and a frame around it."""
    import numpy as np
    import torch

    picture, (left, top, right, bottom) = whole.picture.copy(), map(round, whole.box)
    pixels = (seen(unpng(part)) * 255).round().byte().permute(1, 2, 0).squeeze(-1).numpy()
    inside = Image.fromarray(pixels).convert("RGB").resize((max(right - left, 1), max(bottom - top, 1)))
    picture.paste(inside, (left, top))
    ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline=_FRAME, width=2)
    return png(torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255)
