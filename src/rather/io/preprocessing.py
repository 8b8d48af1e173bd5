"""From a picture to a net's input, as the net's own library does it, in two parts.

What a library calls its transform or processor first resizes and crops a picture, then maps its pixels to other
numbers. The first part happens once, when the picture is read, and what comes out, in 8 bits, is what is explained
and shown. The second part belongs inside the classifier, because gradients pass through it. Measuring tells
which is which: plain pictures show what the function does to a pixel, and the rest is what the first part did.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rather.config.errors import RatherError, brief
from rather.io.images import Box, Shape

_SIZE: Final = (331, 243)  # width and height of the pictures that a function is measured with
_COLOURS: Final = ("red", "lime", "blue")  # (255, 0, 0), (0, 255, 0), (0, 0, 255)
_LEVEL: Final = 1 / 255
_SAME: Final = 0.01 * _LEVEL  # rounding errors of 32 bits are far below


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Preprocess:
    """A function from pictures to a net's input, which is `((x - mean) / std)[order]` of the pixels x that it keeps.

    Make it with `measure`. Called with a picture it gives those pixels: (c, h, w) in [0, 1], in 8 bits.
    """

    view: Callable[[Image.Image], Float[Tensor, "c h w"]]  # the pixels, of a picture of any mode
    name: str  # what makes it this function and no other
    shape: Shape  # (c, h, w) of its results
    mean: tuple[float, ...]  # of each channel of the picture
    std: tuple[float, ...]
    order: tuple[int, ...] | None = None  # which channel of the picture is the input's first, second, ...

    @classmethod
    def measure(
        cls, function: Callable[[Image.Image], object], *, mode: str = "RGB", name: str = "", any_size: bool = False
    ) -> Preprocess:
        """Split a function into what it does to the picture and what it does to the value of a pixel.

        It is called about ten times.

        Args:
            function: takes a picture and gives the net's input for it: (c, h, w) of any numbers; or an array
                (h, w, c) or a picture, whose 8-bit values stand for [0, 1].
            mode: of the pictures that it takes, RGB or L (grey).
            name: what makes it this function and no other; by default its `repr`.
            any_size: take one whose result has no fixed size, which is enough to know what it does to a pixel.

        Raises:
            RatherError: MODEL-PREPROCESS if the function fails or is random, if the size of its result depends on
                the picture, or if it maps pixels by values of the whole picture.
        """
        name = name or _name_of(function)
        black, white, *coloured = (
            _ask(function, Image.new(mode, _SIZE, c), name) for c in ("black", "white", *_COLOURS)
        )
        standing = _ask(function, Image.new(mode, _SIZE[::-1], "white"), name)
        if standing.shape != white.shape and not any_size:
            why = f"the size of its result depends on the picture: {_by(white)}, and {_by(standing)}"
            raise _refused(name, why, "Give the size as well: --size, or --shape C H W")
        mean, std, order = _pixel_part(black, white, coloured if mode == "RGB" else [], name)
        view = _Kept(function, mode, name, mean, std, order)
        _check(view, _ramps(mode))
        c, h, w = white.shape
        return cls(view=view, name=name, shape=(c, h, w), mean=mean, std=std, order=order)

    def __call__(self, image: Image.Image) -> Float[Tensor, "c h w"]:
        """The pixels that the net sees of a picture, which any picture may be."""
        kept = self.view(image)
        if tuple(kept.shape) != self.shape:
            raise _refused(self.name, f"it gives {_by(kept)}, not {self.shape}, for a picture of {image.size}")
        return kept.clamp(0, 1).mul(255).round().div(255)

    def box(self, size: tuple[int, int]) -> Box:
        """What part of a picture of this (width, height) it shows; beyond the picture's edges where it pads.

        Measured with two slopes of grey, to about a thousandth of the picture.
        """
        return _box(self, size)


@final
@dataclass(frozen=True)
class _Kept:
    """The pixels that a function keeps of a picture: its result, with what it does to a pixel undone."""

    function: Callable[[Image.Image], object]
    mode: str
    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: tuple[int, ...] | None

    def __call__(self, image: Image.Image) -> Float[Tensor, "c h w"]:
        given = _ask(self.function, image.convert(self.mode), self.name)
        if self.order is not None:
            given = given[torch.tensor(self.order).argsort()]
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return given * std + mean


def _check(view: _Kept, image: Image.Image) -> None:
    once, again = view(image), view(image)
    if not torch.equal(once, again):
        raise _refused(view.name, "it is random", "Give the one for evaluation")
    low, high = float(once.min()), float(once.max())
    if low < -0.51 * _LEVEL or high > 1 + 0.51 * _LEVEL:
        raise _refused(view.name, "what it does to a pixel depends on the rest of the picture")


def _ask(function: Callable[[Image.Image], object], image: Image.Image, name: str) -> Float[Tensor, "c h w"]:
    try:
        return _as_input(function(image))
    except RatherError:
        raise
    except Exception as error:
        raise _refused(name, brief(error)) from error


def _as_input(given: object) -> Float[Tensor, "c h w"]:
    """A result as one tensor of floats; 8-bit values as [0, 1], as torchvision has it."""
    if isinstance(given, Image.Image):
        given = np.array(given)
    if isinstance(given, np.ndarray):
        given = torch.from_numpy(given)
        given = given.movedim(-1, 0) if given.ndim == 3 and len(given) not in {1, 3} else given  # noqa: PLR2004
    if not isinstance(given, Tensor):
        raise TypeError(f"it gives {type(given).__name__}, not a tensor")
    given = given[0] if given.ndim == 4 and len(given) == 1 else given  # noqa: PLR2004 - a batch of one
    given = given[None] if given.ndim == 2 else given  # noqa: PLR2004 - h, w
    if given.ndim != 3 or not 1 <= len(given) <= 3:  # noqa: PLR2004 - c, h, w
        raise TypeError(f"it gives {tuple(given.shape)}, not (channels, height, width)")
    return given.detach().cpu() / 255 if given.dtype == torch.uint8 else given.detach().cpu().float()


def _pixel_part(
    black: Tensor, white: Tensor, coloured: list[Tensor], name: str
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...] | None]:
    """Mean, deviation and order of the channels, from the inputs for plain pictures."""
    place = int((white - black).abs().sum(0).argmax())  # one that shows the picture, and no padding
    low, high, *single = (one.flatten(1)[:, place].double() for one in (black, white, *coloured))
    rise = high - low
    if not rise.isfinite().all() or bool((rise == 0).any()):
        raise _refused(name, "a black picture and a white one give the same", "Give one that maps each pixel alone")
    mean, std = 0 - low / rise, 1 / rise
    order = _order(torch.stack([(one - low) / rise for one in single], 1)) if single else None
    if order is not None:
        back = torch.tensor(order).argsort()
        mean, std = mean[back], std[back]
    return tuple(mean.tolist()), tuple(std.tolist()), order


def _order(answers: Float[Tensor, "c 3"]) -> tuple[int, ...] | None:
    """The order of the channels, of what each says to red, green and blue; None if it is theirs, or if they mix."""
    order = answers.argmax(1)
    moved = sorted(order.tolist()) == [0, 1, 2] and order.tolist() != [0, 1, 2]
    clean = (answers - torch.nn.functional.one_hot(order, 3)).abs().max() < _SAME
    return tuple(order.tolist()) if moved and clean else None


def _ramps(mode: str) -> Image.Image:
    """A picture of slopes: each channel rises in another direction, from 0 to 255."""
    width, height = _SIZE
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    slopes = [x, y, (x + y) / 2] if mode == "RGB" else [(x + y) / 2]
    return _picture(np.stack(slopes, -1).squeeze(), mode)


def _picture(values: NDArray[np.float64], mode: str) -> Image.Image:
    levels: NDArray[np.uint8] = (255 * values).round().astype(np.uint8)
    return Image.fromarray(levels).convert(mode)


@lru_cache(maxsize=256)
def _box(shown: Preprocess, size: tuple[int, int]) -> Box:
    """See `Preprocess.box`; pictures of a folder often have one size."""
    width, height = size
    _, h, w = shown.shape
    black, white = (shown(Image.new("L", size, level))[0].numpy() for level in (0, 255))
    inside = white != black  # the rest is padding
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    across, down = (
        (shown(_picture(slope, "L"))[0].numpy() - black) / np.where(inside, white - black, 1) for slope in (x, y)
    )
    left, right = _ends(across.T[inside.T], np.nonzero(inside.T)[0], w)
    top, bottom = _ends(down[inside], np.nonzero(inside)[0], h)
    return left * width, top * height, right * width, bottom * height


def _ends(seen: NDArray[Any], places: NDArray[Any], length: int) -> tuple[float, float]:
    """Where a line through what is seen at some pixels starts and ends, over all pixels."""
    slope, start = np.polyfit(places + 0.5, seen, 1)
    first, last = sorted((float(start), float(start + slope * length)))
    return first, last


def _name_of(function: Callable[..., object]) -> str:
    """Its `repr`, without the address that another process would not give it."""
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(function))
    return " ".join(text.split())


def _by(given: Tensor) -> str:
    return " x ".join(map(str, given.shape))


def _refused(name: str, why: str, do: str = "") -> RatherError:
    return RatherError("MODEL-PREPROCESS", where=name[:200], why=why, do=do)
