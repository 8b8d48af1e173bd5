"""A user's net or function, cut into a body and a head that gives logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, final

import torch
from torch import Tensor, nn

from rather.classifiers.checks import check_finite, check_steady, check_weights, noise, run
from rather.classifiers.copies import frozen_copy
from rather.classifiers.inputs import Inputs
from rather.classifiers.outputs import OneByOne, OneTensor, check_output, finish, key_of, to_logits
from rather.classifiers.split import split
from rather.config.errors import RatherError
from rather.config.output import Output

_PROBES: Final = 3  # images of noise; one alone, or two, would hide what depends on the batch


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
    inputs: Inputs,
    classes: Sequence[str] | None,
    output: Output,
    layer: str | None,
    name: str,
) -> Wrapped:
    """A copy of a net whose head gives logits; the net itself stays as it is. See `core.Classifier`."""
    check_output(output)
    net = frozen_copy(net)
    check_weights(net)
    device = next((tensor.device for tensor in net.state_dict().values()), torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):  # a net that draws random numbers must not change the caller's
        x = inputs.net_input(noise(_PROBES, inputs.shape)).to(device)
        returned, alone = _asked(net, x)
        key = key_of(returned)
        root: nn.Module = OneByOne(OneTensor(net, key)) if alone else OneTensor(net, key)
        numbers = run(root, x) if alone else returned if key is None else returned[key]
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


def _asked(net: nn.Module, x: Tensor) -> tuple[Any, bool]:
    """What a net returns for a batch; or for one image, and True, if it takes no batch or the memory holds none."""
    try:
        returned = run(net, x)
    except RatherError as error:
        with suppress(RatherError):
            return run(net, x[:1]), True
        raise error from None
    alone = isinstance(returned, Tensor) and returned.ndim > 0 and len(returned) == 1
    return (run(net, x[:1]), True) if alone else (returned, False)
