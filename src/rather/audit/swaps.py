"""Which places of the frame decide: the content of two images is exchanged there, and the classifier predicts again.

The edit needs no generator and no name for anything, only two real images and a place. It finds what decides at the
same place in all images, whatever that is; it cannot find what decides wherever it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from rather.audit.findings import GRID, Place, Share
from rather.audit.load import LoadedRun
from rather.core import Classifier, Images, Labels

_IMAGES: Final = 64  # whose places are exchanged
_SIZES: Final = (1, 2, 4)  # cells of a box
_ROWS: Final = ("top", "upper", "lower", "bottom")
_COLUMNS: Final = ("left", "middle left", "middle right", "right")


class Spot(NamedTuple):
    """Some cells of a grid of 4 x 4 over an image; or, without cells, its mean colour."""

    name: str
    cells: Sequence[tuple[int, int]]

    def mask(self, size: Sequence[int]) -> Float[Tensor, "1 h w"]:
        """1 in its cells and 0 elsewhere, for images of this height and width."""
        grid = torch.zeros(1, 1, GRID, GRID)
        for row, column in self.cells:
            grid[..., row, column] = 1
        return F.interpolate(grid, list(size), mode="nearest")[0]


def places(run: LoadedRun, classifier: Classifier) -> list[Place]:
    """How the prediction moves with the content of each place, the smallest place first."""
    run = run.evenly_spaced(_IMAGES)
    tried = spots()
    donor = nearest_allowed(run.images, run.predicted[:, None] != run.predicted)
    (rows,) = (donor >= 0).nonzero(as_tuple=True)
    moved = _moved(run, classifier, rows, donor[rows], tried)
    wrong, repaired = rows[:0], torch.zeros(len(tried), 0, dtype=torch.bool)
    if run.labels is not None:
        right = run.predicted == run.labels
        donor = nearest_allowed(run.images, (run.labels[:, None] == run.labels) & right & ~right[:, None])
        (wrong,) = (donor >= 0).nonzero(as_tuple=True)
        repaired = _moved(run, classifier, wrong, donor[wrong], tried)
    return [
        Place(
            name=spot.name,
            cells=spot.cells,
            decides=Share(count=int(moves.sum()), of=len(rows)),
            repairs=None if run.labels is None else Share(count=int(repairs.sum()), of=len(run.labelled)),
            examples=run.examples(wrong, repairs.float()) if repairs.any() else run.examples(rows, moves.float()),
        )
        for spot, moves, repairs in zip(tried, moved, repaired, strict=True)
    ]


def _moved(
    run: LoadedRun, classifier: Classifier, rows: Tensor, donors: Tensor, tried: Sequence[Spot]
) -> Bool[Tensor, "t b"]:
    """Which rows take on the prediction of their donors, for each place."""
    if not len(rows):
        return torch.zeros(len(tried), 0, dtype=torch.bool)
    swaps = (swapped(run.images[rows], run.images[donors], spot) for spot in tried)
    predicted = torch.stack([classifier.probabilities(x).argmax(1) for x in swaps])
    return predicted == run.predicted[donors]


def spots() -> list[Spot]:
    """Boxes of one, two or four cells, the frame around the middle, and the colour; the smallest first."""
    ends = [(n, m) for n in range(GRID) for m in range(n + 1, GRID + 1)]
    boxes = []
    for top, bottom in ends:
        for left, right in ends:
            name = f"{_span(_ROWS, top, bottom, 'all the way down')}, {_span(_COLUMNS, left, right, 'all across')}"
            boxes.append(Spot(name, [(row, column) for row in range(top, bottom) for column in range(left, right)]))
    inner = range(1, GRID - 1)
    around = [(n, m) for n in range(GRID) for m in range(GRID) if n not in inner or m not in inner]
    return [
        *sorted((spot for spot in boxes if len(spot.cells) in _SIZES), key=lambda spot: len(spot.cells)),
        Spot("all around the middle", around),
        Spot("colour of the whole picture", []),
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
    if not spot.cells:
        return (x + donors.mean((2, 3), keepdim=True) - x.mean((2, 3), keepdim=True)).clamp(0, 1)
    return torch.where(spot.mask(x.shape[2:]) > 0, donors, x)


def nearest_allowed(x: Images, allowed: Bool[Tensor, "b b"]) -> Labels:
    """For each image the nearest (in pixels, Euclidean) of the images that it may take; -1 if it may take none."""
    flat = x.flatten(1)
    distance = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    distance[~allowed] = torch.inf
    return torch.where(allowed.any(1), distance.argmin(1), -1)
