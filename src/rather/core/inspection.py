"""Preflight: can this classifier be explained?"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from rather.classifiers.checks import CLOSE, check_finite, check_steady, check_weights, difference, noise, run
from rather.classifiers.outputs import OF_PROBABILITIES, check_probabilities, suspicion, to_logits
from rather.config.errors import RatherError
from rather.core.classifier import Classifier
from rather.core.faults import Part, apart, fault_of, time_limit
from rather.types import Images, Logits

_IMAGES: Final = 4  # of the given ones, at most; and as many of noise


def preflight(
    classifier: Classifier, images: Images, batch_size: int = 2 * _IMAGES, timeout: float | None = None
) -> list[str]:
    """Run the classifier on a few images, and on noise, in several ways; refuse it if it is at fault.

    It costs six passes of at most 8 images, one of them with its gradient. An image that it fails on is no
    fault, as long as it answers for others.

    Args:
        classifier: to check.
        images: some that it will explain; the first four are taken.
        batch_size: how many are in memory at a time, at most.
        timeout: seconds for an image, at most.

    Returns:
        What is odd, and no fault.

    Raises:
        RatherError: MODEL-INPUT, -OUTPUT-TYPE, -OUTPUT-SHAPE, -ONE-OUTPUT, -PROBABILITIES,
            -NOT-PROBABILITIES, -CLASSES, -NONFINITE, -WEIGHTS-NONFINITE, -TRAIN-MODE or
            -BATCH-DEPENDENT; RUN-MEMORY, RUN-TIMEOUT.
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
        given = len(x)
        x = torch.cat([x, noise(given, classifier.shape).to(x)])
        source = classifier.source  # of labels and values, what the net gives of them
        answers, notes = _answers(source, x, given, batch_size, timeout)
        mine = x[[row for row in answers if row < given][:batch_size]]
        x, logits = x[[*answers]], torch.stack([*answers.values()])
        to_logits(logits, "logits" if source.kind == "classes" else source.output, len(x))
        _check_reference(source, x, logits, batch_size)
        check_steady(source, x[:batch_size], logits[:batch_size])
        notes += [*check_reading(classifier, mine), *classifier.notes, *_gradient_notes(classifier, mine)]
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


def _answers(
    classifier: Classifier, x: Images, given: int, batch_size: int, timeout: float | None
) -> tuple[dict[int, Tensor], list[str]]:
    """The logits of the images that the classifier answers for, by their place, and a note on the others.

    Raises:
        RatherError: what is wrong, if it answers for none of the `given` images, which come before the noise.
    """

    def ask(rows: Part) -> Tensor:
        with time_limit(timeout and timeout * len(rows)):
            logits: Tensor = run(classifier, x[[*rows]])
            check_finite(classifier, x[[*rows]], logits)
        return logits

    answers: dict[int, Tensor] = {}
    faults: dict[int, RatherError] = {}
    for some in torch.arange(len(x)).split(batch_size):
        for rows, answer in apart(some.tolist(), ask, fault_of, alone=True):
            if isinstance(answer, RatherError):
                faults |= dict.fromkeys(rows, answer)
            else:
                answers |= dict(zip(rows, answer, strict=True))
    failed = [fault for row, fault in faults.items() if row < given]
    if len(failed) == given:
        raise failed[0]
    why = failed[0].why or failed[0].what if failed else ""
    return answers, [f"it fails on {len(failed)} of the first {given} images: {why}"] if failed else []


def _check_reference(classifier: Classifier, x: Images, logits: Logits, batch_size: int) -> None:
    """Refuse a converted net that does not answer as the original does."""
    for reference in classifier.reference:
        original = torch.cat([run(reference, part) for part in x.split(batch_size)])
        far = difference(logits, original)
        if far > CLOSE:
            why = f"answers differ by {far:.2g} of the largest"
            do = f"Take it as a black box: onnxruntime:{classifier.name}.onnx"
            raise RatherError("MODEL-CONVERTED", where=classifier.name, why=why, do=do)


def _gradient_notes(classifier: Classifier, x: Images) -> list[str]:
    """A note if the gradient is useless, or zero for some of the images."""
    if not classifier.differentiable:
        return ["its answers have no gradient"]
    x = x.clone().requires_grad_()
    with torch.enable_grad():
        # The runner-up's, because a target has it: the first choice's vanishes where the classifier is sure.
        score = classifier(x).log_softmax(1).topk(2).values[:, 1]
        (gradient,) = torch.autograd.grad(score.sum(), x)
    if not gradient.isfinite().all():
        return ["the gradient is NaN or infinite"]
    dead = int((gradient.flatten(1) == 0).all(1).sum())
    if dead == len(x):
        return ["the gradient is zero everywhere"]
    return [f"{dead} of {len(x)} images have no gradient"] if dead else []
