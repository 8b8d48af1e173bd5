"""Which places of the frame decide: content is swapped between two images, and the classifier is asked again.

An edit that needs no generator and no name for anything: two real pictures, and a box. What decides at the
same place in all images is found so, whatever it is; what decides wherever it lies is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from rather.core import Classifier, Images, Labels

GRID: Final = 4
_LARGEST: Final = 4  # cells of a box
_ROWS: Final = ("top", "upper", "lower", "bottom")
_COLUMNS: Final = ("left", "middle left", "middle right", "right")
TONE: Final = "colour of the whole picture"


@final
@dataclass(frozen=True)
class Box:
    """Some cells of the grid over an image: rows and columns from the first to before the last."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def cells(self) -> int:
        """How many."""
        return (self.bottom - self.top) * (self.right - self.left)

    @property
    def name(self) -> str:
        """Where it is, in words.

        >>> Box(0, 1, 0, 1).name, Box(1, 2, 1, 3).name, Box(3, 4, 0, 4).name
        ('top, left', 'upper, middle left to middle right', 'bottom, all across')
        """
        return f"{_span(_ROWS, self.top, self.bottom, 'all the way down')}, " + _span(
            _COLUMNS, self.left, self.right, "all across"
        )

    @property
    def ends(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom as shares of the picture."""
        return self.left / GRID, self.top / GRID, self.right / GRID, self.bottom / GRID


def _span(names: Sequence[str], first: int, last: int, all_of_it: str) -> str:
    if last - first == len(names):
        return all_of_it
    return names[first] if last - first == 1 else f"{names[first]} to {names[last - 1]}"


def boxes() -> list[Box]:
    """All boxes of at most four cells of a grid of 4 x 4, the smallest first."""
    ends = [(n, m) for n in range(GRID) for m in range(n + 1, GRID + 1)]
    found = [Box(*rows, *columns) for rows in ends for columns in ends]
    return sorted((box for box in found if box.cells <= _LARGEST), key=lambda box: box.cells)


def swapped(x: Images, donors: Images, box: Box | None) -> Images:
    """Images with the content of others in a box; with None, with their mean colours."""
    if box is None:
        return (x + donors.mean((2, 3), keepdim=True) - x.mean((2, 3), keepdim=True)).clamp(0, 1)
    high, wide = x.shape[2:]
    left, top, right, bottom = box.ends
    rows, columns = (
        slice(round(first * length), round(last * length))
        for first, last, length in ((top, bottom, high), (left, right, wide))
    )
    changed = x.clone()
    changed[:, :, rows, columns] = donors[:, :, rows, columns]
    return changed


def answers(
    classifier: Classifier, x: Images, donors: Images, tried: Sequence[Box | None]
) -> Int[Tensor, "t b"]:
    """What the classifier says after each swap."""
    said = [classifier.probabilities(swapped(x, donors, box)).argmax(1) for box in tried]
    return torch.stack(said) if said else torch.zeros(0, len(x), dtype=torch.long)


def nearest_allowed(x: Images, allowed: Bool[Tensor, "b b"]) -> Labels:
    """For each image the nearest other one (pixels, Euclidean) of those that it is allowed; -1 if of none."""
    flat = x.flatten(1)
    distance = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    distance[~allowed] = torch.inf
    return torch.where(allowed.any(1), distance.argmin(1), -1)
