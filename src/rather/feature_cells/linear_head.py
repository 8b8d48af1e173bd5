"""Heads whose first layer with weights is linear, recognised by their structure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

_IDLE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)  # in evaluation
_POOLS = (nn.AdaptiveAvgPool2d, nn.AvgPool2d)
_ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh)


@final
@dataclass(frozen=True)
class LinearHead:
    """A head as what each cell adds to its first linear layer, and the layers after that one."""

    weight: Float[Tensor, "m n_or_1 d"]  # 1 where it is the same for all cells
    bias: Float[Tensor, " m"]
    rest: nn.Sequential

    @property
    def pooled(self) -> bool:
        """All of the head is one linear layer, and all cells are alike to it."""
        return self.weight.shape[1] == 1 and not len(self.rest)

    @property
    def width(self) -> int:
        """Of the widest of the layers after the first."""
        return max([layer.out_features for layer in self.rest if isinstance(layer, nn.Linear)], default=1)

    @cached_property
    def second(self) -> tuple[Float[Tensor, "m m2"], Float[Tensor, " m2"] | None] | None:
        """Weights, a unit of the first layer a row, and bias of the next layer, if a ReLU is between them."""
        match list(self.rest):
            case [nn.ReLU(), nn.Linear() as linear, *_]:
                return linear.weight.T.contiguous(), linear.bias
            case _:
                return None


def linear_head(head: nn.Module, shape: tuple[int, int, int]) -> LinearHead | None:
    """The head in that form, average pools folded into its weights; None if it has another structure.

    It must be made of nested `Sequential`s of average pools or none, `Flatten`, `Linear`, and then linear
    layers and elementwise activations. Dropout in evaluation does nothing; a hook could do anything.

    Args:
        head: maps (b, d, u, v) to logits.
        shape: (d, u, v).
    """
    if any(part._forward_hooks or part._forward_pre_hooks for part in head.modules()):  # noqa: SLF001 - no getter
        return None
    layers = _layers(head)
    pools = list(takewhile(lambda layer: type(layer) in _POOLS, layers))
    match layers[len(pools) :]:
        case [nn.Flatten(start_dim=1, end_dim=-1), nn.Linear() as linear, *rest]:
            pass
        case _:
            return None
    if any(type(layer) not in (nn.Linear, *_ELEMENTWISE) for layer in (linear, *rest)):
        return None
    d, u, v = shape
    each = torch.eye(u * v).to(linear.weight)
    share = nn.Sequential(*pools)(each.view(-1, 1, u, v)).flatten(1)  # (n, p): of each cell in each pool
    weight = linear.weight.detach().unflatten(1, (d, -1))
    if share.shape[1] == 1 and (share == share[0]).all():
        weight = weight.mT * share[0]
    elif torch.equal(share, each):
        weight = weight.mT
    else:
        weight = torch.einsum("mdp,np->mnd", weight, share)
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach()
    inplace = [nn.ReLU(inplace=True) if type(layer) is nn.ReLU else layer for layer in rest]
    return LinearHead(weight.contiguous(), bias, nn.Sequential(*inplace))


def _layers(module: nn.Module) -> list[nn.Module]:
    """The layers of nested Sequentials in order, without those that do nothing."""
    if type(module) is nn.Sequential:
        return [layer for part in module for layer in _layers(part)]
    return [] if type(module) in _IDLE and not module.training else [module]
