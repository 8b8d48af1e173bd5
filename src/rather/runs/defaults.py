"""The method that is taken where none is named, by what the classifier allows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from rather.config.errors import RatherError
from rather.core import Classifier
from rather.feature_cells.edits import cell_count

#: The best that needs no generative model: a person sees what its edits mean.
DEFAULT_METHOD: Final = "goyal"
DEFAULT_SETTINGS: Final[Mapping[str, Any]] = {"score_on": "picture", "distractor": "nearest"}
DEFAULT_TARGET: Final = "nearest"
_PIXELS: Final = 2**20  # in the pictures that an edit is chosen from; each costs a pass of the classifier
_FEWEST: Final = 16  # of these pictures
#: The best that needs neither a gradient nor a generative model.
BLACK_BOX_METHOD: Final = "sedc"
USUAL: Final = (DEFAULT_METHOD, DEFAULT_SETTINGS)
_INSTEAD: Final = "nearest"  # needs no map, and as much else


def default_plan(
    classifier: Classifier, settings: Mapping[str, Any], usual: tuple[str, Mapping[str, Any]] = USUAL
) -> tuple[dict[str, Any], list[str]]:
    """A plan for a classifier, and notes on what is special about it.

    Small images have every edit scored on the picture, large ones those that the gradient finds best.

    Args:
        classifier: to explain.
        settings: of the default method, which win.
        usual: the default for a classifier with a gradient, and its settings.

    Raises:
        RatherError: MODEL-LAYER if there are settings, and the classifier has no map that they could be for.
    """
    if not classifier.differentiable:
        note = f"no --method given: {BLACK_BOX_METHOD} is taken, which asks questions and needs no gradient"
        return {"name": BLACK_BOX_METHOD, **settings}, [note]
    plan = {"name": usual[0], **usual[1], **settings}
    if usual[0] != DEFAULT_METHOD:
        return plan, []
    try:
        count = cell_count(classifier)
    except RatherError as error:
        if settings:
            raise
        return {"name": _INSTEAD}, [f"no --method given: {_INSTEAD} is taken, not {DEFAULT_METHOD} ({error.why})"]
    edits = max(_FEWEST, _PIXELS // math.prod(classifier.shape[1:]))
    if plan["score_on"] == "picture" and edits < count**2:
        plan = {"shortlist": edits, **plan}
    return plan, []
