"""What a net takes: the shape of its images, and what is done to a pixel before the net sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rather.config.errors import RatherError
from rather.io.images import Shape
from rather.io.preprocessing import Preprocess
from rather.types import Images

#: Any three whole numbers in a row.
ShapeLike = Sequence[int] | np.ndarray
#: A number for all channels, or one for each.
PerChannel = float | Sequence[float] | Tensor | np.ndarray | None
PreprocessLike = Preprocess | Callable[[Image.Image], object]


@final
class Inputs(NamedTuple):
    """What a net takes: `((x - mean) / std)[:, order]` of images x (b, *shape)."""

    shape: Shape
    mean: Tensor  # (c, 1, 1)
    std: Tensor
    preprocess: Preprocess | None  # how a picture becomes an image

    def net_input(self, x: Images) -> Images:
        """What the net sees of images."""
        return net_input(x, self.mean, self.std, self.preprocess)


def net_input(x: Images, mean: Tensor, std: Tensor, preprocess: Preprocess | None) -> Images:
    """What a net sees of images."""
    seen = (x - mean) / std
    return seen if preprocess is None or preprocess.order is None else seen[:, list(preprocess.order)]


def inputs_of(
    name: str, *, shape: ShapeLike | None, mean: PerChannel, std: PerChannel, scale: float, given: PreprocessLike | None
) -> Inputs:
    """What a net of this name takes, of what is given; see `core.Classifier`.

    Raises:
        RatherError: MODEL-INPUT for what cannot be, MODEL-PREPROCESS.
    """
    channels = None if shape is None else _shape(name, shape)[0]
    preprocess = given if given is None or isinstance(given, Preprocess) else _measured(given, channels)
    if shape is None and preprocess is not None:
        shape = preprocess.shape
    if shape is None:
        why = "the size of its images is not known"
        do = "Give shape=(channels, height, width), or --shape C H W"
        raise RatherError("MODEL-INPUT", where=name, why=why, do=do)
    shape = _shape(name, shape)
    if preprocess is not None and preprocess.shape != shape:
        why = f"its preprocessing gives {preprocess.shape}"
        raise RatherError("MODEL-INPUT", where=f"{name}, shape {shape}", why=why, do="Leave out the shape")
    own = (0.0, 1.0) if preprocess is None else (preprocess.mean, preprocess.std)
    means = _per_channel("mean", own[0], shape) if mean is None else _on_scale("mean", mean, shape, scale)
    stds = _per_channel("std", own[1], shape) if std is None else _on_scale("std", std, shape, scale)
    if scale != 1 and mean is None and std is None:
        stds = stds / scale
    return Inputs(shape, means, stds, preprocess)


def _measured(function: Callable[[Image.Image], object], channels: int | None) -> Preprocess:
    return Preprocess.measure(function, mode="L" if channels == 1 else "RGB")


def _shape(name: str, given: ShapeLike) -> Shape:
    """Three whole numbers, of whatever type."""
    sides = [*map(float, given)] if isinstance(given, Sequence | np.ndarray) else []
    if len(sides) != 3 or not all(side >= 1 and side.is_integer() for side in sides):  # noqa: PLR2004 - c, h, w
        do = "Give three whole numbers: channels, height, width"
        raise RatherError("MODEL-INPUT", where=f"{name}, shape {given}", why="no shape of an image", do=do)
    c, h, w = map(int, sides)
    return c, h, w


def _on_scale(what: str, given: PerChannel, shape: Shape, scale: float) -> Tensor:
    """Numbers that are said of pixels from 0 to `scale`, for pixels from 0 to 1."""
    numbers = _per_channel(what, given, shape).cpu()
    if not numbers.isfinite().all():
        raise RatherError("MODEL-INPUT", where=f"{what} {given}", why="not finite")
    if what == "std" and numbers.min() <= 0:
        raise RatherError("MODEL-INPUT", where=f"std of {float(numbers.min()):.3g}", why="it divides the images")
    if what == "mean" and numbers.max() > scale:
        raise RatherError(
            "MODEL-INPUT",
            where=f"mean of {float(numbers.max()):.6g}",
            why=f"pixels are from 0 to {scale:g}",
            do="If mean and std are of pixels from 0 to 255, say scale=255 or --scale 255",
        )
    return numbers / scale


def _per_channel(what: str, given: PerChannel, shape: Shape) -> Tensor:
    numbers = torch.as_tensor(given, dtype=torch.float32).detach().flatten()
    if len(numbers) not in {1, shape[0]}:
        raise RatherError("MODEL-INPUT", where=f"{what} of {len(numbers)} channels", why=f"its images have {shape[0]}")
    return numbers.expand(shape[0]).clone().view(-1, 1, 1)
