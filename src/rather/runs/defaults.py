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
_INSTEAD: Final = "nearest"  # needs no map, and as much else


def default_plan(classifier: Classifier, settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A plan for a classifier, and notes on what is special about it.

    Small images have every edit scored on the picture, large ones those that the gradient finds best.

    Args:
        classifier: to explain.
        settings: of the default method, which win.

    Raises:
        RatherError: MODEL-LAYER if there are settings, and the classifier has no map that they could be for.
    """
    plan = {"name": DEFAULT_METHOD, **DEFAULT_SETTINGS, **settings}
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
