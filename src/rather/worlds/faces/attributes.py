"""What is known of a drawn face: its attributes, and the regions that its pixels show."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Attribute(NamedTuple):
    """Something about a face that can be changed on its own."""

    graded: bool  # any value from 0 to 1; else 0 or 1
    celeba: str | None  # CelebA's attribute of the same meaning; of the opposite one if it begins with "-"
    what: str


#: In the order of the columns of `Faces.attributes`.
ATTRIBUTES: Final[Mapping[str, Attribute]] = MappingProxyType(
    {
        "smile": Attribute(True, "Smiling", "how much the face smiles: the mouth's curve and its opening"),
        "age": Attribute(True, "-Young", "grey hair, lines and folds from forehead to neck"),
        "glasses": Attribute(False, "Eyeglasses", "wears glasses"),
        "beard": Attribute(False, "-No_Beard", "has a full beard"),
        "hat": Attribute(False, "Wearing_Hat", "wears a hat, which hides the hair above the forehead"),
        "fringe": Attribute(False, "Bangs", "hair falls over the forehead"),
        "black_hair": Attribute(False, "Black_Hair", "hair, brows and beard are black before they grey"),
        "brown_hair": Attribute(False, "Brown_Hair", "hair, brows and beard are brown before they grey"),
        "blond_hair": Attribute(False, "Blond_Hair", "hair, brows and beard are blond before they grey"),
        "red_hair": Attribute(False, None, "hair, brows and beard are red before they grey"),
        "long_hair": Attribute(False, None, "hair falls below the chin"),
        # CelebA's Pale_Skin is said of few light faces, so its opposite is not this.
        "dark_skin": Attribute(False, None, "skin is of the darker of two groups of tones"),
    }
)

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
