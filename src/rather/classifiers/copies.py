"""A frozen copy of a user's net: a module, a program of TorchScript or torch.export, or a function."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, final

import torch
from torch import Tensor, fx, nn

from rather.classifiers.outputs import Function, key_of
from rather.config.errors import RatherError, brief


def frozen_copy(net: object) -> nn.Module:
    """A copy in evaluation mode and float32, whose numbers need no gradient; a function stays what it is.

    Raises:
        RatherError: MODEL-COPY.
    """
    if type(net).__name__ == "ExportedProgram":
        net = net.module()  # type: ignore[attr-defined]
    if isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel):
        net = net.module
    if not isinstance(net, nn.Module):
        if callable(net):
            return Function(net)
        do = "Give a net, or a function of a batch of images"
        raise RatherError("MODEL-COPY", where=type(net).__name__, why="it cannot be called", do=do)
    try:
        with torch.no_grad():  # else the copied tensors of TorchScript would be results of the others
            copied = deepcopy(net)
        if isinstance(copied, fx.GraphModule):
            for name in ("train", "eval"):  # an exported program refuses them; its mode is part of it
                vars(copied).pop(name, None)
        copied.float().eval()
        for parameter in copied.parameters():
            parameter.requires_grad_(False)
    except Exception as error:
        raise RatherError("MODEL-COPY", why=brief(error), do="Give a function that calls it") from error
    size = exported_batch(copied)
    return copied if size is None else FixedBatch(copied, size)


def exported_batch(net: nn.Module) -> int | None:
    """How many images a program of torch.export takes at a time, if it takes no other number."""
    shape = exported_shape(net)
    return shape[0] if shape and isinstance(shape[0], int) else None


def exported_shape(net: nn.Module) -> tuple[Any, ...] | None:
    """The shape of the images that a program of torch.export takes; a size that may vary is no `int`."""
    if not isinstance(net, fx.GraphModule):
        return None
    inputs = [node.meta["val"] for node in net.graph.nodes if node.op == "placeholder" and "val" in node.meta]
    return tuple(inputs[0].shape) if len(inputs) == 1 and isinstance(inputs[0], Tensor) else None


@final
class FixedBatch(nn.Module):
    """A net that takes `size` images at a time, and no other number, as one that takes any number.

    The last batch is filled up with copies of its last image.
    """

    def __init__(self, net: nn.Module, size: int) -> None:
        super().__init__()
        self.net, self.size = net, size

    def forward(self, x: Tensor) -> Tensor:
        """One tensor of what the net returns, as `outputs.key_of` chooses it."""
        return torch.cat([self._answer(part) for part in x.split(self.size)])

    def _answer(self, part: Tensor) -> Tensor:
        missing = self.size - len(part)
        returned: Any = self.net(torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part)
        key = key_of(returned)
        one: Tensor = returned if key is None else returned[key]
        return one[: len(part)]

    def extra_repr(self) -> str:
        """Its size."""
        return f"size={self.size}"
