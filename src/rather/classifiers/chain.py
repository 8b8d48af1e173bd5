"""A traced net that is a plain chain of layers, as the `nn.Sequential` that it could have been written as."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import fx, nn
from torch.nn import functional as F

Shape = tuple[int, ...]
#: What each step of a net gave when it was tried: the shape of its tensor. Steps without one give no tensor.
Shapes = Mapping[fx.Node, Shape]

#: Functions and methods of a tensor, as the layer that does the same and is made with their other arguments.
_LAYERS: Final[dict[Any, type[nn.Module]]] = {
    F.max_pool2d: nn.MaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    F.relu: nn.ReLU,
    torch.relu: nn.ReLU,
    "relu": nn.ReLU,
    F.sigmoid: nn.Sigmoid,
    torch.sigmoid: nn.Sigmoid,
    "sigmoid": nn.Sigmoid,
    F.softmax: nn.Softmax,
    torch.softmax: nn.Softmax,
    "softmax": nn.Softmax,
    F.log_softmax: nn.LogSoftmax,
    torch.log_softmax: nn.LogSoftmax,
    "log_softmax": nn.LogSoftmax,
}
_NOT_OF_THE_LAYER: Final = {"inplace", "_stacklevel", "dtype"}
_RESHAPES: Final = {torch.flatten, torch.reshape, torch.squeeze, "flatten", "reshape", "view", "squeeze"}
_MEANS: Final = {torch.mean, "mean"}
_NOTHING: Final = {nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout}  # in evaluation


def as_sequential(nodes: Sequence[fx.Node], start: fx.Node, shapes: Shapes, net: nn.Module) -> nn.Sequential | None:
    """The steps after `start` as a chain of layers, or None if they are not one.

    Args:
        nodes: the steps in order, without `start`.
        start: what the first step is given.
        shapes: of all tensors.
        net: holds the modules that the steps call.
    """
    layers: list[nn.Module] = []
    last = start
    for node in nodes:
        if node not in shapes:
            continue  # sizes: they matter only to reshapes, which are told by what they do
        if [n for n in node.all_input_nodes if n in shapes] != [last] or node.args[:1] != (last,):
            return None
        step = _layers(node, shapes[last], shapes[node], net)
        if step is None:
            return None
        layers += step
        last = node
    return nn.Sequential(*layers)


def _layers(node: fx.Node, before: Shape, after: Shape, net: nn.Module) -> list[nn.Module] | None:
    """The layers that do what one step does: mostly one, none if it does nothing; None if nobody knows."""
    if node.target in _RESHAPES:
        return _reshape(before, after)
    if node.target in _MEANS:
        return _mean(node, before, after)
    layer = _called(node, net) if node.op == "call_module" else _function(node)
    if layer is None:
        return None
    idle = type(layer) in _NOTHING and not layer.training
    if idle or (isinstance(layer, nn.AdaptiveAvgPool2d) and before == after):
        return []
    # A chain may begin anywhere, and a layer that writes into what it is given would change its caller's map.
    return [nn.ReLU()] if type(layer) is nn.ReLU else [layer]


def _called(node: fx.Node, net: nn.Module) -> nn.Module | None:
    return net.get_submodule(str(node.target)) if len(node.args) == 1 and not node.kwargs else None


def _function(node: fx.Node) -> nn.Module | None:
    if node.target is F.dropout and node.kwargs.get("training") is False:
        return nn.Identity().eval()
    layer = _LAYERS.get(node.target)
    computed = len(node.all_input_nodes) > 1  # a size among its arguments
    if layer is None or computed or node.kwargs.get("dtype") is not None:
        return None
    return layer(*node.args[1:], **{k: v for k, v in node.kwargs.items() if k not in _NOT_OF_THE_LAYER})


def _reshape(before: Shape, after: Shape) -> list[nn.Module] | None:
    if before == after:
        return []
    return [nn.Flatten()] if after == (before[0], math.prod(before[1:])) else None


def _mean(node: fx.Node, before: Shape, after: Shape) -> list[nn.Module] | None:
    dims: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    over_map = isinstance(dims, Sequence) and {dim % 4 for dim in dims} == {2, 3}
    if len(before) != 4 or not over_map:  # noqa: PLR2004 - b, d, u, v
        return None
    pool = nn.AdaptiveAvgPool2d(1)
    return [pool] if len(after) == len(before) else [pool, nn.Flatten()]
