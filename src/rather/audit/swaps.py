"""Which places of the frame decide: content is swapped between two images, and the classifier is asked again.

An edit that needs no generator and no name for anything: two real pictures, and a place. What decides at the
same place in all images is found so, whatever it is; what decides wherever it lies is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from rather.audit.findings import GRID
from rather.core import Classifier, Images, Labels

_SIZES: Final = (1, 2, 4)  # cells of a box
_ROWS: Final = ("top", "upper", "lower", "bottom")
_COLUMNS: Final = ("left", "middle left", "middle right", "right")


@final
@dataclass(frozen=True, eq=False)
class Spot:
    """Some cells of a grid of 4 x 4 over an image; or, of no cells, its mean colour."""

    name: str
    cells: Bool[Tensor, "4 4"]

    @property
    def size(self) -> int:
        """How many cells; of the colour, which is everywhere, all."""
        return int(self.cells.sum()) or GRID**2


def spots() -> list[Spot]:
    """Boxes of one, two or four cells, all around the middle, and the colour; the smallest first."""
    ends = [(n, m) for n in range(GRID) for m in range(n + 1, GRID + 1)]
    found = []
    for top, bottom in ends:
        for left, right in ends:
            cells = torch.zeros(GRID, GRID, dtype=torch.bool)
            cells[top:bottom, left:right] = True
            name = f"{_span(_ROWS, top, bottom, 'all the way down')}, "
            found.append(Spot(name + _span(_COLUMNS, left, right, "all across"), cells))
    around = torch.ones(GRID, GRID, dtype=torch.bool)
    around[1:-1, 1:-1] = False
    small = [spot for spot in found if spot.size in _SIZES]
    return [
        *sorted(small, key=lambda spot: spot.size),
        Spot("all around the middle", around),
        Spot("colour of the whole picture", torch.zeros(GRID, GRID, dtype=torch.bool)),
    ]


def _span(names: Sequence[str], first: int, last: int, all_of_it: str) -> str:
    """Rows or columns in words.

    >>> _span(_ROWS, 1, 3, "all the way down")
    'upper to lower'
    """
    if last - first == len(names):
        return all_of_it
    return names[first] if last - first == 1 else f"{names[first]} to {names[last - 1]}"


def swapped(x: Images, donors: Images, spot: Spot) -> Images:
    """Images with the content of others in a place."""
    if not spot.cells.any():
        return (x + donors.mean((2, 3), keepdim=True) - x.mean((2, 3), keepdim=True)).clamp(0, 1)
    there = F.interpolate(spot.cells[None, None].float(), x.shape[2:], mode="nearest") > 0
    return torch.where(there, donors, x)


def answers(classifier: Classifier, x: Images, donors: Images, tried: Sequence[Spot]) -> Int[Tensor, "t b"]:
    """What the classifier says after each swap."""
    said = [classifier.probabilities(swapped(x, donors, spot)).argmax(1) for spot in tried] if len(x) else []
    return torch.stack(said) if said else torch.zeros(len(tried), 0, dtype=torch.long)


def nearest_allowed(x: Images, allowed: Bool[Tensor, "b b"]) -> Labels:
    """For each image the nearest other one (pixels, Euclidean) of those that it is allowed; -1 if of none."""
    flat = x.flatten(1)
    distance = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    distance[~allowed] = torch.inf
    return torch.where(allowed.any(1), distance.argmin(1), -1)
