"""Cut a net at a layer: a body that gives a map of features, and a head that makes the net's output of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, final

import torch
from torch import Tensor, fx, nn

from rather.classifiers.checks import CLOSE, difference, run
from rather.classifiers.outputs import OneTensor, key_of
from rather.classifiers.tracing import Trace, function_name, module_of, trace
from rather.config.errors import RatherError

#: Functions of torch and methods of tensors, as the layer that does the same and takes their other arguments.
_LAYERS: Final[dict[str, type[nn.Module]]] = {
    "max_pool2d": nn.MaxPool2d,
    "avg_pool2d": nn.AvgPool2d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "softmax": nn.Softmax,
    "log_softmax": nn.LogSoftmax,
}
_NOT_OF_THE_LAYER: Final = {"inplace", "_stacklevel", "dtype"}
_NOTHING: Final = {nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout}  # in evaluation


def split(net: nn.Module, layer: str | None = None, *, example: Tensor) -> tuple[nn.Module, nn.Module]:
    """Body and head with `head(body(x)) == net(x)`; each is an `nn.Sequential` if it is a chain of layers.

    Of a layer that is called several times, the last output counts. Layers that do nothing in evaluation mode
    are left out of chains, and the net's own modules are shared, not copied.

    Args:
        net: in evaluation mode.
        layer: a module's name, as in `net.named_modules()`, that gives a map (b, d, u, v). None takes the
            last map of more than one cell that all of the output goes through, before any adaptive pooling;
            a net without one, or whose code cannot be traced, stays uncut: its map is the image.
        example: images as the net takes them, at least two.

    Raises:
        RatherError: MODEL-LAYER if there is no such layer, if it gives no map, if some of the output goes
            around it, or if the net's code cannot be traced.
    """
    root = net if isinstance(net, OneTensor) else OneTensor(net, key_of(run(net, example)))
    steps = trace(root, example)
    why = "the net's code cannot be traced"
    if steps is not None:
        node = steps.node_of(layer) if layer is not None else steps.last_map()
        (last,) = steps.output.all_input_nodes
        body, head = _part(steps, steps.image, node), _part(steps, node, last)
        features = run(body, example)
        if difference(run(head, features), steps.example) <= CLOSE:
            return body, _harmless(head, features)
        why = "the two parts together give other answers"
    if layer is not None:
        do = "" if steps else "Give it as nn.Sequential(body, head), or name no layer"
        raise RatherError("MODEL-LAYER", where=layer, why=why, do=do)
    return nn.Identity(), _harmless(root, example)


def _harmless(head: nn.Module, features: Tensor) -> nn.Module:
    """The head, with a map of its own if it writes into its input."""
    given = features.clone()
    with torch.no_grad():
        head(given)
    return head if torch.equal(given, features) else nn.Sequential(_Copy(), head)


@final
class _Copy(nn.Module):
    """The same numbers in another place."""

    def forward(self, x: Tensor) -> Tensor:
        """A clone."""
        return x.clone()


def _part(trace: Trace, start: fx.Node, end: fx.Node) -> nn.Module:
    """The steps after `start` up to `end`, as a net of their own."""
    needed = trace.steps(start, end)
    nodes = [node for node in trace.graph.nodes if node in needed]
    chain = _chain(trace, nodes, start)
    if chain is not None:
        return chain if len(chain) else nn.Identity()
    graph = fx.Graph()
    copied = {start: graph.placeholder("x")}
    for node in nodes:
        copied[node] = graph.node_copy(node, copied.__getitem__)
    graph.output(copied[end])
    return fx.GraphModule(trace.root, graph)


def _chain(trace: Trace, nodes: Sequence[fx.Node], start: fx.Node) -> nn.Sequential | None:
    """The steps after `start` as the chain of layers that they could have been written as, if they are one."""
    layers: list[nn.Module] = []
    last = start
    for node in nodes:
        if node not in trace.shapes:
            continue  # sizes: only reshapes need them, and a reshape is recognised by its result
        if [n for n in node.all_input_nodes if n in trace.shapes] != [last] or node.args[:1] != (last,):
            return None
        step = _layers(trace, node, last)
        if step is None:
            return None
        layers += step
        last = node
    return nn.Sequential(*layers)


def _layers(trace: Trace, node: fx.Node, last: fx.Node) -> list[nn.Module] | None:
    """The layers that do what one step does: mostly one, none if it does nothing; None if that is unknown."""
    before, after = trace.shapes[last], trace.shapes[node]
    name = function_name(node)
    if name in {"flatten", "reshape", "view", "squeeze"}:
        if before != after and after != (before[0], math.prod(before[1:])):
            return None
        return [nn.Flatten()] if before != after else []
    if name == "mean":
        dims: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
        if len(before) != 4 or not isinstance(dims, Sequence) or {dim % 4 for dim in dims} != {2, 3}:  # noqa: PLR2004
            return None
        return [nn.AdaptiveAvgPool2d(1)] + [nn.Flatten()] * (len(after) < len(before))
    layer = _layer(trace, node, name)
    if type(layer) is nn.ReLU:  # a chain may begin anywhere: one in place would change its caller's map
        layer = nn.ReLU()
    idle = type(layer) in _NOTHING and layer is not None and not layer.training
    if idle or (isinstance(layer, nn.AdaptiveAvgPool2d) and before == after):
        return []
    return None if layer is None else [layer]


def _layer(trace: Trace, node: fx.Node, name: str) -> nn.Module | None:
    """The layer that a step calls, or that does the same as the function that it calls."""
    if node.op == "call_module":
        return module_of(node, trace.root) if len(node.args) == 1 and not node.kwargs else None
    if name == "dropout" and node.kwargs.get("training") is False:
        return nn.Identity().eval()
    computed = len(node.all_input_nodes) > 1  # a size among its arguments
    if name not in _LAYERS or computed or node.kwargs.get("dtype") is not None:
        return None
    return _LAYERS[name](*node.args[1:], **{k: v for k, v in node.kwargs.items() if k not in _NOT_OF_THE_LAYER})
