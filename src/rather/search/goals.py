"""The target class: a named one, or one chosen for each image by a rule of the papers."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from rather.config.errors import RatherError, did_you_mean
from rather.core import Classifier, Goal, Images, Noise
from rather.search.references import References

#: rule -> what it chooses
RULES: Final[dict[str, str]] = {
    "next": "the class after the predicted one; after the last, the first",
    "random": "a random other class, by the run's seed (Goyal et al., 2019)",
    "nearest": "the class of the nearest reference image of another class, in the classifier's features; the "
    "runner-up where all references have the predicted class",
    "runner-up": "the class with the second largest probability",
    "confused": "the class that the classifier most often confuses with the predicted one, on reference images",
    "prototype": "no other class: more confidence in the predicted one (Liu et al., 2019)",
}


#: Rules that need reference images.
REFERENCED: Final = frozenset({"nearest", "confused"})


def choose_goal(
    rule: str,
    classifier: Classifier,
    x: Images,
    probabilities: Float[Tensor, "b k"],
    noise: Noise,
    *,
    references: References | None,
    confidence: float = 0.0,
) -> Goal:
    """The goal of each image.

    Args:
        rule: one of `RULES`, or a class of the classifier, by name or number. A class that has the name of a
            rule comes first.
        classifier: its classes are the targets.
        x: images (b, c, h, w).
        probabilities: the classifier's, of these images.
        noise: random numbers for `random`.
        references: images for `nearest` and `confused`.
        confidence: least probability of the target; with 0 it only has to be the first choice.
    """
    predicted = probabilities.argmax(1)
    count = probabilities.shape[1]
    if rule not in classifier.classes and rule in RULES:
        if rule == "prototype":
            return Goal.prototype(probabilities.log(), confidence)
        if rule == "next":
            target = (predicted + 1) % count
        elif rule == "random":
            target = (predicted + 1 + noise.choice(torch.full_like(predicted, count - 1))) % count
        elif rule == "runner-up":
            target = probabilities.topk(2).indices[:, 1]
        elif references is None:
            raise RatherError(
                "CFG-OPTIONS", where=f"target {rule}", why="it needs reference images", do="Give --references"
            )
        elif rule == "nearest":
            target = references.nearest_other_class(classifier, x, predicted)
            target = torch.where(target < 0, probabilities.topk(2).indices[:, 1], target)
        else:
            target = references.most_confused_class(classifier)[predicted]
        return Goal.criticism(target, confidence)
    return Goal.criticism(torch.full_like(predicted, classifier.class_index(rule)), confidence)


def check_target(rule: str, classifier: Classifier) -> None:
    """Raise for a target that is neither a rule nor a class, before any image is read."""
    if rule in RULES and rule not in classifier.classes:
        return
    try:
        classifier.class_index(rule)
    except RatherError as error:
        raise RatherError(
            error.code, where=f"target {rule}", why=error.why, do=did_you_mean(rule, [*classifier.classes, *RULES])
        ) from None
