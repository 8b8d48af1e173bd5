"""Upper bounds of a ReLU network's output while its first layer stays in a box: CROWN, Zhang et al. (2018).

H. Zhang, T.-W. Weng, P.-Y. Chen, C.-J. Hsieh, L. Daniel, "Efficient neural network robustness certification
with general activation functions", NeurIPS 2018. Each ReLU lies between two lines, its chord above and a line
through 0 below; backwards through the layers, every unit takes the one that makes the output larger.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def upper_line(
    layers: Sequence[nn.Linear], low: Float[Tensor, "b m"], high: Float[Tensor, "b m"], weight: Float[Tensor, "b k"]
) -> tuple[Float[Tensor, "b m"], Float[Tensor, " b"]]:
    """Slope and constant with `weight . f(h) <= slope . h + constant` for every h with low <= h <= high.

    f alternates ReLUs and linear layers; without layers f(h) = h. If no unit can change its sign within the
    box, the line equals the function.

    Args:
        layers: the linear layers of f, in order.
        low: least values of h.
        high: largest values of h.
        weight: of each output of f.
    """
    boxes = [(low, high)]
    for layer in layers[:-1]:
        least, most = (side.relu() for side in boxes[-1])
        centre, spread = layer((least + most) / 2), (most - least) / 2 @ layer.weight.abs().T
        boxes.append((centre - spread, centre + spread))
    slope, constant = weight, torch.zeros_like(low[:, 0])
    for layer, (least, most) in zip(reversed(layers), reversed(boxes), strict=False):
        constant = constant if layer.bias is None else constant + slope @ layer.bias
        slope = slope @ layer.weight
        chord = (most.relu() - least.relu()) / (most - least).clamp(min=torch.finfo(most.dtype).tiny)
        constant = constant + (slope.relu() * (least.relu() - chord * least)).sum(1)
        slope = slope * torch.where(slope > 0, chord, (most > -least).to(slope))
    return slope, constant
