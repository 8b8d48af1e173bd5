"""Faces to pictures: drawn from back to front in torch, so that gradients reach the attributes."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import UInt8
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Images
from rather.worlds.faces import parts
from rather.worlds.faces.attributes import ATTRIBUTES, HAIR_COLOURS
from rather.worlds.faces.canvas import Traits, blank
from rather.worlds.faces.sample import Faces

LARGEST: Final = 256
BLOCK: Final = 16  # faces that are drawn at a time: what they need stays in the processor's cache

#: As HAIR_COLOURS has them; then what age turns them to.
_HAIR: Final = torch.tensor([[0.10, 0.09, 0.09], [0.32, 0.19, 0.11], [0.84, 0.68, 0.37], [0.66, 0.29, 0.11]])
_GREY: Final = torch.tensor([0.72, 0.72, 0.74])
_SKIN: Final = torch.tensor(
    [[0.98, 0.84, 0.74], [0.93, 0.74, 0.60], [0.82, 0.60, 0.44], [0.62, 0.42, 0.29], [0.40, 0.26, 0.18]]
)
_FRAMES: Final = torch.tensor([[0.06, 0.06, 0.07], [0.45, 0.20, 0.10], [0.15, 0.22, 0.45]])
_LENSES: Final = torch.tensor([[0.112, 0.112, 0.0], [0.122, 0.085, 0.9], [0.118, 0.096, 0.2]])  # by kind


def draw(faces: Faces, side: int = 64) -> tuple[Images, UInt8[Tensor, "n h w"]]:
    """Pictures of faces, and the region of `REGIONS` that each of their pixels shows.

    A face is drawn to the same pixels whatever others are drawn with it; gradients pass to its attributes.

    Args:
        faces: any number of them.
        side: of the square pictures in pixels, from 16 to 256.

    Raises:
        RatherError: CFG-SETTING for another side.
    """
    if not 16 <= side <= LARGEST:  # noqa: PLR2004 - below, nothing is to be seen
        raise RatherError("CFG-SETTING", where="side", why=f"{side} is not from 16 to {LARGEST}")
    blocks = [_draw(faces[start : start + BLOCK], side) for start in range(0, len(faces), BLOCK)]
    if not blocks:
        return torch.zeros(0, 3, side, side), torch.zeros(0, side, side, dtype=torch.uint8)
    pictures, layouts = zip(*blocks, strict=True)
    return torch.cat(pictures), torch.cat(layouts)


def _draw(faces: Faces, side: int) -> tuple[Images, UInt8[Tensor, "n h w"]]:
    traits = _traits(faces)
    canvas = blank(traits, side)
    strand = parts.strands(canvas, traits)
    parts.hair_behind(canvas, traits, strand)
    with canvas.window((-1.0, 1.0, 0.28, 1.0)) as low:
        parts.neck_and_cloth(low, traits)
    parts.hair_in_front(canvas, traits, strand)
    with canvas.window((-0.58, 0.58, -0.15, 0.15)) as middle:
        parts.ears(middle, traits)
    face = parts.head(canvas, traits)
    parts.lines(canvas, traits, face)
    parts.beard(canvas, traits, face)
    with canvas.window((-0.16, 0.16, -0.16, 0.22)) as middle:
        parts.nose(middle, traits)
    with canvas.window((-0.26, 0.26, 0.18, 0.42)) as middle:
        parts.mouth(middle, traits)
    with canvas.window((-0.36, 0.36, -0.27, 0.05)) as middle:
        parts.eyes(middle, traits)
        parts.brows(middle, traits, parts.strands(middle, traits))
    parts.hair(canvas, traits, strand)
    with canvas.window((-0.66, 0.66, -0.80, -0.25)) as top:
        parts.hat(top, traits)
    with canvas.window((-0.54, 0.54, -0.26, 0.14)) as middle:
        parts.glasses(middle, traits)
    return canvas.picture.clamp(0, 1), canvas.layout


def _traits(faces: Faces) -> Traits:
    """Attributes, nuisances and the colours that follow from them, in shapes that broadcast over pixels."""
    plain = {name: faces.attribute(name) for name in ATTRIBUTES} | dict(faces.nuisances)
    tone = 0.1 + 1.0 * plain["skin_tone"] + 2.7 * plain["dark_skin"]
    skin = sum((1 - (tone - step).abs()).clamp(min=0)[:, None] * colour for step, colour in enumerate(_SKIN))
    colour = torch.stack([plain[name] for name in HAIR_COLOURS], 1) @ _HAIR * plain["hair_shade"][:, None]
    age = plain["age"][:, None]
    hair = torch.lerp(colour, _GREY * plain["hair_shade"][:, None], 0.88 * age**2 * (3 - 2 * age))
    red = plain["lip_redness"][:, None]
    lips = skin * torch.tensor([0.86, 0.55, 0.55]) * (1 - 0.25 * red)
    lips = lips + torch.tensor([0.19, 0.035, 0.05]) * red
    lens = _LENSES[plain["frame_kind"].long()]
    plain |= {"lens_width": lens[:, 0], "lens_height": lens[:, 1], "lens_square": lens[:, 2]}
    plain |= {"skin": skin, "hair": hair, "lips": lips}
    plain |= {"iris": 0.25 * plain["eye_colour"] + torch.tensor([0.12, 0.12, 0.10])}
    plain |= {"frame": _FRAMES[plain["frame_colour"].long()]}
    shaped = {1: (1, 1), 2: (3, 1, 1)}
    return {
        name: value.reshape(len(value), *shaped[value.dim()]) if value.dim() in shaped else value
        for name, value in plain.items()
    }
