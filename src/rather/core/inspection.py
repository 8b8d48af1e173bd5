"""Preflight: can this classifier be explained?"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from rather.classifiers.checks import brief, check_finite, check_steady, check_weights, noise, run
from rather.classifiers.outputs import OF_PROBABILITIES, check_probabilities, suspicion, to_logits
from rather.config.errors import RatherError
from rather.core.classifier import Classifier
from rather.types import Images

_IMAGES: Final = 4  # of the given ones, at most; and as many of noise


def preflight(classifier: Classifier, images: Images) -> list[str]:
    """Run the classifier on a few images, and on noise, in several ways; refuse it if it is at fault.

    It costs six passes of at most 8 images, one of them with its gradient.

    Args:
        classifier: to check.
        images: some that it will explain; the first four are taken.

    Returns:
        What is odd, and no fault.

    Raises:
        RatherError: MODEL-INPUT, -OUTPUT-TYPE, -OUTPUT-SHAPE, -ONE-OUTPUT, -PROBABILITIES,
            -NOT-PROBABILITIES, -CLASSES, -NONFINITE, -WEIGHTS-NONFINITE, -TRAIN-MODE or -BATCH-DEPENDENT.
    """
    if images.ndim != 4 or tuple(images.shape[1:]) != classifier.shape or not len(images):  # noqa: PLR2004 - b, c, h, w
        raise RatherError(
            "MODEL-INPUT",
            where=f"images of shape {tuple(images.shape)}",
            why=f"{classifier.name} takes (b, {', '.join(map(str, classifier.shape))})",
        )
    check_weights(classifier)
    with torch.random.fork_rng(devices=[]):  # a net that draws random numbers must not change the caller's
        x = images[:_IMAGES].to(classifier.get_buffer("mean").device)
        notes = check_reading(classifier, x)
        x = torch.cat([x, noise(len(x), classifier.shape).to(x)])
        source = classifier.source  # of labels and values, what the net gives of them
        logits = run(source, x)
        if not isinstance(logits, Tensor):
            raise RatherError(
                "MODEL-OUTPUT-TYPE",
                where=type(logits).__name__,
                do="Wrap the net with rather.Classifier(net, shape=...)",
            )
        check_finite(source, x, logits)
        to_logits(logits, "logits" if source.kind == "classes" else source.output, len(x))
        if logits.shape[1] != len(source.classes):
            raise RatherError(
                "MODEL-CLASSES",
                where=f"{len(source.classes)} names",
                why=f"the classifier has {logits.shape[1]} outputs",
            )
        check_steady(source, x, logits)
        notes += _gradient_notes(classifier, x[: len(x) // 2])
    if classifier.classes == tuple(map(str, range(1_000))):
        notes.append("1,000 classes without names: if they are those of ImageNet, say --classes imagenet")
    if bool((logits == logits[:1]).all()):
        notes.append("every image gets the same answer")
    return notes


@torch.no_grad()
def check_reading(classifier: Classifier, images: Images) -> list[str]:
    """Notes on what the net's numbers are taken for, by pictures: on noise a net may give anything.

    Raises:
        RatherError: MODEL-NOT-PROBABILITIES for numbers that are no probabilities, and are taken for such.
    """

    def read(layer: nn.Module, numbers: tuple[Tensor]) -> None:
        check_probabilities(layer, *numbers)

    layers = [layer for layer in classifier.modules() if isinstance(layer, OF_PROBABILITIES)]
    hooks = [layer.register_forward_pre_hook(read) for layer in layers]
    try:
        logits = run(classifier.source, images)
    finally:
        for hook in hooks:
            hook.remove()
    plain = isinstance(logits, Tensor) and logits.ndim == 2 and len(classifier.members) == 1  # noqa: PLR2004 - b, k
    note = suspicion(logits, classifier.source.output) if plain else ""
    return [note] if note else []


def _gradient_notes(classifier: Classifier, x: Images) -> list[str]:
    """A note if the gradient is useless, or zero for some of the images."""
    x = x.clone().requires_grad_()
    try:
        with torch.enable_grad():
            # The runner-up's, because a target has it: the first choice's vanishes where the classifier is sure.
            score = classifier(x).log_softmax(1).topk(2).values[:, 1]
            (gradient,) = torch.autograd.grad(score.sum(), x)
    except RuntimeError as error:
        return [f"its answers have no gradient: {brief(error)}"]
    if not gradient.isfinite().all():
        return ["the gradient is NaN or infinite"]
    dead = int((gradient.flatten(1) == 0).all(1).sum())
    if dead == len(x):
        return ["the gradient is zero everywhere"]
    return [f"{dead} of {len(x)} images have no gradient"] if dead else []
