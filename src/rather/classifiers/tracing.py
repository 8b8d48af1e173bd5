"""A net's code as steps from the image to its answer, and where it can be cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from rather.classifiers.answers import Asked, Plain
from rather.classifiers.chain import as_sequential
from rather.classifiers.preflight import CLOSE, ask, difference
from rather.config.errors import RatherError, did_you_mean

_MAP: Final = 4  # dimensions of a map: b, d, u, v
_NET: Final = "net"  # where `Asked` keeps the net


@final
class Tracer(fx.Tracer):
    """Follows a net's code, and remembers which step gave each module's answer.

    Args:
        fine: look into all modules but torch's own; else into `nn.Sequential` and the net itself only.
    """

    def __init__(self, *, fine: bool) -> None:
        super().__init__()
        self.fine = fine
        self.answers: dict[str, fx.Node] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether not to look into it."""
        if self.fine or module_qualified_name == _NET:
            return super().is_leaf_module(m, module_qualified_name)
        return not isinstance(m, nn.Sequential)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Follows it, and remembers."""
        answer = super().call_module(m, forward, args, kwargs)
        path = self.path_of_module(m)
        if isinstance(answer, fx.Proxy) and path != _NET:
            self.answers[path.removeprefix(f"{_NET}.")] = answer.node
        return answer


@final
class _Shapes(fx.Interpreter):
    """Runs a traced net, and remembers the shape of each tensor."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor) and n.op != "output":
            self.shapes[n] = tuple(result.shape)
        return result


def trace(root: Asked, example: Tensor) -> Trace | None:
    """The net's steps, seen as finely as its code allows; None if they cannot be followed."""
    if isinstance(root.net, Plain):
        return None
    answer = ask(root, example)
    for fine in (True, False):
        tracer = Tracer(fine=fine)
        try:
            graph = tracer.trace(root)
            steps = _Shapes(fx.GraphModule(root, graph))
            with torch.no_grad():
                again = steps.run(example.clone())
        except Exception:  # noqa: BLE001, S112 - somebody's code, and what tracing makes of it, may raise anything
            continue
        if difference(again, answer) < CLOSE:
            return Trace(root, graph, tracer.answers, steps.shapes, answer)
    return None


@final
@dataclass(frozen=True, eq=False)
class Trace:
    """A net as steps from the image to its answer."""

    root: nn.Module
    graph: fx.Graph
    answers: Mapping[str, fx.Node]  # of each module, its last
    shapes: Mapping[fx.Node, tuple[int, ...]]
    answer: Tensor

    @property
    def image(self) -> fx.Node:
        """The first step: what the net is given."""
        first: fx.Node = next(iter(self.graph.nodes))
        return first

    @property
    def output(self) -> fx.Node:
        """The last step: what it gives back."""
        last: fx.Node = next(reversed(self.graph.nodes))
        return last

    def node_of(self, layer: str) -> fx.Node:
        """The step that gives a layer's map, which all of the answer goes through."""
        node = self.answers.get(layer)
        if node is not None and self.is_map(node) and node in self.necks:
            return node
        place = {node: n for n, node in enumerate(self.graph.nodes)}
        usable = [name for name, other in self.answers.items() if self.is_map(other) and other in self.necks]
        if node is None:
            raise RatherError("MODEL-LAYER", where=layer, why="no such layer", do=did_you_mean(layer, usable))
        usable.sort(key=lambda name: abs(place[self.answers[name]] - place[node]))
        raise RatherError(
            "MODEL-LAYER",
            where=layer,
            why="some of the answer goes around it, by a skip connection"
            if self.is_map(node)
            else f"it gives {len(self.shapes.get(node, ()))} dimensions, not a map (b, d, u, v)",
            do="Take " + " or ".join(usable[:3]) if usable else "Name no layer",
        )

    def last_map(self) -> fx.Node:
        """The last map of several cells before the pooling; the image, if there is none."""
        last = self.image
        for node in self.graph.nodes:
            if node in self.necks:
                if self.is_pool(node):  # what it gives may be copies of cells, and no places of the image
                    break
                if self.is_map(node) and math.prod(self.shapes[node][2:]) > 1:
                    last = node
        return last

    @cached_property
    def necks(self) -> set[fx.Node]:
        """The steps that all of the answer goes through, the image among them."""
        needed = self.steps(self.image, self.output) | {self.image}
        of_image = {self.image}
        for node in self.graph.nodes:
            if not of_image.isdisjoint(node.all_input_nodes):
                of_image.add(node)
        place = {node: n for n, node in enumerate(self.graph.nodes) if node in needed & of_image}
        found, reach = set(), 0  # up to where the steps so far are needed
        for node, here in place.items():
            if reach <= here:
                found.add(node)
            reach = max([reach, *(place[user] for user in node.users if user in place)])
        return found

    def is_map(self, node: fx.Node) -> bool:
        """Whether it gives (b, d, u, v)."""
        return len(self.shapes.get(node, ())) == _MAP and self.shapes[node][0] == len(self.answer)

    def is_pool(self, node: fx.Node) -> bool:
        """Whether it pools to a size of its own, whatever the map's."""
        if node.op == "call_module":
            module = self.root.get_submodule(str(node.target))
            return isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d)
        return node.target in {F.adaptive_avg_pool2d, F.adaptive_max_pool2d}

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

    def cut(self, node: fx.Node) -> tuple[nn.Module, nn.Module]:
        """Body and head, before and after a step's map."""
        (last,) = self.output.all_input_nodes
        return self.part(self.image, node), self.part(node, last)

    def part(self, start: fx.Node, end: fx.Node) -> nn.Module:
        """The steps after `start` up to `end`, as a net of their own."""
        needed = self.steps(start, end)
        nodes = [node for node in self.graph.nodes if node in needed]
        chain = as_sequential(nodes, start, self.shapes, self.root)
        if chain is not None:
            return chain if len(chain) else nn.Identity()
        graph = fx.Graph()
        copied = {start: graph.placeholder("x")}
        for node in nodes:
            copied[node] = graph.node_copy(node, copied.__getitem__)
        graph.output(copied[end])
        return fx.GraphModule(self.root, graph)
