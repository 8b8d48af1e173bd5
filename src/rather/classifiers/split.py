"""Cut a net at a layer: a body that gives a map of features, and a head that gives the answer of it."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from rather.classifiers.answers import Asked, key_of
from rather.classifiers.preflight import CLOSE, ask, difference
from rather.classifiers.tracing import trace
from rather.config.errors import RatherError


def split(net: nn.Module, layer: str | None = None, *, example: Tensor) -> tuple[nn.Module, nn.Module]:
    """Body and head with `head(body(x)) == net(x)`; each is an `nn.Sequential` if it is a chain of layers.

    What a layer gives is what its last call gives. Layers that do nothing in evaluation mode are left out of
    chains, and the net's own modules are shared, not copied.

    Args:
        net: in evaluation mode.
        layer: a module's name, as in `net.named_modules()`, that gives a map (b, d, u, v). None takes the
            last map of more than one cell that all of the answer goes through, before any adaptive pooling;
            a net without one, or whose code cannot be traced, is left uncut: its map is the image.
        example: images as the net takes them, at least two.

    Raises:
        RatherError: MODEL-LAYER if there is no such layer, if it gives no map, if some of the answer goes
            around it, or if the net's code cannot be traced.
    """
    root = net if isinstance(net, Asked) else Asked(net, key_of(ask(net, example)))
    steps = trace(root, example)
    if steps is None:
        if layer is not None:
            raise RatherError(
                "MODEL-LAYER",
                where=layer,
                why="the net's code cannot be traced",
                do="Bring it as nn.Sequential(body, head), or name no layer",
            )
        return nn.Identity(), _harmless(root, example)
    body, head = steps.cut(steps.node_of(layer) if layer is not None else steps.last_map())
    features = ask(body, example)
    if difference(ask(head, features), steps.answer) > CLOSE:
        if layer is not None:
            raise RatherError("MODEL-LAYER", where=layer, why="the two parts together give other answers")
        return nn.Identity(), _harmless(root, example)
    return body, _harmless(head, features)


def _harmless(head: nn.Module, features: Tensor) -> nn.Module:
    """The head, with a map of its own if it writes into the one it is given."""
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
