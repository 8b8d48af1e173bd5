"""What a drawn face is made of: its attributes, the regions that its pixels show, and its nuisances."""

from __future__ import annotations

from collections.abc import Mapping
from math import tau
from types import MappingProxyType
from typing import Final, NamedTuple

#: What each attribute is, in the order of the columns of `Faces.attributes`.
ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "smile": "how much the face smiles: the mouth's curve and its opening",
        "age": "grey hair, lines and folds from forehead to neck",
        "glasses": "wears glasses",
        "beard": "has a full beard",
        "hat": "wears a hat, which hides the hair above the forehead",
        "fringe": "hair falls over the forehead",
        "black_hair": "hair, brows and beard are black before they grey",
        "brown_hair": "hair, brows and beard are brown before they grey",
        "blond_hair": "hair, brows and beard are blond before they grey",
        "red_hair": "hair, brows and beard are red before they grey",
        "long_hair": "hair falls below the chin",
        "dark_skin": "skin is of the darker of two groups of tones",
    }
)

#: These take any value from 0 to 1, the others 0 or 1.
GRADED: Final = ("smile", "age")

#: Of these exactly one holds.
HAIR_COLOURS: Final = ("black_hair", "brown_hair", "blond_hair", "red_hair")

#: The values of a layout, in their order.
REGIONS: Final = (
    "background",
    "neck",
    "cloth",
    "hair",
    "skin",
    "ear",
    "beard",
    "nose",
    "lips",
    "mouth",
    "eye",
    "brow",
    "glasses",
    "hat",
)


class Nuisance(NamedTuple):
    """A quantity, uniform between two bounds."""

    low: float
    high: float
    shape: tuple[int, ...] = ()


#: Lengths are in units of half the picture's side, before `scale`. The place of a name is its random stream:
#: a new one goes to the end.
NUISANCES: Final[Mapping[str, Nuisance]] = MappingProxyType(
    {
        # pose
        "shift_x": Nuisance(-0.05, 0.05),
        "shift_y": Nuisance(-0.01, 0.05),
        "tilt": Nuisance(-0.12, 0.12),  # radians
        "turn": Nuisance(-0.035, 0.035),  # distance of the features from the middle of the head
        "scale": Nuisance(1.06, 1.20),
        # light
        "light": Nuisance(-1, 1),  # from the left or from the right
        "brightness": Nuisance(0.85, 1.1),
        # background
        "above": Nuisance(0.15, 0.85),
        "above_tint": Nuisance(-0.11, 0.11, (3,)),
        "below": Nuisance(0.10, 0.80),
        "below_tint": Nuisance(-0.11, 0.11, (3,)),
        "clouds": Nuisance(-1, 1, (8, 8)),
        # head
        "width": Nuisance(0.40, 0.48),
        "height": Nuisance(0.56, 0.64),
        "jaw": Nuisance(0, 0.55),  # from round to square
        "ear_size": Nuisance(0.85, 1.15),
        "skin_tone": Nuisance(0, 1),  # within its group
        "pores": Nuisance(-1, 1, (24, 24)),
        # features
        "eye_distance": Nuisance(0.17, 0.21),  # from the middle of the face
        "eye_level": Nuisance(-0.10, -0.03),
        "eye_size": Nuisance(0.85, 1.15),
        "eye_colour": Nuisance(0, 1, (3,)),
        "gaze": Nuisance(-0.012, 0.012),
        "brow_thickness": Nuisance(0.8, 1.3),
        "brow_slope": Nuisance(-0.1, 0.12),
        "nose_length": Nuisance(0.85, 1.15),
        "nose_width": Nuisance(0.85, 1.2),
        "mouth_width": Nuisance(0.85, 1.15),
        "mouth_level": Nuisance(-0.02, 0.02),
        "mouth_opening": Nuisance(0, 1),  # of a smile
        "lip_fullness": Nuisance(0.8, 1.25),
        "lip_redness": Nuisance(0, 0.5),
        # hair and things
        "hair_phase": Nuisance(0, tau),  # where its waves begin
        "hair_shade": Nuisance(0.88, 1.14),
        "hair_end": Nuisance(0.70, 1.05),  # how far down long hair falls
        "hairline": Nuisance(-0.05, 0.03),
        "beard_density": Nuisance(0, 1),
        "cloth_colour": Nuisance(0.1, 0.9, (3,)),
        "hat_colour": Nuisance(0.1, 0.9, (3,)),
        "frame_kind": Nuisance(0, 3),  # its whole part: round, square, oval
        "frame_colour": Nuisance(0, 3),  # its whole part: black, brown, blue
    }
)
