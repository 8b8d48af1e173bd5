"""What really moves a classifier of faces: the effect of setting one attribute, with everything else unchanged."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Classifier, Images
from rather.worlds.faces.attributes import ATTRIBUTES, HAIR_COLOURS
from rather.worlds.faces.drawing import draw
from rather.worlds.faces.sample import Faces, set_attributes
from rather.worlds.world import Effect, outcome


def effects(classifier: Classifier, faces: Faces, target: int) -> dict[str, Effect]:
    """The interventional effect of every attribute on a class, in the order of `ATTRIBUTES`.

    Each face is drawn with the attribute at 0 and at 1 and everything else unchanged; the effect is the
    difference of the classifier's outputs. A hair colour cannot be taken away without giving another: its effect
    is that of giving it, minus the mean effect of giving one of the other three.

    Args:
        classifier: of square pictures with 3 channels.
        faces: whose attributes are set; at least one.
        target: the class whose log-odds and probability are taken.

    Raises:
        RatherError: DATA-SHAPE for a classifier of other pictures, DATA-EMPTY for no faces.
    """
    channels, side, width = classifier.shape
    if channels != 3 or side != width:  # noqa: PLR2004 - RGB
        raise RatherError(
            "DATA-SHAPE", where=f"{classifier.name} takes {classifier.shape}", why="faces are (3, side, side)"
        )
    if not len(faces):
        raise RatherError("DATA-EMPTY", where="no faces", do="Give one at least")

    def pictures(some: Faces) -> Images:
        return (draw(some, side)[0] * 255).round() / 255

    def with_value(name: str, value: int) -> Float[Tensor, "2 n"]:
        return outcome(classifier, pictures, set_attributes(faces, {name: value}), target)

    coloured = {name: with_value(name, 1) for name in HAIR_COLOURS}
    found = {}
    for name in ATTRIBUTES:
        if name in coloured:
            others = [coloured[other] for other in HAIR_COLOURS if other != name]
            found[name] = Effect(*(coloured[name] - torch.stack(others).mean(0)))
        else:
            found[name] = Effect(*(with_value(name, 1) - with_value(name, 0)))
    return found
