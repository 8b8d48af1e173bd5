"""The nets of SEAN: a segmenter, an encoder of styles, a generator whose layers know region and style."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from rather.core import Images
from rather.generator import Shape
from rather.generators._layers import DOWN, convolved
from rather.semantic import Codes, Layout

#: Pixels a side of the cells in which the generator is told the share of each region. What is finer, styles
#: must say: else the outline of the lips would be given, and no style could turn them up or down.
COARSE: Final = 4


@final
class Segmenter(nn.Module):
    """A small U-Net: three times down by two and up again, each map joined by the one on its way down."""

    def __init__(self, channels: int, width: int, regions: int) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width, 4 * width]
        self.first = convolved(channels, width)
        self.down = nn.ModuleList(convolved(a, b, stride=2) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(convolved(a + b, b) for a, b in zip(sizes[:0:-1], sizes[-2::-1], strict=True))
        self.last = nn.Conv2d(width, regions, 1)

    def forward(self, x: Images) -> Float[Tensor, "b r h w"]:
        """The logits of each pixel's region."""
        maps: list[Tensor] = [self.first(x)]
        for layer in self.down:
            maps.append(layer(maps[-1]))
        h = maps.pop()
        for layer in self.up:
            h = layer(torch.cat([F.interpolate(h, scale_factor=2), maps.pop()], 1))
        logits: Tensor = self.last(h)
        return logits


@final
class StyleEncoder(nn.Module):
    """Features at half the image's resolution, with a view of an eighth, averaged over each region.

    The image itself is among them, and the image times each pixel's place, down and across: so the colour of
    a region and how it runs from end to end are in its style from the first step on.
    """

    def __init__(self, channels: int, width: int, size: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(convolved(channels, width, stride=2), convolved(width, 2 * width))
        self.coarse = nn.Sequential(
            convolved(2 * width, 2 * width, stride=2), convolved(2 * width, 4 * width, stride=2)
        )
        self.both = convolved(6 * width, 2 * width)
        self.style = nn.Conv2d(2 * width + 3 * channels, size, 1)

    def forward(self, x: Images, layout: Layout) -> Codes:
        """The styles, in [-1, 1]."""
        fine = self.fine(x)
        wide = F.interpolate(self.coarse(fine), scale_factor=4)
        small = F.avg_pool2d(x, 2)
        down, across = (torch.linspace(-1, 1, side, device=x.device) for side in small.shape[2:])
        seen = [self.both(torch.cat([fine, wide], 1)), small, small * down[:, None], small * across]
        features = self.style(torch.cat(seen, 1))
        share = F.avg_pool2d(layout, 2)
        total = torch.einsum("bshw,brhw->brs", features, share)
        there = share.flatten(2).sum(2)[..., None]
        return torch.tanh(total / there.clamp(min=1)) * (there > 0)


@final
class StyledGenerator(nn.Module):
    """From a small learned map, by blocks that know layout and styles, to an image."""

    def __init__(self, shape: Shape, width: int, regions: int, size: int) -> None:
        super().__init__()
        c, h, w = shape
        deep = 4 * width
        self.start = nn.Parameter(torch.randn(1, deep, h // DOWN, w // DOWN))
        self.blocks = nn.ModuleList(
            [
                StyledBlock(deep, deep, regions, size),
                StyledBlock(deep, deep, regions, size),
                StyledBlock(deep, 3 * width, regions, size),
            ]
        )
        self.last = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(3 * width, 4 * width, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(width, c, 3, padding=1),
        )

    def forward(self, codes: Codes, layout: Layout) -> Images:
        """Images in [0, 1]."""
        share = F.avg_pool2d(layout, COARSE)
        h = self.start.expand(len(codes), -1, -1, -1)
        for n, block in enumerate(self.blocks):
            h = F.interpolate(h, scale_factor=2) if n else h
            h = block(h, codes, F.interpolate(share, (h.shape[2], h.shape[3]), mode="area"))
        return torch.sigmoid(self.last(h))


@final
class StyledBlock(nn.Module):
    """Two convolutions, each after a region-adaptive normalisation, beside a shortcut."""

    def __init__(self, before: int, after: int, regions: int, size: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(RegionAdaptiveNorm(c, regions, size) for c in (before, after))
        self.convs = nn.ModuleList(nn.Conv2d(c, after, 3, padding=1) for c in (before, after))
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1, bias=False)

    def forward(
        self, h: Float[Tensor, "b c u v"], codes: Codes, share: Float[Tensor, "b r u v"]
    ) -> Float[Tensor, "b d u v"]:
        """Of a map and the share of each region in its cells."""
        shortcut: Tensor = self.shortcut(h)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(F.silu(norm(h, codes, share)))
        return h + shortcut


@final
class RegionAdaptiveNorm(nn.Module):
    """Normalised per image and channel, then scaled and shifted by what layout and styles say."""

    def __init__(self, channels: int, regions: int, size: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.style = nn.Parameter(torch.randn(regions, size, 2 * channels) / size**0.5)
        self.layout = nn.Conv2d(regions, 2 * channels, 3, padding=1)

    def forward(
        self, h: Float[Tensor, "b c u v"], codes: Codes, share: Float[Tensor, "b r u v"]
    ) -> Float[Tensor, "b c u v"]:
        """Of a map and the share of each region in its cells."""
        styles = torch.einsum("brs,rsc->brc", codes, self.style)  # each region has a map of its own
        said = torch.einsum("brc,bruv->bcuv", styles, share) + self.layout(share)
        scale, shift = said.chunk(2, 1)
        styled: Tensor = self.norm(h) * (1 + scale) + shift
        return styled
