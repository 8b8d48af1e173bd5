"""Small convolutional nets, by name: a body that gives a map of features, and a head that gives logits of it.

An architecture depends only on the pictures' shape and the number of classes, so that a saved net can be built
again. Every head is `Flatten, Linear, ReLU, Linear`, whose first layer is linear in each cell of the map, which
searches over cells exploit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from rather.config.errors import RatherError, did_you_mean
from rather.io.images import Shape
from rather.types import Images

Architecture = Callable[[Shape, int], tuple[nn.Sequential, nn.Sequential]]


def goyal(shape: Shape, classes: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The digit net of Goyal et al. (2019), section 4.1: 2 convolutional and 2 linear layers.

    Pictures of 28 x 28 pixels have a map of 20 x 4 x 4. The paper gives the counts and the size of the map,
    which follows from kernels of 5 x 5 without padding and 2 x 2 max-pooling.
    """
    c, h, w = shape
    body = nn.Sequential(
        nn.Conv2d(c, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU()
    )
    u, v = (((side - 4) // 2 - 4) // 2 for side in (h, w))
    return body, _head(20, u, v, 50, classes)


def small(shape: Shape, classes: int) -> tuple[nn.Sequential, nn.Sequential]:
    """A plain net for pictures of 28 to 128 pixels a side; its map is 4 x 4 to 7 x 7.

    Blocks of a 3 x 3 convolution, ReLU and 2 x 2 max-pooling halve the map until both sides are below 8; the
    width doubles from 16 up to 64.
    """
    c, u, v = shape
    width, layers = 8, list[nn.Module]()
    while max(u, v) >= 8:  # noqa: PLR2004 - see above
        width = min(2 * width, 64)
        layers += [nn.Conv2d(c, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        c, u, v = width, u // 2, v // 2
    return nn.Sequential(*layers), _head(c, u, v, 64, classes)


def patches(shape: Shape, classes: int) -> tuple[nn.Sequential, nn.Sequential]:
    """A net whose map has a cell for each square of 16 x 16 pixels, which sees nothing but that square.

    So an edit of one cell replaces all that the net sees of the square; where receptive fields overlap, traces
    of it stay in the cells around.
    """
    c, h, w = shape
    body = nn.Sequential(nn.Conv2d(c, 32, 4, stride=4), nn.ReLU(), nn.Conv2d(32, 32, 4, stride=4), nn.ReLU())
    return body, _head(32, h // 16, w // 16, 64, classes)


class See(nn.Module):
    """Normalised images of which all but a part becomes 0, the data's mean.

    Args:
        part: top, bottom, left and right end of what stays, as shares of height and width.
    """

    def __init__(self, part: tuple[float, float, float, float]) -> None:
        super().__init__()
        self.part = part

    def extra_repr(self) -> str:
        """The part: nets that differ in it have different fingerprints."""
        return f"{self.part}"

    def forward(self, x: Images) -> Images:
        """Of images."""
        _, _, h, w = x.shape
        top, bottom, left, right = (round(end * side) for end, side in zip(self.part, (h, h, w, w), strict=True))
        masked = torch.zeros_like(x)
        masked[:, :, top:bottom, left:right] = x[:, :, top:bottom, left:right]
        return masked


def _seeing(part: tuple[float, float, float, float]) -> Architecture:
    def architecture(shape: Shape, classes: int) -> tuple[nn.Sequential, nn.Sequential]:
        body, head = small(shape, classes)
        return nn.Sequential(See(part), *body), head

    return architecture


def _head(channels: int, u: int, v: int, hidden: int, classes: int) -> nn.Sequential:
    if min(u, v) < 1:
        raise RatherError("TRAIN-DATA", why="they are too small for this net", do="Choose a larger size")
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * u * v, hidden), nn.ReLU(), nn.Linear(hidden, classes))


#: The last three see the parts of STEEX (supplement, section C): the top 65 of 256 rows, a centred rectangle of
#: 110 x 60 pixels, the bottom 56 rows. STEEX masks the pictures to train on; here the net masks its input, so
#: that it cannot see more of the pictures that are explained.
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
    """Body and head of a net by its name, with new random weights from torch's global stream."""
    if architecture not in ARCHITECTURES:
        raise RatherError(
            "CFG-UNKNOWN", where=f"architecture {architecture}", do=did_you_mean(architecture, ARCHITECTURES)
        )
    return ARCHITECTURES[architecture](shape, classes)
