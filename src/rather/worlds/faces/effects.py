"""What truly moves a classifier of faces: one attribute is set, all else is left, and it is asked again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Classifier, Logits
from rather.worlds.faces.attributes import ATTRIBUTES, HAIR_COLOURS
from rather.worlds.faces.drawing import draw
from rather.worlds.faces.sample import Faces, set  # noqa: A004 - see there

PerFace = Float[Tensor, " n"]


class Effect(NamedTuple):
    """Of each face what setting an attribute from 0 to 1 adds; the attribute's effect is the mean."""

    log_odds: PerFace  # log p(target) / (1 - p(target))
    probability: PerFace  # p(target)


def effects(classifier: Classifier, faces: Faces, target: int) -> dict[str, Effect]:
    """The interventional effect of every attribute on a class, in the order of `ATTRIBUTES`.

    Each face is drawn with the attribute at 0 and at 1, everything else being as it was, on the 8-bit grid as
    data sets have them: the difference of what the classifier says of the two. A hair colour cannot be taken
    away without giving another: its effect is that of giving it, over the mean of giving each of the other
    three.

    Args:
        classifier: whom to ask; square pictures of 3 channels.
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

    def said(given: Faces) -> Float[Tensor, "2 n"]:
        return _said(classifier, given, side, target)

    coloured = {name: said(set(faces, **{name: 1})) for name in HAIR_COLOURS}
    found = {}
    for name in ATTRIBUTES:
        if name in coloured:
            others = [coloured[other] for other in HAIR_COLOURS if other != name]
            found[name] = Effect(*(coloured[name] - torch.stack(others).mean(0)))
        else:
            found[name] = Effect(*(said(set(faces, **{name: 1})) - said(set(faces, **{name: 0}))))
    return found


def _said(classifier: Classifier, faces: Faces, side: int, target: int) -> Float[Tensor, "2 n"]:
    """Log-odds and probability of a class, in 64 bits."""
    odds = log_odds(torch.cat([*_logits(classifier, faces, side)]), target)
    return torch.stack([odds, odds.sigmoid()])


def log_odds(logits: Logits, target: int) -> Float[Tensor, " n"]:
    """Log of p(target) / (1 - p(target)), in 64 bits."""
    logits = logits.double()
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], 1)
    return logits[:, target] - others.logsumexp(1)


@torch.no_grad()
def _logits(classifier: Classifier, faces: Faces, side: int, block: int = 32) -> Iterator[Tensor]:
    """Block by block, since the pictures of all faces would fill the memory."""
    for start in range(0, len(faces), block):
        pictures, _ = draw(faces[start : start + block], side)
        yield classifier(((pictures * 255).round() / 255).to(classifier.get_buffer("mean").device)).cpu()
