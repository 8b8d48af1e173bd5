"""Preflight: can this classifier be explained? A few passes of a few images, and each fault in one line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rather.classifiers.answers import Asked, to_logits
from rather.config.errors import RatherError
from rather.core import Classifier, Images

_IMAGES: Final = 4  # of the given ones, at most; as many of noise beside them
#: By how much answers may differ because sums are taken in another order; see `difference`.
CLOSE: Final = 1e-4


@final
@dataclass(frozen=True)
class Preflight:
    """What a classifier that passed is like."""

    no_gradient: str = ""  # why a method that follows the gradient cannot work; empty if it can
    notes: tuple[str, ...] = ()  # what is odd, and no fault

    @property
    def gradient(self) -> bool:
        """Whether a method may follow the classifier's gradient."""
        return not self.no_gradient

    def require_gradient(self, method: str) -> None:
        """Refuse a method that follows the gradient if there is none to follow."""
        if self.no_gradient:
            raise RatherError(
                "MODEL-GRADIENT",
                where=f"method {method}",
                why=self.no_gradient,
                do="Take a method that needs none, such as goyal or nearest",
            )


def preflight(classifier: Classifier, images: Images) -> Preflight:
    """Ask the classifier about a few images, and about noise, in several ways; refuse it if it is at fault.

    Five passes of at most 8 images, one of them with its gradient.

    Args:
        classifier: to be looked at.
        images: some that it will be asked about; the first four are taken.

    Raises:
        RatherError: MODEL-INPUT, -OUTPUT-TYPE, -OUTPUT-SHAPE, -ONE-OUTPUT, -PROBABILITIES, -CLASSES,
            -NONFINITE, -WEIGHTS-NONFINITE, -TRAIN-MODE or -BATCH-DEPENDENT.
    """
    if images.ndim != 4 or tuple(images.shape[1:]) != classifier.shape or not len(images):  # noqa: PLR2004 - b, c, h, w
        raise RatherError(
            "MODEL-INPUT",
            where=f"images of shape {tuple(images.shape)}",
            why=f"{classifier.name} takes (b, {', '.join(map(str, classifier.shape))})",
        )
    refuse_nonfinite_weights(classifier)
    with torch.random.fork_rng(devices=[]):  # a net that draws random numbers must not move anybody's
        x = images[:_IMAGES].to(classifier.get_buffer("mean").device)
        x = torch.cat([x, noise(len(x), classifier.shape).to(x)])
        logits = ask(classifier, x)
        if not isinstance(logits, Tensor):
            raise RatherError(
                "MODEL-OUTPUT-TYPE", where=type(logits).__name__, do="Bring the net with rather.classifiers.adapt"
            )
        refuse_nonfinite(classifier, x, logits)
        to_logits(logits, "logits", len(x))
        if logits.shape[1] != len(classifier.classes):
            raise RatherError(
                "MODEL-CLASSES",
                where=f"{len(classifier.classes)} names",
                why=f"the classifier has {logits.shape[1]} outputs",
            )
        refuse_unsteady(classifier, x, logits)
        no_gradient, dead = _no_gradient(classifier, x[: len(x) // 2])
    notes = []
    if dead and not no_gradient:
        notes.append(f"{dead} of {len(x) // 2} images have no gradient")
    if bool((logits == logits[:1]).all()):
        notes.append("every image gets the same answer")
    return Preflight(no_gradient, tuple(notes))


def noise(count: int, shape: tuple[int, int, int]) -> Images:
    """Uniform noise, always the same."""
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def ask(net: nn.Module, x: Tensor) -> Any:
    """What the net answers to a batch; whatever goes wrong inside is a `RatherError` (MODEL-INPUT)."""
    try:
        return net(x.clone())  # a clone: some nets write into what they are given
    except RatherError:
        raise
    except Exception as error:
        raise RatherError(
            "MODEL-INPUT",
            where=f"images of shape {tuple(x.shape)}",
            why=brief(error),
            do="Look at its number of channels and its size",
        ) from error


def brief(error: Exception) -> str:
    """The first line of somebody else's error, and not too much of it."""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}"[:200].rstrip(" .:")


def refuse_nonfinite_weights(net: nn.Module) -> None:
    """NaN or infinity among the parameters, or NaN in a buffer (masks may hold infinity), by its name."""
    for name, tensor in net.named_parameters():
        if not tensor.isfinite().all():
            raise RatherError("MODEL-WEIGHTS-NONFINITE", where=name)
    for name, buffer in net.named_buffers():
        if buffer.isnan().any():
            raise RatherError("MODEL-WEIGHTS-NONFINITE", where=name)


def refuse_nonfinite(net: nn.Module, x: Tensor, answer: Tensor) -> None:
    """NaN or infinity in an answer, and the module where they first show."""
    bad = ~answer.isfinite()
    if bad.any():
        row = int(bad.flatten(1).any(1).nonzero()[0]) if bad.ndim > 1 else int(bad.nonzero()[0])
        raise RatherError(
            "MODEL-NONFINITE", where=_first_nonfinite(net, x), why=f"answer {row} of {len(x)}, weights are finite"
        )


def _first_nonfinite(net: nn.Module, x: Tensor) -> str:
    seen: list[str] = []

    def look(name: str, output: object) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and not output.isfinite().all():
            seen.append(name)

    hooks = [
        module.register_forward_hook(lambda _m, _i, output, name=name: look(name, output))
        for name, module in _modules(net)
        if name
    ]
    try:
        ask(net, x)
    finally:
        for hook in hooks:
            hook.remove()
    return f"first seen in {seen[0]}" if seen else "outside its modules"


def _modules(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Its modules by the names that its author knows."""
    net = net.net if isinstance(net, Asked) else net
    return list(net.named_modules())


def refuse_unsteady(net: nn.Module, x: Tensor, answer: Tensor) -> None:
    """An answer that is another when asked again, or beside other images, or alone.

    Args:
        net: images, as it takes them, to one tensor.
        x: at least two images.
        answer: what the net said to them.
    """
    training = [name or "the net itself" for name, module in _modules(net) if module.training][::-1]
    again = difference(ask(net, x), answer)
    if again > CLOSE:
        raise RatherError(
            "MODEL-TRAIN-MODE",
            where=f"{training[0]} is in training mode" if training else "",
            why=f"asked twice, answers differ by {again:.2g}",
            do="Leave training mode, and take random layers out",
        )
    beside = difference(ask(net, x[[-1, 0]]), answer[[-1, 0]])
    why = f"beside other images, answers differ by {beside:.2g}" if beside > CLOSE else ""
    if not why:
        try:
            alone = difference(ask(net, x[:1]), answer[:1])
        except RatherError as error:
            why = f"one image alone is refused: {error.why}"
        else:
            why = f"for one image alone the answer differs by {alone:.2g}" if alone > CLOSE else ""
    if why and training:
        raise RatherError(
            "MODEL-TRAIN-MODE", where=f"{training[0]} is in training mode", why=why, do="Leave training mode"
        )
    if why:
        raise RatherError(
            "MODEL-BATCH-DEPENDENT",
            why=why,
            do="Use running statistics in its normalisation, and keep the batch's dimension",
        )


def difference(one: object, other: Tensor) -> float:
    """How far an answer is from another, relative to the largest number; infinite if it is no such tensor."""
    if not isinstance(one, Tensor) or one.shape != other.shape:
        return math.inf
    far = float((one - other).abs().max() / (1 + other.abs().max()))
    return far if math.isfinite(far) else math.inf


def _no_gradient(classifier: Classifier, x: Images) -> tuple[str, int]:
    """Why the gradient is of no use, if it is of none; and how many of the images have none."""
    x = x.clone().requires_grad_()
    try:
        with torch.enable_grad():
            # The runner-up's, for a target has it: the first choice's vanishes where the classifier is sure.
            score: Float[Tensor, " b"] = classifier(x).log_softmax(1).topk(2).values[:, 1]
            (gradient,) = torch.autograd.grad(score.sum(), x)
    except RuntimeError as error:
        return f"its answers are not connected to the image: {brief(error)}", len(x)
    if not gradient.isfinite().all():
        return "the gradient is NaN or infinite", 0
    dead = int((gradient.flatten(1) == 0).all(1).sum())
    return ("the gradient is zero everywhere" if dead == len(x) else ""), dead
