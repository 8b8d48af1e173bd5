"""Follow a net's code by torch.fx: its steps, those that all of the output goes through, and parts between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import torch
from torch import Tensor, fx, nn

from rather.classifiers.checks import CLOSE, difference, run
from rather.classifiers.maps import FromMap, Layout, ToMap, layout_of
from rather.classifiers.outputs import Function, OneTensor
from rather.config.errors import RatherError, did_you_mean

_NET: Final = "net"  # where `OneTensor` keeps the net
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


@final
class _Tracer(fx.Tracer):
    """Follows a net's code, and remembers which step gives each module's output.

    Args:
        fine: look into all modules but torch's own; else only into `nn.Sequential` and the net itself.
    """

    def __init__(self, *, fine: bool) -> None:
        super().__init__()
        self.fine = fine
        self.outputs: dict[str, fx.Node] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if self.fine or module_qualified_name == _NET:
            return super().is_leaf_module(m, module_qualified_name)
        return not isinstance(m, nn.Sequential)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        output = super().call_module(m, forward, args, kwargs)
        path = self.path_of_module(m)
        if isinstance(output, fx.Proxy) and path != _NET:
            self.outputs[path.removeprefix(f"{_NET}.")] = output.node
        return output


@final
class _Shapes(fx.Interpreter):
    """Runs a traced net, and remembers the shape of each tensor; `ShapeProp` prints where code fails."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor) and n.op != "output":
            self.shapes[n] = tuple(result.shape)
        return result


def trace(root: OneTensor, example: Tensor) -> Trace | None:
    """The net's steps, as fine as its code allows; None if the code cannot be traced."""
    if isinstance(root.net, Function):
        return None
    output = run(root, example)
    for fine in (True, False):
        tracer = _Tracer(fine=fine)
        try:
            graph = tracer.trace(root)
            steps = _Shapes(fx.GraphModule(root, graph))
            with torch.no_grad():
                again = steps.run(example.clone())
        except Exception:  # noqa: BLE001, S112 - a user's code may raise anything while it is traced
            continue
        if difference(again, output) < CLOSE:
            count = _sizes_of_the_count(graph, steps.shapes, len(example))
            return Trace(root, graph, count, tracer.outputs, steps.shapes, output, _height_width(example), fine)
    return None


