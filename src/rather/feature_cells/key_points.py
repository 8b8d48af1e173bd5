"""Which cells of a feature map show a key point, or an object."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def cells_of_points(points: Float[Tensor, "b p 3"], grid: tuple[int, int]) -> Bool[Tensor, "b p n"]:
    """In which cell each key point lies; in none, if it is not seen.

    Args:
        points: x and y, from 0 at the left and top to 1 at the right and bottom, and 1 where it is seen, as
            `Source.key_points` tells them.
        grid: (u, v), rows and columns of the map.
    """
    u, v = grid
    seen = points[..., 2] == 1
    x, y = points[..., :2].nan_to_num(0).clamp(0, 1).unbind(-1)
    cell = (y * u).long().clamp(max=u - 1) * v + (x * v).long().clamp(max=v - 1)
    return F.one_hot(cell, u * v).bool() & seen[..., None]


def cells_of_object(mask: Bool[Tensor, "b h w"], grid: tuple[int, int], share: float = 0.5) -> Bool[Tensor, "b n"]:
    """Which cells show an object.

    Args:
        mask: which pixels show it.
        grid: (u, v), rows and columns of the map.
        share: how much of a cell has to.
    """
    return F.adaptive_avg_pool2d(mask.double()[:, None], grid).flatten(1) >= share


def sides_merged(parts: Bool[Tensor, "b p n"], names: Sequence[str]) -> Bool[Tensor, "b q n"]:
    """Parts of both sides as one: "left eye" and "right eye" are the same key point.

    Of the 15 parts of CUB it leaves the 12 of S. Vandenhende et al., ECCV 2022.

    Args:
        parts: where each lies.
        names: of the parts.
    """
    plain = [name.removeprefix("left ").removeprefix("right ") for name in names]
    groups = [[n for n, other in enumerate(plain) if other == name] for name in dict.fromkeys(plain)]
    return torch.stack([parts[:, group].any(1) for group in groups], 1)
