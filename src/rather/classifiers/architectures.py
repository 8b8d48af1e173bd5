"""Small convolutional nets, by name: a body that gives a map of features, and a head that gives logits of it.

An architecture is a function of the pictures' shape and the number of classes, and of nothing else: a saved
net needs no more than that to be built again. Every head is `Flatten, Linear, ReLU, Linear`, whose first
layer is linear in each cell of the map; searches over cells may exploit that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from rather.config.errors import RatherError, did_you_mean
from rather.core import Images

Shape = tuple[int, int, int]  # c, h, w
Architecture = Callable[[Shape, int], tuple[nn.Sequential, nn.Sequential]]


def goyal(shape: Shape, classes: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The digit net of Goyal et al. (2019), section 4.1: 2 convolutional and 2 linear layers.

    Pictures of 28 x 28 pixels have a map of 20 x 4 x 4. The paper gives the counts and the size of the map;
    kernels of 5 x 5 without padding, each followed by 2 x 2 max-pooling, are what yields that size.
    """
    c, h, w = shape
    body = nn.Sequential(
        nn.Conv2d(c, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU()
    )
    u, v = (((side - 4) // 2 - 4) // 2 for side in (h, w))
    return body, _head(20, u, v, 50, classes)


def small(shape: Shape, classes: int) -> tuple[nn.Sequential, nn.Sequential]:
    """A plain net for pictures of 28 to 128 pixels a side, grey or in colour; its map is 4 x 4 to 7 x 7.

    Blocks of a 3 x 3 convolution, ReLU and 2 x 2 max-pooling halve the map until both sides are below 8; the
    width doubles from 16 up to 64.
    """
    c, u, v = shape
    width, layers = 8, list[nn.Module]()
    while max(u, v) >= 8:  # noqa: PLR2004 - see above
        width = min(2 * width, 64)
        layers += [nn.Conv2d(c, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        c, u, v = width, u // 2, v // 2
    body = nn.Sequential(*layers)
    return body, _head(c, u, v, 64, classes)


def patches(shape: Shape, classes: int) -> tuple[nn.Sequential, nn.Sequential]:
    """A net whose map has a cell for each square of 16 x 16 pixels, which sees that square and nothing else.

    So whatever lies in one square can be replaced in the map without a trace of it in the cells around, which
    nets with overlapping receptive fields do not allow: there an edit of one cell is half an edit.
    """
    c, h, w = shape
    body = nn.Sequential(nn.Conv2d(c, 32, 4, stride=4), nn.ReLU(), nn.Conv2d(32, 32, 4, stride=4), nn.ReLU())
    return body, _head(32, h // 16, w // 16, 64, classes)


class See(nn.Module):
    """Images of which all but a part is black.

    Args:
        part: top, bottom, left and right end of what is seen, as shares of height and width.
    """

    def __init__(self, part: tuple[float, float, float, float]) -> None:
        super().__init__()
        self.part = part

    def extra_repr(self) -> str:
        """What is seen."""
        return f"{self.part}"

    def forward(self, x: Images) -> Images:
        """Of images that are normalised already: black is the data's mean."""
        _, _, h, w = x.shape
        top, bottom, left, right = (round(end * side) for end, side in zip(self.part, (h, h, w, w), strict=True))
        seen = torch.zeros_like(x)
        seen[:, :, top:bottom, left:right] = x[:, :, top:bottom, left:right]
        return seen


def _seeing(part: tuple[float, float, float, float]) -> Architecture:
    def architecture(shape: Shape, classes: int) -> tuple[nn.Sequential, nn.Sequential]:
        body, head = small(shape, classes)
        return nn.Sequential(See(part), *body), head

    return architecture


def _head(channels: int, u: int, v: int, hidden: int, classes: int) -> nn.Sequential:
    if min(u, v) < 1:
        raise RatherError("TRAIN-DATA", why="they are too small for this net", do="Choose a larger size")
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * u * v, hidden), nn.ReLU(), nn.Linear(hidden, classes))


#: Of the last three, the parts are those of STEEX (supplement, section C): the top 65 of 256 rows, a centred
#: rectangle of 110 x 60 pixels, the bottom 56 rows. There the pictures to train on are masked; here the net
#: is, so that it cannot see more of a picture that it is asked about either.
ARCHITECTURES: Final[dict[str, Architecture]] = {
    "goyal": goyal,
    "small": small,
    "patches": patches,
    "top": _seeing((0.0, 65 / 256, 0.0, 1.0)),
    "middle": _seeing((98 / 256, 158 / 256, 73 / 256, 183 / 256)),
    "bottom": _seeing((200 / 256, 1.0, 0.0, 1.0)),
}


def suited(shape: Shape) -> str:
    """The name of the architecture for pictures of this shape."""
    return "goyal" if shape[1:] == (28, 28) else "small"


def build(architecture: str, shape: Shape, classes: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Body and head of a net by its name, with new random weights from torch's global stream.

    Raises:
        RatherError: CFG-UNKNOWN for another name, TRAIN-DATA for pictures that are too small for the net.
    """
    if architecture not in ARCHITECTURES:
        raise RatherError(
            "CFG-UNKNOWN", where=f"architecture {architecture}", do=did_you_mean(architecture, ARCHITECTURES)
        )
    return ARCHITECTURES[architecture](shape, classes)
