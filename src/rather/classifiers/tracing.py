"""A net's code as steps from the image to its output, and the steps at which it can be cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import torch
from torch import Tensor, fx, nn

from rather.classifiers.checks import CLOSE, difference, run
from rather.classifiers.outputs import Function, OneTensor
from rather.config.errors import RatherError, did_you_mean

_MAP: Final = 4  # dimensions of a map: b, d, u, v
_NET: Final = "net"  # where `OneTensor` keeps the net


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
            return Trace(root, graph, tracer.outputs, steps.shapes, output)
    return None


@final
@dataclass(frozen=True, eq=False)
class Trace:
    """A net as steps from the image to its output."""

    root: nn.Module
    graph: fx.Graph
    outputs: Mapping[str, fx.Node]  # of each module, its last
    shapes: Mapping[fx.Node, tuple[int, ...]]
    example: Tensor  # the net's output for the images that were traced

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

    def node_of(self, layer: str) -> fx.Node:
        """The step that gives a layer's map, if all of the output goes through it.

        Raises:
            RatherError: MODEL-LAYER.
        """
        node = self.outputs.get(layer)
        if node is not None and self.is_map(node) and node in self.necks:
            return node
        usable = [name for name, other in self.outputs.items() if self.is_map(other) and other in self.necks]
        if node is None:
            raise RatherError("MODEL-LAYER", where=layer, why="no such layer", do=did_you_mean(layer, usable))
        place = {node: n for n, node in enumerate(self.graph.nodes)}
        usable.sort(key=lambda name: abs(place[self.outputs[name]] - place[node]))
        why = f"it gives {len(self.shapes.get(node, ()))} dimensions, not a map (b, d, u, v)"
        if self.is_map(node):
            why = "some of the answer goes around it, by a skip connection"
        do = "Take " + " or ".join(usable[:3]) if usable else "Name no layer"
        raise RatherError("MODEL-LAYER", where=layer, why=why, do=do)

    def last_map(self) -> fx.Node:
        """The last map of several cells before the pooling; the image, if there is none."""
        last = self.image
        for node in self.graph.nodes:
            if node in self.necks:
                if self._is_pool(node):  # its output may be copies of cells, and no places of the image
                    break
                if self.is_map(node) and math.prod(self.shapes[node][2:]) > 1:
                    last = node
        return last

    @cached_property
    def necks(self) -> set[fx.Node]:
        """The steps that all of the output goes through, the image among them."""
        needed = self.steps(self.image, self.output) | {self.image}
        of_image = {self.image}
        for node in self.graph.nodes:
            if not of_image.isdisjoint(node.all_input_nodes):
                of_image.add(node)
        place = {node: n for n, node in enumerate(node for node in self.graph.nodes if node in needed & of_image)}
        necks, reach = set(), 0  # up to where the steps so far are needed
        for node, n in place.items():
            if reach <= n:
                necks.add(node)
            reach = max([reach, *(place[user] for user in node.users if user in place)])
        return necks

    def steps(self, start: fx.Node, end: fx.Node) -> set[fx.Node]:
        """The steps that `end` needs, itself among them, once `start` is given."""
        needed: set[fx.Node] = set()
        ahead = [end]
        while ahead:
            node = ahead.pop()
            if node is not start and node not in needed:
                needed.add(node)
                ahead += node.all_input_nodes
        return needed

    def is_map(self, node: fx.Node) -> bool:
        """Whether it gives (b, d, u, v)."""
        return len(self.shapes.get(node, ())) == _MAP and self.shapes[node][0] == len(self.example)

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
