"""The U-Net of `diffusers` as a module of tensors; loaded when one is made, for its import takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd
from typing import Any, final

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from rather.generators.noise_schedule import Noisy
from rather.generators.training import Shape

_SMALL = 8  # pixels a side: where going down ends
_DEEPEST = 4  # times the first width, at most


@final
class UNet(nn.Module):
    """A `diffusers.UNet2DModel`, of noisy images (b, c, h, w) and steps (b,).

    Args:
        config: what it takes.
        patch: squares of so many pixels a side are made channels first, and again pixels at the end: with 2 a
            step takes less than half the time.
    """

    def __init__(self, config: Mapping[str, Any], patch: int = 1) -> None:
        from diffusers import UNet2DModel

        super().__init__()
        self.net, self.patch = UNet2DModel(**config), patch

    def forward(self, z: Noisy, steps: Int[Tensor, " b"]) -> Float[Tensor, "b d h w"]:
        """What it says of noisy images; of some nets twice as many channels, see `Denoiser`."""
        said: Tensor = self.net(F.pixel_unshuffle(z, self.patch), steps, return_dict=False)[0]
        return F.pixel_shuffle(said, self.patch)


def small(shape: Shape, width: int, patch: int) -> UNet:
    """One residual block a side, twice as many channels at half the side, attention where it is smallest.

    Sides are halved down to 8 or fewer, as long as they are even.
    """
    c, h, w = shape[0] * patch**2, shape[1] // patch, shape[2] // patch
    channels = [width]
    while max(h, w) > _SMALL and h % 2 == 0 == w % 2:
        h, w = h // 2, w // 2
        channels.append(min(2 * channels[-1], _DEEPEST * width))
    config = {
        "sample_size": (shape[1] // patch, shape[2] // patch),
        "in_channels": c,
        "out_channels": c,
        "block_out_channels": channels,
        "down_block_types": ["DownBlock2D"] * len(channels),
        "up_block_types": ["UpBlock2D"] * len(channels),
        "layers_per_block": 1,
        "attention_head_dim": channels[-1],
        # A group of one channel would take away what the step adds to it, which is the same everywhere.
        "norm_num_groups": gcd(width, max(1, width // 4)),
    }
    return UNet(config, patch)
