"""A user's net or function, cut into a body and a head that gives logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Final, NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn

from rather.classifiers.checks import brief, check_finite, check_steady, check_weights, noise, run
from rather.classifiers.outputs import Function, OneTensor, check_output, finish, key_of, to_logits
from rather.classifiers.split import split
from rather.config.errors import RatherError
from rather.config.output import Output
from rather.io.images import Shape

_PROBES: Final = 3  # images of noise; one alone, or two, would hide what depends on the batch
PerChannel = Sequence[float] | Tensor | np.ndarray | None


@final
class Wrapped(NamedTuple):
    """A copy of a net, in evaluation mode, frozen and in two parts."""

    body: nn.Module
    head: nn.Module
    classes: tuple[str, ...]
    device: torch.device | None


def wrap(
    net: nn.Module | Callable[[Tensor], object],
    *,
    shape: Shape,
    classes: Sequence[str] | None,
    mean: PerChannel,
    std: PerChannel,
    output: Output,
    layer: str | None,
    name: str,
) -> Wrapped:
    """A copy of a net whose head gives logits; the net itself stays as it is. See `core.Classifier`."""
    check_output(output)
    centre, scale = _per_channel("mean", mean, 0.0, shape), _per_channel("std", std, 1.0, shape)
    if scale.min() <= 0:
        raise RatherError("MODEL-INPUT", where=f"std of {float(scale.min()):.3g}", why="it divides the images")
    net = _copy(net)
    check_weights(net)
    device = next((tensor.device for tensor in net.state_dict().values()), torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):  # a net that draws random numbers must not change the caller's
        x = ((noise(_PROBES, shape) - centre) / scale).to(device)
        returned = run(net, x)
        key = key_of(returned)
        root = OneTensor(net, key)
        numbers = returned if key is None else returned[key]
        check_finite(root, x, numbers)
        last = to_logits(numbers, output, len(x))
        check_steady(root, x, numbers)
        body, head = split(root, layer, example=x)
    count = 2 if output.startswith("binary") else numbers[0].numel()
    if classes is None:
        classes = ["value"] if output == "value" and count == 1 else [str(n) for n in range(count)]
    if len(classes) != count:
        raise RatherError("MODEL-CLASSES", where=f"{len(classes)} names", why=f"{name} knows {count} classes")
    return Wrapped(body, finish(head, last), tuple(classes), device)


def _copy(net: nn.Module | Callable[[Tensor], object]) -> nn.Module:
    if isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel):
        net = net.module
    if not isinstance(net, nn.Module):
        return Function(net)
    try:
        return deepcopy(net).float().eval().requires_grad_(requires_grad=False)
    except Exception as error:
        raise RatherError("MODEL-COPY", why=brief(error), do="Give a function that calls it") from error


def _per_channel(what: str, values: PerChannel, default: float, shape: Shape) -> Tensor:
    numbers = torch.as_tensor([default] * shape[0] if values is None else values, dtype=torch.float32).flatten()
    if len(numbers) != shape[0]:
        raise RatherError("MODEL-INPUT", where=f"{what} of {len(numbers)} channels", why=f"its images have {shape[0]}")
    return numbers.view(-1, 1, 1)