def _height_width(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


def _sizes_of_the_count(graph: fx.Graph, shapes: Mapping[fx.Node, tuple[int, ...]], rows: int) -> fx.Node:
    """Makes sizes depend on the number of images and on nothing else; the step that gives that number.

    Code that asks an early tensor for its size would otherwise seem to pass the image on to where it needs the size.
    """
    image = next(iter(graph.nodes))
    with graph.inserting_after(image):
        count = graph.call_method("size", (image, 0))
    for node in list(graph.nodes):
        shape = shapes.get(node.args[0]) if node.args and isinstance(node.args[0], fx.Node) else None
        if node is count or shape is None or shape[:1] != (rows,):
            continue
        sizes: Any = (count, *shape[1:])
        if (node.op, node.target) == ("call_method", "size"):
            dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
            sizes = sizes if dim is None else sizes[dim]
        elif node.target is not getattr or node.args[1] != "shape":
            continue
        _replace(node, sizes)
    return count


def _replace(node: fx.Node, value: Any) -> None:
    """Give the users of a step a value in its place."""
    for user in list(node.users):
        both = (user.args, user.kwargs)
        user.args, user.kwargs = fx.node.map_aggregate(both, lambda one: value if one is node else one)
    node.graph.erase_node(node)


@final
@dataclass(frozen=True, eq=False)
class Trace:
    """A net as steps from the image to its output."""

    root: nn.Module
    graph: fx.Graph
    count: fx.Node  # gives the number of images
    outputs: Mapping[str, fx.Node]  # of each module, its last
    shapes: Mapping[fx.Node, tuple[int, ...]]
    example: Tensor  # the net's output for the images that were traced
    size: tuple[int, int]  # h, w of these images
    fine: bool  # whether it knows the steps of all modules

    @property
    def image(self) -> fx.Node:
        """The first step: the net's input."""
        first: fx.Node = next(iter(self.graph.nodes))
        return first

    @property
    def output(self) -> fx.Node:
        """The last step: what the net returns."""
        last: fx.Node = next(reversed(self.graph.nodes))
        return last

    def cut(self, node: fx.Node) -> tuple[nn.Module, nn.Module]:
        """The steps up to one that gives a map, and those after it."""
        (last,) = self.output.all_input_nodes
        body, head = _part(self, self.image, node), _part(self, node, last)
        layout = self.layout(node)
        if layout is None or layout.order == "channels first":
            return body, head
        layers = head if isinstance(head, nn.Sequential) else [head]
        return nn.Sequential(body, ToMap(layout)), nn.Sequential(FromMap(layout), *layers)

    def node_of(self, layer: str) -> fx.Node:
        """The step that gives a layer's map, if all of the output goes through it; MODEL-LAYER otherwise."""
        node = self.outputs.get(layer)
        if node is not None and self.layout(node) and node in self.necks:
            return node
        usable = [name for name, other in self.outputs.items() if self.layout(other) and other in self.necks]
        if node is None:
            raise RatherError("MODEL-LAYER", where=layer, why="no such layer", do=did_you_mean(layer, usable))
        place = {node: n for n, node in enumerate(self.graph.nodes)}
        usable.sort(key=lambda name: abs(place[self.outputs[name]] - place[node]))
        why = f"it gives {len(self.shapes.get(node, ()))} dimensions, not a map (b, d, u, v)"
        if self.layout(node):
            why = "some of the answer goes around it, by a skip connection"
        do = "Take " + " or ".join(usable[:3]) if usable else "Name no layer"
        raise RatherError("MODEL-LAYER", where=layer, why=why, do=do)

    def maps(self) -> list[fx.Node]:
        """The steps that all of the output goes through and that give a map of several cells, the last first."""
        found: list[fx.Node] = []
        for node in self.graph.nodes:
            if node in self.necks:
                if self._is_pool(node):  # its output may be copies of cells, and no places of the image
                    break
                layout = self.layout(node)
                if layout is not None and layout.cells > 1:
                    found.append(node)
        return found[::-1]

    def layout(self, node: fx.Node) -> Layout | None:
        """Where the cells are in what a step gives; None if that is no map."""
        shape = self.shapes.get(node, ())
        return layout_of(shape, self.size) if shape[:1] == self.example.shape[:1] else None

    @cached_property
    def necks(self) -> set[fx.Node]:
        """The steps that all of the output goes through, the image among them."""
        needed = self.steps(self.image, self.output) | {self.image}
        of_image = {self.image}
        for node in self.graph.nodes:
            if node is not self.count and not of_image.isdisjoint(node.all_input_nodes):
                of_image.add(node)
        place = {node: n for n, node in enumerate(node for node in self.graph.nodes if node in needed & of_image)}
        necks, reach = set(), 0  # up to where the steps so far are needed
        for node, n in place.items():
            if reach <= n:
                necks.add(node)
            reach = max([reach, *(place[user] for user in node.users if user in place)])
        return necks

    def steps(self, start: fx.Node, end: fx.Node) -> set[fx.Node]:
        """The steps that `end` needs, itself among them, once `start` and the number of images are given."""
        needed: set[fx.Node] = set()
        ahead = [end]
        while ahead:
            node = ahead.pop()
            if node not in (start, self.count) and node not in needed:
                needed.add(node)
                ahead += node.all_input_nodes
        return needed

    def _is_pool(self, node: fx.Node) -> bool:
        """Whether it pools to a size of its own, whatever the map's."""
        if node.op == "call_module":
            return isinstance(module_of(node, self.root), nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d)
        return function_name(node) in {"adaptive_avg_pool2d", "adaptive_max_pool2d"}


def module_of(node: fx.Node, root: nn.Module) -> nn.Module:
    """The module that a step calls."""
    return root.get_submodule(str(node.target))


def function_name(node: fx.Node) -> str:
    """The name of the method of a tensor, or of the function of torch, that a step calls; empty if it is neither."""
    if node.op == "call_function" and str(getattr(node.target, "__module__", "")).startswith("torch"):
        return str(getattr(node.target, "__name__", ""))
    return str(node.target) if node.op == "call_method" else ""


def _part(trace: Trace, start: fx.Node, end: fx.Node) -> nn.Module:
    """The steps after `start` up to `end`, as a net of their own."""
    needed = trace.steps(start, end)
    nodes = [node for node in trace.graph.nodes if node in needed]
    chain = _chain(trace, nodes, start)
    if chain is not None:
        return chain if len(chain) else nn.Identity()
    graph = fx.Graph()
    first = graph.placeholder("x")
    copied = {start: first}
    if any(trace.count in node.all_input_nodes for node in nodes):
        copied[trace.count] = graph.call_method("size", (first, 0))
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
