"""Cut a net whose code cannot be followed: it runs as a whole, and a map is put in place of what a layer gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast, final

import torch
from torch import Tensor, nn
from torch.utils import _pytree as trees

from rather.classifiers.checks import run
from rather.classifiers.maps import FromMap, Layout, ToMap

_NET: Final = "net."  # how names of the modules of a `OneTensor` begin
_PLAIN: Final = (int, float, str, type(None))


@final
class HookedBody(nn.Module):
    """The map that a layer inside a net gives; of several calls of the layer, the last one's."""

    def __init__(self, net: nn.Module, layer: str, layout: Layout) -> None:
        super().__init__()
        self._net = (net,)  # a tuple: the head has it as a module, and once is enough
        self.layer, self.to_map = layer, ToMap(layout)

    def forward(self, x: Tensor) -> Tensor:
        """(b, d, u, v) of images."""
        (net,), given = self._net, list[Any]()
        with net.get_submodule(_NET + self.layer).register_forward_hook(lambda _m, _i, output: given.append(output)):
            net(x)
        return cast("Tensor", self.to_map(tensor_of(given[-1])))

    def extra_repr(self) -> str:
        """Nets that differ in it have different fingerprints."""
        return f"layer={self.layer!r}"


@final
class HookedHead(nn.Module):
    """What a net makes of a layer's map, in place of what the layer would have given.

    Args:
        net: in evaluation mode.
        layer: its name.
        layout: of its output.
        image: (1, c, h, w), on which the net runs; nothing of it may reach the answer.
        calls: how often the layer is called; the last call's output is replaced.
        idle: outputs of modules that only this layer needs, so that they need not run again.
    """

    def __init__(
        self, net: nn.Module, layer: str, layout: Layout, *, image: Tensor, calls: int, idle: Mapping[str, Output]
    ) -> None:
        super().__init__()
        self.net, self.layer, self.from_map = net, layer, FromMap(layout)
        self.calls, self.idle = calls, dict(idle)
        self.register_buffer("image", image, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """The net's answers for maps (b, d, u, v)."""
        given, left = self.from_map(maps), self.calls

        def replaced(_module: nn.Module, _inputs: object, output: object) -> object:
            nonlocal left
            left -= 1
            return output if left else _with_tensor(output, given)

        with ExitStack() as stack:
            stack.enter_context(self.net.get_submodule(_NET + self.layer).register_forward_hook(replaced))
            for name, output in self.idle.items():
                stack.enter_context(_answering(self.net.get_submodule(_NET + name), output.times(len(maps), maps)))
            return cast("Tensor", self.net(self.get_buffer("image").expand(len(maps), -1, -1, -1).clone()))

    def extra_repr(self) -> str:
        """Nets that differ in it have different fingerprints."""
        return f"layer={self.layer!r}"


@contextmanager
def _answering(module: nn.Module, output: object) -> Iterator[None]:
    """Within it, a module answers at once."""
    own = {name: value for name, value in module.__dict__.items() if name == "forward"}
    module.__dict__["forward"] = lambda *_arguments, **_options: output
    try:
        yield
    finally:
        del module.__dict__["forward"]
        module.__dict__.update(own)


def tensor_of(output: object) -> Tensor | None:
    """What a layer gives: a tensor, or the first of several values."""
    first = output[0] if isinstance(output, tuple | list) and output else output
    return first if isinstance(first, Tensor) else None


def _with_tensor(output: object, tensor: Tensor) -> object:
    """The same as a layer gives, with another tensor."""
    if isinstance(output, tuple | list):
        rest = [tensor, *output[1:]]
        return type(output)(*rest) if hasattr(output, "_fields") else type(output)(rest)
    return tensor


@final
@dataclass(frozen=True, eq=False)
class Output:
    """What a module gives for one image, and which sizes of it are the number of images."""

    values: list[Any]
    grows: list[tuple[bool, ...]]
    form: trees.TreeSpec

    @staticmethod
    def of(one: object, two: object) -> Output | None:
        """From what it gives for one image and for two; None if the latter says too little."""
        (values, form), (others, same) = trees.tree_flatten(one), trees.tree_flatten(two)
        if form != same:
            return None
        grows = []
        for value, other in zip(values, others, strict=True):
            tensors = isinstance(value, Tensor) and isinstance(other, Tensor)
            if not tensors and not (isinstance(value, _PLAIN) and value == other):
                return None
            sizes = list(zip(value.shape, other.shape, strict=False)) if tensors else []
            if any(n not in {m, 2 * m} for m, n in sizes) or (tensors and value.ndim != other.ndim):
                return None
            grows.append(tuple(n != m for m, n in sizes))
        return Output(values, grows, form)

    def times(self, count: int, like: Tensor) -> object:
        """For so many images, all alike, on the device of a tensor and of its kind."""
        values = list(self.values)
        for n, (value, grows) in enumerate(zip(self.values, self.grows, strict=True)):
            if isinstance(value, Tensor):
                whole = value.to(like) if value.is_floating_point() else value.to(like.device)
                values[n] = whole.repeat([count if grow else 1 for grow in grows])
        return trees.tree_unflatten(values, self.form)


@final
@dataclass(frozen=True, eq=False)
class Seen:
    """What the modules of a net did while it ran on one image; the order is that in which they ended."""

    calls: Mapping[str, int]
    shapes: Mapping[str, tuple[int, ...]]  # of the tensor that each gave, if it gave one
    outputs: Mapping[str, Output]

    def idle(self, layer: str) -> dict[str, Output]:
        """The layer and the outermost modules that had ended before; each only if it was called once."""
        order = list(self.calls)
        done = [
            name
            for name in order[: order.index(layer) + 1]
            if name in self.outputs and self.calls[name] == 1 and not layer.startswith(f"{name}.")
        ]
        return {name: self.outputs[name] for name in done if not any(name.startswith(f"{other}.") for other in done)}

    def near(self, layer: str) -> list[str]:
        """The layers, the nearest first."""
        place = {name: n for n, name in enumerate(self.calls)}
        return sorted(self.shapes, key=lambda name: abs(place[name] - place.get(layer, 0)))


@torch.no_grad()
def see(net: nn.Module, x: Tensor) -> Seen:
    """Run a net on one image, and on two to see which sizes are their number."""
    one = _calls(net, x[:1])
    two = {name: given for name, (_, given) in _calls(net, x[:2], shapes_only=True).items()}
    tensors = {name: tensor_of(given) for name, (_, given) in one.items()}
    outputs = {name: Output.of(given, two[name]) for name, (_, given) in one.items() if name in two}
    return Seen(
        calls={name: count for name, (count, _) in one.items()},
        shapes={name: tuple(tensor.shape) for name, tensor in tensors.items() if tensor is not None},
        outputs={name: output for name, output in outputs.items() if output is not None},
    )


def _calls(net: nn.Module, x: Tensor, *, shapes_only: bool = False) -> dict[str, tuple[int, Any]]:
    """How often each module is called, and what it gives last; in the order in which their last calls end."""
    calls: dict[str, tuple[int, Any]] = {}

    def note(name: str, output: object) -> None:
        given = trees.tree_map_only(Tensor, lambda tensor: tensor.to("meta"), output) if shapes_only else output
        calls[name] = (calls.pop(name, (0, None))[0] + 1, given)

    with ExitStack() as stack:
        for name, module in net.get_submodule(_NET[:-1]).named_modules():
            if name:
                hook = module.register_forward_hook(lambda _m, _i, output, name=name: note(name, output))
                stack.enter_context(hook)
        run(net, x)
    return calls
