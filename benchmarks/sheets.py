"""Picture sheets of the figures: rows of pictures side by side, as small WebP files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from rather.core import Images
from rather.plots import signed_difference
from runs import Answers

SHOWN = 30


def answers_sheet(folder: Path, name: str, answers: Answers) -> None:
    """Query | reconstruction, where there is one | counterfactual, dark if it is none | what changed."""
    rows = slice(0, SHOWN)
    start, end = answers.start[rows], answers.images[rows]
    columns = [answers.queries.images[rows]]
    if "reconstruction" in answers.pictures:
        columns.append(start)
    columns += [dimmed(end, answers.success[rows]), differences(start, end)]
    sheet(folder, name, columns, abreast=3)


def dimmed(images: Images, found: Tensor) -> Images:
    return images * torch.where(found, 1.0, 0.4)[:, None, None, None]


def differences(start: Images, end: Images) -> Images:
    """What changed, each row in full colour at its own largest change."""
    return torch.stack([signed_difference(*pair) for pair in zip(start, end, strict=True)])


def sheet(folder: Path, name: str, columns: Sequence[Images], abreast: int = 1) -> None:
    """Rows of pictures, so many of them abreast; first down, then to the right."""
    coloured = [images.expand(-1, 3, -1, -1) for images in columns]
    rows = torch.cat([pad(images, (1, 1, 1, 1), value=1.0) for images in coloured], 3)
    rows = pad(rows, (4, 4, 0, 0), value=1.0)
    high = -(-len(rows) // abreast)
    missing = high * abreast - len(rows)
    rows = torch.cat([rows, torch.ones(missing, *rows.shape[1:])])
    whole = torch.cat([torch.cat([*part], 1) for part in rows.split(high)], 2)
    pixels = (whole.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    folder.mkdir(parents=True, exist_ok=True)
    # Of a PNG that is small enough the few colours look like patches, which nobody has drawn.
    Image.fromarray(pixels).save(folder / f"{name}.webp", quality=85, method=6)
