"""How pictures become a net's input: what its library says, and what a user says instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, final

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from rather.config.errors import RatherError

if TYPE_CHECKING:
    from PIL import Image

    from rather.core import Classifier
    from rather.hub.libraries import Loaded
    from rather.io.images import Shape
    from rather.io.preprocessing import Preprocess

_NUMBERS = Parameter(consume_multiple=True)


@final
@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What is said of a classifier's preprocessing; what is not said stays as the classifier's library has it."""

    preprocess: str | None = None
    """FILE.py:NAME, a function from a PIL image to the net's input (needs --trust): your transform for evaluation."""
    size: PositiveInt | None = None
    """Pixels of a picture's shorter side after it is resized, and before its middle is cut out."""
    crop: PositiveInt | None = None
    """Pixels of each side of the middle that the classifier sees; by default what --shape says, or --size."""
    interpolation: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    """How a picture is resized, if --size is given."""
    mean: Annotated[tuple[float, ...] | None, _NUMBERS] = None
    """What is subtracted from a pixel: a number, or one for each channel."""
    std: Annotated[tuple[float, ...] | None, _NUMBERS] = None
    """What it is divided by, likewise."""
    scale: float = 1.0
    """What white is where --mean and --std come from: 255 for a net that takes pixels from 0 to 255."""


#: Nothing is said.
NOTHING_SAID = Preprocessing()


def preprocess_of(
    found: Loaded, said: Preprocessing, shape: Shape | None, trust: Sequence[str] = ()
) -> Preprocess | None:
    """How pictures become a net's input; None for a net of a user's that comes with nothing, and needs nothing.

    Args:
        found: the net, with the preprocessing of its library.
        said: what a user says.
        shape: likewise: (c, h, w) of its input.
        trust: `sha256:` and the hash of each file of code that may run.

    Raises:
        RatherError: MODEL-PREPROCESS, or what `trusted` raises.
    """
    from rather.io.preprocessing import Preprocess

    function = found.preprocess if said.preprocess is None else _own(said.preprocess, trust)
    fixed = shape or found.shape
    sized = said.size is not None or said.crop is not None
    if function is None:
        if found.lacks and not ((sized or shape) and said.mean):
            do = "Say --preprocess FILE.py:NAME; or --shape, --mean and --std"
            raise RatherError("MODEL-PREPROCESS", where=found.name, why=found.lacks, do=do)
        return _resized(said, fixed) if sized else None
    mode = "L" if (fixed[0] if fixed else found.channels) == 1 else "RGB"
    try:
        own = Preprocess.measure(function, mode=mode, name=said.preprocess or "", any_size=sized or shape is not None)
    except RatherError as error:
        why = f"{error.why}; its steps: {found.steps}" if found.steps and said.preprocess is None else error.why
        raise RatherError("MODEL-PREPROCESS", where=said.preprocess or found.name, why=why, do=error.do) from error
    if sized:
        other = _resized(said, fixed or (own.shape[0], 0, 0))
    elif shape is not None and shape != own.shape:
        other = _largest(shape)
    else:
        return own
    return replace(own, view=other.view, shape=other.shape, name=f"{other.name}, pixels as {own.name}")


def resized(classifier: Classifier, said: Preprocessing) -> Classifier:
    """A classifier that is whole, of pictures that are resized and cut as a user says.

    Raises:
        RatherError: CFG-OPTIONS for what it has itself.
    """
    if said == NOTHING_SAID:
        return classifier
    if replace(said, size=None, crop=None, interpolation=NOTHING_SAID.interpolation) != NOTHING_SAID:
        own = ("preprocess", "mean", "std", "scale")
        option = next(name for name in own if getattr(said, name) != getattr(NOTHING_SAID, name))
        raise RatherError("CFG-OPTIONS", where=f"--{option}", why=f"{classifier.name} has its own")
    same = copy(classifier)
    made = _resized(said, classifier.shape)
    same.preprocess = replace(made, order=None if classifier.preprocess is None else classifier.preprocess.order)
    return same


def _own(spec: str, trust: Sequence[str]) -> Callable[[Image.Image], object]:
    from rather.hub.trusted import trusted

    function = trusted(spec, trust)
    if not callable(function):
        why = f"{type(function).__name__}, not a function of a picture"
        raise RatherError("MODEL-PREPROCESS", where=spec, why=why)
    own: Callable[[Image.Image], object] = function
    return own


def _resized(said: Preprocessing, shape: Shape | None) -> Preprocess:
    """Resize the shorter side, then cut out the middle, as torchvision does it."""
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    from rather.io.preprocessing import Preprocess

    c, h, w = shape or (3, 0, 0)
    sides = (said.crop, said.crop) if said.crop else (h, w) if h else (said.size, said.size)
    if h and (h, w) != sides:
        raise RatherError("CFG-OPTIONS", where=f"--crop {said.crop}", why=f"the classifier takes {h} x {w}")
    way = InterpolationMode(said.interpolation)
    return Preprocess.measure(
        Compose([Resize(said.size or min(filter(None, sides)), interpolation=way), CenterCrop(sides)]),
        mode="L" if c == 1 else "RGB",
    )


def _largest(shape: Shape) -> Preprocess:
    """The largest part in the middle, as pictures are read by default."""
    from rather.io.images import fit
    from rather.io.preprocessing import Preprocess

    same = (0.0,) * shape[0], (1.0,) * shape[0]
    return Preprocess(view=partial(fit, shape=shape), name=f"largest {shape}", shape=shape, mean=same[0], std=same[1])
