"""What can be wrong with a net: a few passes of a few images, and one line for each fault."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor, nn

from rather.classifiers.outputs import OneTensor
from rather.config.errors import RatherError, brief
from rather.io.images import Shape
from rather.io.memory import was_short
from rather.types import Images

#: By how much outputs may differ because sums are taken in another order; see `difference`.
CLOSE: Final = 1e-4


def noise(count: int, shape: Shape) -> Images:
    """Uniform noise, always the same."""
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def run(net: nn.Module, x: Tensor) -> Any:
    """What the net returns for a batch; what fails inside becomes a `RatherError`: MODEL-INPUT or RUN-MEMORY."""
    try:
        return net(x.clone())  # a clone: some nets write into their input
    except Exception as error:
        if was_short(error):
            raise RatherError("RUN-MEMORY", why=f"images of shape {tuple(x.shape)}") from None
        if isinstance(error, RatherError) and error.code != "MODEL-FAILS":
            raise
        raise RatherError(
            "MODEL-INPUT",
            where=f"images of shape {tuple(x.shape)}",
            why=error.why if isinstance(error, RatherError) else brief(error),
            do="Look at its number of channels and its size",
        ) from error


def check_answer(given: object, rows: int, classes: int) -> Tensor:
    """What a net returns for some images, if it is a tensor with a row for each image and a number for each class.

    Raises:
        RatherError: MODEL-OUTPUT-TYPE, MODEL-OUTPUT-SHAPE or MODEL-CLASSES.
    """
    if not isinstance(given, Tensor):
        do = "Wrap the net with rather.Classifier(net, shape=...)"
        raise RatherError("MODEL-OUTPUT-TYPE", where=type(given).__name__, do=do)
    if given.ndim not in {1, 2} or len(given) != rows:  # one number for each image is refused by its meaning
        why = f"for {rows} images it should be a row of numbers for each"
        raise RatherError("MODEL-OUTPUT-SHAPE", where=tuple(given.shape), why=why)
    if given.ndim > 1 and given.shape[1] not in {1, classes}:
        why = f"the classifier has {given.shape[1]} outputs"
        raise RatherError("MODEL-CLASSES", where=f"{classes} names", why=why)
    return given


def check_weights(net: nn.Module) -> None:
    """Refuse NaN or infinity in a parameter, or NaN in a buffer (masks may hold infinity)."""
    bad = [name for name, tensor in net.named_parameters() if not tensor.isfinite().all()]
    bad += [name for name, buffer in net.named_buffers() if buffer.isnan().any()]
    if bad:
        raise RatherError("MODEL-WEIGHTS-NONFINITE", where=bad[0])


def check_finite(net: nn.Module, x: Tensor, output: Tensor) -> None:
    """Refuse NaN or infinity in an output, and name the module where they first appear."""
    rows = (~output.isfinite()).view(len(output), -1).any(1) if output.ndim else ~output.isfinite()[None]
    if not rows.any():
        return
    names: list[str] = []

    def look(name: str, inner: object) -> None:
        if isinstance(inner, Tensor) and inner.is_floating_point() and not inner.isfinite().all():
            names.append(name)

    modules = [(name, module) for name, module in _modules(net) if name]
    hooks = [each.register_forward_hook(lambda _m, _i, inner, name=name: look(name, inner)) for name, each in modules]
    try:
        run(net, x)
    finally:
        for hook in hooks:
            hook.remove()
    raise RatherError(
        "MODEL-NONFINITE",
        where=f"first seen in {names[0]}" if names else "outside its modules",
        why=f"answer {int(rows.nonzero()[0])} of {len(x)}, weights are finite",
    )


def _modules(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Its modules by the names that its author knows."""
    return list((net.net if isinstance(net, OneTensor) else net).named_modules())


def check_steady(net: nn.Module, x: Tensor, output: Tensor) -> None:
    """Refuse a net that returns something else for the same image, among other images, or alone."""
    training = [name or "the net itself" for name, module in _modules(net) if module.training][::-1]
    where = f"{training[0]} is in training mode" if training else ""
    again = difference(run(net, x), output)
    if again > CLOSE:
        raise RatherError(
            "MODEL-TRAIN-MODE",
            where=where,
            why=f"asked twice, answers differ by {again:.2g}",
            do="Leave training mode, and take random layers out",
        )
    why = _depends_on_batch(net, x, output)
    if why and training:
        raise RatherError("MODEL-TRAIN-MODE", where=where, why=why, do="Leave training mode")
    if why:
        do = "Use running statistics in its normalisation, and keep the batch's dimension"
        raise RatherError("MODEL-BATCH-DEPENDENT", why=why, do=do)


def _depends_on_batch(net: nn.Module, x: Tensor, output: Tensor) -> str:
    """How the output for an image depends on the others of its batch; empty if it does not."""
    if len(x) == 1:
        return ""
    others = difference(run(net, x[[-1, 0]]), output[[-1, 0]])
    if others > CLOSE:
        return f"among other images, answers differ by {others:.2g}"
    try:
        alone = difference(run(net, x[:1]), output[:1])
    except RatherError as error:
        return f"one image alone is refused: {error.why}"
    return f"for one image alone the answer differs by {alone:.2g}" if alone > CLOSE else ""


def difference(one: object, other: Tensor) -> float:
    """How far one output is from another, relative to the largest number; infinite if it has another shape."""
    if not isinstance(one, Tensor) or one.shape != other.shape:
        return math.inf
    far = float((one - other).abs().max() / (1 + other.abs().max()))
    return far if math.isfinite(far) else math.inf
