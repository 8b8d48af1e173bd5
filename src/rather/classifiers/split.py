"""Cut a net at a layer: a body that gives a map of features, and a head that makes the net's output of it.

Where torch.fx can follow the net's code, each part is a net of its own. Where it cannot, the net runs as a whole and
an edited map is put in place of what a layer gives (`hooked`). Where there is no such layer, the image is the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import partial
from itertools import chain, islice
from typing import Final, final

import torch
from torch import Tensor, fx, nn

from rather.classifiers.checks import CLOSE, difference, run
from rather.classifiers.hooked import HookedBody, HookedHead, Seen, see
from rather.classifiers.maps import CELLS, Layout, layout_of, uncut
from rather.classifiers.outputs import OneTensor, key_of
from rather.classifiers.traced import Trace, trace
from rather.config.errors import RatherError

Parts = tuple[nn.Module, nn.Module]

_TRIES: Final = 60  # layers of a net whose code cannot be followed, the last first
_NAMED: Final = 3  # layers that a refusal names
#: By how much answers may differ where what goes around a layer is looked for: a part of what images change in them.
_OF_SPREAD: Final = 1e-3
_ROUNDING: Final = 1e-6
_POOLS: Final = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


def split(net: nn.Module, layer: str | None = None, *, example: Tensor) -> Parts:
    """Body and head with `head(body(x)) == net(x)`; each is an `nn.Sequential` if it is a chain of layers.

    All that the net knows of an image passes through the map. Of a layer that is called several times, the last
    output counts. Layers that do nothing in evaluation mode are left out of chains, and the net's own modules are
    shared, not copied.

    Args:
        net: in evaluation mode.
        layer: a module's name, as in `net.named_modules()`, that gives a map: (b, d, u, v), (b, u, v, d) or tokens
            (b, n, d). None takes the last one of 3 x 3 to 20 x 20 cells that all of the output goes through,
            before any adaptive pooling. If there is none, the map is a smaller or larger one, or the image, in
            patches.
        example: images as the net takes them, at least two, not alike.

    Raises:
        RatherError: MODEL-LAYER if there is no such layer, if it gives no map, or if some of the output goes
            around it.
    """
    root = net if isinstance(net, OneTensor) else OneTensor(net, key_of(run(net, example)))
    steps = trace(root, example)
    body, head = _default(root, steps, example) if layer is None else _at(root, steps, layer, example)
    return body, _harmless(head, run(body, example))


def _default(root: OneTensor, steps: Trace | None, example: Tensor) -> Parts:
    """Cut at the last map of a good size, else at one of another size, else nowhere."""
    maps = [] if steps is None else [(node, steps.layout(node)) for node in steps.maps() if node is not steps.image]
    cuts: Iterator[Parts | None] = chain(
        (_at_step(steps, node, example) for node, layout in maps if layout and layout.fits),
        _at_some_layer(root, example) if steps is None or not steps.fine else (),
        (_at_step(steps, node, example) for node, layout in maps if layout and layout.cells <= CELLS),
    )
    found = next((parts for parts in cuts if parts), None)
    if found:
        return found
    whole = steps and _at_step(steps, steps.image, example)
    return uncut(whole[1] if whole else root, _size(example))


def _at(root: OneTensor, steps: Trace | None, layer: str, example: Tensor) -> Parts:
    """Cut at a layer that is asked for."""
    if steps is not None and layer in steps.outputs:
        parts = _at_step(steps, steps.node_of(layer), example)
        if parts:
            return parts
    seen, answers = see(root, example), run(root, example)
    parts = _at_layer(root, seen, layer, example, answers)
    if parts:
        return parts
    usable = (other for other in seen.near(layer) if _at_layer(root, seen, other, example, answers))
    why = "some of the answer goes around it, by a skip connection"
    if layer not in seen.shapes:
        why = "no such layer" if seen.shapes else "its inside cannot be seen"
    elif layout_of(seen.shapes[layer], _size(example)) is None:
        why = f"it gives {len(seen.shapes[layer])} dimensions, not a map (b, d, u, v)"
    known = [*islice(usable, _NAMED)] if layer in seen.shapes else get_close_matches(layer, seen.shapes, n=_NAMED)
    do = "Take " + " or ".join(known) if known else "Name no layer"
    raise RatherError("MODEL-LAYER", where=layer, why=why, do=do)


def _at_step(steps: Trace | None, node: fx.Node, example: Tensor) -> Parts | None:
    """Cut at a step of a net that can be followed; None if its parts are not the net."""
    layout = steps and steps.layout(node)
    if steps is None or layout is None:
        return None
    parts = steps.cut(node)
    return parts if _is_exact(parts, layout, example, steps.example, CLOSE) else None


def _at_some_layer(root: OneTensor, example: Tensor) -> Iterator[Parts | None]:
    """Cut at a layer with a map of a good size, the last first, of a net that runs as a whole."""
    seen, answers = see(root, example), run(root, example)
    layouts = {layer: layout_of(shape, _size(example)) for layer, shape in reversed([*seen.shapes.items()])}
    fitting = (layer for layer, layout in layouts.items() if layout and layout.fits)
    for layer in islice(fitting, _TRIES):
        yield _at_layer(root, seen, layer, example, answers)


def _at_layer(root: OneTensor, seen: Seen, layer: str, example: Tensor, answers: Tensor) -> Parts | None:
    """Cut at a layer of a net that runs as a whole; None if there is no map, or if some of the answer goes around."""
    layout = layout_of(seen.shapes.get(layer, ()), _size(example))
    if layout is None or isinstance(root.net.get_submodule(layer), _POOLS):
        return None
    body = HookedBody(root, layer, layout)
    head = partial(HookedHead, root, layer, layout, calls=seen.calls[layer])
    image = example[:1]
    if _goes_around(head(image=image.clone().requires_grad_(), idle={}), run(body, image)):
        return None
    close = min(CLOSE, max(_ROUNDING, _OF_SPREAD * difference(answers.roll(1, 0), answers)))
    parts = ((body, head(image=image, idle=idle)) for idle in (seen.idle(layer), {}))
    return next((each for each in parts if _is_exact(each, layout, example, answers, close)), None)


def _goes_around(head: HookedHead, maps: Tensor) -> bool:
    """Whether the answer for a map has a gradient by the image on which the head runs."""
    try:
        with torch.enable_grad():
            answer = head(maps)
        wanted = answer.requires_grad and torch.autograd.grad(answer.sum(), head.get_buffer("image"), allow_unused=True)
    except Exception:  # noqa: BLE001 - a user's code may raise anything when its layer gives something else
        return True
    return bool(wanted) and wanted[0] is not None


def _is_exact(parts: Parts, layout: Layout, example: Tensor, answers: Tensor, close: float) -> bool:
    """Whether the parts together are the net, for any number of images, and whether the cells of the map matter."""
    body, head = parts
    try:
        maps = run(body, example)
        given = run(head, maps)
        same = difference(given, answers) <= close
        same = same and difference(run(head, run(body, example[:2])), answers[:2]) <= CLOSE
        return same and (not layout.special or not torch.equal(run(head, layout.other_places(maps)), given))
    except RatherError:
        return False


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


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
