"""Shapes: drawn pictures whose class is a known rule, so that the right edit of a picture is known.

In the spirit of SHAPES (Andreas et al., 2016), with which Goyal et al. (2019) measure explanations. A picture is a
scene of 4 x 4 cells, each blank or with a coloured shape. **The class is the shape of the red things, if there are
any and all have the same shape; else it is "unclear".** In a picture of one of the four shapes exactly one thing is
red, the key; all others are distractors. Half of the unclear pictures have nothing red, half have two red shapes.

The rule gives the class of every scene, also of an edited one: replacing a cell of one picture by a cell of another is
right if the rule then gives the target. From one shape to another this is a single one of the 256 edits, the key by the
other picture's key: at another place, the second key makes the scene unclear.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from rather.data.source import Dataset
from rather.worlds.drawn import DrawnSource, Part

NAMES: Final = {"shapes": "drawn grids of coloured shapes with a known rule: the right edit is known"}
SIDE: Final = 4  # cells
CELL: Final = 16  # pixels
SHAPES: Final = ("circle", "square", "triangle", "cross")
COLOURS: Final = {
    "red": (0.86, 0.16, 0.16),
    "blue": (0.16, 0.36, 0.80),
    "green": (0.20, 0.62, 0.28),
    "yellow": (0.90, 0.74, 0.16),
    "violet": (0.52, 0.28, 0.66),
}
CLASSES: Final = (*SHAPES, "unclear")
UNCLEAR: Final = len(SHAPES)
BLANKS: Final = 0.3  # share of the cells without a key
BLANK: Final = 0  # a thing is 1 + len(COLOURS) * shape + colour; red is colour 0

Scene = Int[Tensor, "4 4"]


def load(seed: int = 0) -> Dataset:
    """4,000 pictures to train on and to take references from, 1,000 to explain; (3, 64, 64)."""
    return Dataset("shapes", test=Shapes("test", 1_000, seed), train=Shapes("train", 4_000, seed))


@final
class Shapes(DrawnSource):
    """Scenes, each of which is drawn when it is read.

    Args:
        part: two parts of one seed share nothing.
        count: how many pictures.
        seed: of the scenes, and of small differences in place, size and colour.
    """

    classes = CLASSES
    point_names = ("key",)

    def __init__(self, part: Part, count: int, seed: int = 0) -> None:
        self._key = (seed, int(part == "test"))
        self.scenes: Int[Tensor, "n 4 4"] = _scenes(count, self._key)
        super().__init__("shapes", part, rule(self.scenes).tolist())

    @override
    def read(self, index: int) -> Float[Tensor, "c h w"]:
        return draw(self.scenes[index], np.random.default_rng([*self._key, 1, index]))

    def key_cell(self, index: int) -> tuple[int, int] | None:
        """Row and column of the one red thing, on which the class rests; None in an unclear picture."""
        if self._labels[index] == UNCLEAR:
            return None
        row, column = red(self.scenes[index]).nonzero()[0].tolist()
        return row, column

    @override
    def key_points(self, index: int) -> Float[Tensor, "1 3"]:
        """The middle of the key's cell; in an unclear picture there is no key to be seen."""
        cell = self.key_cell(index)
        if cell is None:
            return torch.tensor([[torch.nan, torch.nan, 0]])
        row, column = cell
        return torch.tensor([[(column + 0.5) / SIDE, (row + 0.5) / SIDE, 1]])


def red(scenes: Int[Tensor, "*n 4 4"]) -> Bool[Tensor, "*n 4 4"]:
    """Which cells hold a red thing."""
    return (scenes - 1) % len(COLOURS) == 0


def rule(scenes: Int[Tensor, "*n 4 4"]) -> Int[Tensor, " *n"]:
    """The class of scenes: the shape that all red things have, else unclear."""
    shape = (scenes - 1) // len(COLOURS)
    present = torch.stack([(red(scenes) & (shape == k)).flatten(-2).any(-1) for k in range(len(SHAPES))], -1)
    return torch.where(present.sum(-1) == 1, present.int().argmax(-1), UNCLEAR)


def _scenes(count: int, key: Sequence[int]) -> Int[Tensor, "n 4 4"]:
    """Distractors and blanks, and as many red things as the class needs, in random places."""

    def stream(n: int) -> np.random.Generator:  # one for each quantity: scene 0 is the same for every count
        return np.random.default_rng([*key, 0, n])

    each, colours = (count, SIDE**2), len(COLOURS)
    shape = stream(0).integers(len(SHAPES), size=each)
    colour = stream(1).integers(1, colours, size=each)
    things = np.where(stream(2).random(each) < BLANKS, BLANK, 1 + colours * shape + colour)
    wanted = stream(3).integers(len(CLASSES), size=count)
    reds = stream(4).permuted(np.tile(np.arange(len(SHAPES)), (count, 1)), axis=1)[:, :2]
    reds[:, 0] = np.where(wanted == UNCLEAR, reds[:, 0], wanted)
    how_many = np.where(wanted == UNCLEAR, 2 * stream(5).integers(2, size=count), 1)
    places = stream(6).permuted(np.tile(np.arange(SIDE**2), (count, 1)), axis=1)
    for n in range(2):
        (rows,) = (how_many > n).nonzero()
        things[rows, places[rows, n]] = 1 + colours * reds[rows, n]
    return torch.from_numpy(things).reshape(count, SIDE, SIDE)


def draw(scene: Scene, stream: np.random.Generator) -> Float[Tensor, "3 64 64"]:
    """The picture of a scene, on the 8-bit grid, with antialiased edges."""
    cells = SIDE**2
    noise = torch.from_numpy(stream.uniform(-1, 1, size=(cells, 6))).float()[:, :, None, None]
    centre = (CELL - 1) / 2
    across = torch.arange(CELL) - centre - noise[:, 0]  # pixels from the thing's own centre
    down = torch.arange(CELL)[:, None] - centre - noise[:, 1]
    radius = 5.5 + 0.7 * noise[:, 2]
    thing = (scene.flatten() - 1).clamp(min=0)
    outside = _outside(down, across, radius)[thing // len(COLOURS), torch.arange(cells)]
    cover = ((0.5 - outside).clamp(0, 1) * (scene.flatten() != BLANK)[:, None, None])[:, None]
    paint = torch.tensor(list(COLOURS.values()))[thing % len(COLOURS)][:, :, None, None] + 0.05 * noise[:, 3:]
    ground = 0.93 + 0.03 * float(stream.uniform(-1, 1))
    tiles = ground + cover * (paint - ground)
    picture = tiles.reshape(SIDE, SIDE, 3, CELL, CELL).permute(2, 0, 3, 1, 4).reshape(3, SIDE * CELL, SIDE * CELL)
    return (picture.clamp(0, 1) * 255).round() / 255


def _outside(
    down: Float[Tensor, "n h 1"], across: Float[Tensor, "n 1 w"], radius: Float[Tensor, "n 1 1"]
) -> Float[Tensor, "k n h w"]:
    """How far, in pixels, each pixel lies outside of each of the shapes; below 0 inside."""
    aside, above = across.abs(), down.abs()
    bar = 0.36 * radius
    return torch.stack(
        [
            (across**2 + down**2).sqrt() - radius,
            torch.maximum(aside, above) - 0.86 * radius,
            torch.maximum(0.874 * aside - 0.486 * (down + radius), (down - 0.8 * radius).expand(-1, -1, CELL)),
            torch.minimum(torch.maximum(aside - radius, above - bar), torch.maximum(aside - bar, above - radius)),
        ]
    )
