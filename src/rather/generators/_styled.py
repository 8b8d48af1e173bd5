"""The nets of SEAN: a segmenter, an encoder of styles, a generator whose layers know region and style."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from rather.core import Images
from rather.generators._frozen_semantic import Codes, Layout
from rather.generators._layers import convolved
from rather.generators.training import Shape

#: Pixels a side of the cells in which the generator is told what share of loose regions is which.
COARSE: Final = 4
_LAYERS: Final = 4  # that know the styles
_WAVES: Final = 3  # a side


def extent(layout: Layout) -> Float[Tensor, "b r 1"]:
    """The root of each region's area, in mean areas of a region.

    A code is a style times this, so that far in codes is far in pixels: else the faintest change of a large
    background would be as cheap as that of a mouth, and a search that pays for distance would take both.
    """
    return (layout.mean((2, 3)) * layout.shape[1]).sqrt()[..., None]


def over_pixels_and_regions(error: Float[Tensor, "b 1 h w"], layout: Layout) -> Float[Tensor, " b"]:
    """The mean error of the pixels plus the mean error of the regions that an image has."""
    pixels = layout.flatten(2).sum(2)
    regions = (error * layout).flatten(2).sum(2) / pixels.clamp(min=1)
    return error.flatten(1).mean(1) + regions.sum(1) / (pixels > 0).sum(1)


def waves(like: Float[Tensor, "b c h w"]) -> Float[Tensor, "k h w"]:
    """The slowest cosines across maps like these, the constant among them."""
    down, across = (
        torch.cos(torch.pi * torch.arange(_WAVES, device=like.device)[:, None] * place / side)
        for side in like.shape[2:]
        for place in [torch.arange(side, device=like.device) + 0.5]
    )
    return torch.einsum("kh,lw->klhw", down, across).flatten(0, 1).to(like)


@final
class UNet(nn.Module):
    """Three times down by two and up again, each map joined by the one on its way down."""

    def __init__(self, before: int, width: int, after: int) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width, 4 * width]
        self.first = convolved(before, width)
        self.down = nn.ModuleList(convolved(a, b, stride=2) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(convolved(a + b, b) for a, b in zip(sizes[:0:-1], sizes[-2::-1], strict=True))
        self.last = nn.Conv2d(width, after, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Of maps maps as large."""
        maps: list[Tensor] = [self.first(x)]
        for layer in self.down:
            maps.append(layer(maps[-1]))
        h = maps.pop()
        for layer in self.up:
            h = layer(torch.cat([F.interpolate(h, scale_factor=2), maps.pop()], 1))
        last: Tensor = self.last(h)
        return last


@final
class StyleEncoder(nn.Module):
    """Features at half the image's resolution, with a view of an eighth, averaged over each region.

    The image itself is among them, and the image times a few slow waves: so the colour of a region and how it
    runs from end to end are in its style from the first step on.
    """

    def __init__(self, channels: int, width: int, size: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(convolved(channels, width, stride=2), convolved(width, 2 * width))
        self.coarse = nn.Sequential(
            convolved(2 * width, 2 * width, stride=2), convolved(2 * width, 4 * width, stride=2)
        )
        self.both = convolved(6 * width, 2 * width)
        self.style = nn.Conv2d(2 * width + _WAVES**2 * channels, size, 1)

    def forward(self, x: Images, layout: Layout) -> Codes:
        """The codes: styles in [-1, 1] times the extent of their region."""
        fine = self.fine(x)
        wide = F.interpolate(self.coarse(fine), scale_factor=4)
        small = F.avg_pool2d(x, 2)
        colours = (small[:, :, None] * waves(small)).flatten(1, 2)
        features = self.style(torch.cat([self.both(torch.cat([fine, wide], 1)), colours], 1))
        share = F.avg_pool2d(layout, 2)
        total = torch.einsum("bshw,brhw->brs", features, share)
        there = share.flatten(2).sum(2)[..., None]
        return torch.tanh(total / there.clamp(min=1)) * extent(layout)


@final
class StyledGenerator(nn.Module):
    """A net of the layout, then for each pixel by itself layers that know the styles of its region.

    No convolution follows the styles: what one region's style says stays in that region, and a pixel beyond;
    among loose regions, in cells that hold some of it and the pixels around them.

    Args:
        shape: of the images.
        width: channels of the layout's net; the layers have twice as many.
        loose: of each region whether the outlines that it has with other such regions are for the styles to
            tell: the generator is given the outline of them all together, and inside it their shares in cells
            of 4 x 4 pixels. Else the line of the lips would be given, and no style could turn it up or down.
        size: how many numbers a style has.
    """

    def __init__(self, shape: Shape, width: int, loose: Sequence[bool], size: int) -> None:
        super().__init__()
        regions, channels = len(loose), 2 * width
        self.loose = tuple(loose)
        self.plan = UNet(regions + _WAVES**2, width, channels)
        self.layers = nn.ModuleList(StyledLayer(channels, regions, size) for _ in range(_LAYERS))
        self.last = nn.Conv2d(channels, shape[0], 1)
        self.colours = nn.Parameter(torch.zeros(regions, size, shape[0], _WAVES**2))

    def forward(self, codes: Codes, layout: Layout) -> Images:
        """Images in [0, 1]."""
        return self.painted(codes, layout, self.planned(layout))

    def planned(self, layout: Layout) -> Float[Tensor, "b d h w"]:
        """What is the same for all styles: features of the layout, and each region's share of each pixel."""
        told = self._told(layout)
        plan: Tensor = self.plan(torch.cat([told, waves(told).expand(len(told), -1, -1, -1)], 1))
        share = F.avg_pool2d(told, 3, stride=1, padding=1, count_include_pad=False)
        return torch.cat([plan, share], 1)

    def painted(self, codes: Codes, layout: Layout, plan: Float[Tensor, "b d h w"]) -> Images:
        """Images in [0, 1], of what `planned` has given of the layout."""
        styles = codes / extent(layout).clamp(min=1e-3)
        h, share = plan.split([plan.shape[1] - layout.shape[1], layout.shape[1]], 1)
        for layer in self.layers:
            h = layer(h, styles, share)
        colours = torch.einsum("brs,rsck,brhw->bckhw", styles, self.colours, share)
        return torch.sigmoid(self.last(F.silu(h)) + (colours * waves(share)).sum(2))

    def _told(self, layout: Layout) -> Layout:
        """The layout with loose regions by their shares in coarse cells."""
        loose = layout.new_tensor(self.loose)[:, None, None]
        mixed = layout * loose
        there = mixed.sum(1, keepdim=True)  # the outline of all of them
        cells = F.avg_pool2d(mixed, COARSE)
        share = F.interpolate(cells, scale_factor=COARSE, mode="bilinear") * there
        return layout * (1 - loose) + share / share.sum(1, keepdim=True).clamp(min=1e-6)


@final
class StyledLayer(nn.Module):
    """Features normalised, scaled and shifted by what their region's style says; beside a shortcut."""

    def __init__(self, channels: int, regions: int, size: int) -> None:
        super().__init__()
        self.style = nn.Parameter(torch.zeros(regions, size, 2 * channels))
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(
        self, h: Float[Tensor, "b c h w"], styles: Float[Tensor, "b r s"], share: Float[Tensor, "b r h w"]
    ) -> Float[Tensor, "b c h w"]:
        """Of features and the share of each region at each pixel."""
        said = torch.einsum("brs,rsc->brc", styles, self.style)  # each region has a map of its own
        scale, shift = torch.einsum("brc,brhw->bchw", said, share).chunk(2, 1)
        alike = h * (h.square().mean(1, keepdim=True) + 1e-6).rsqrt()
        styled: Tensor = self.conv(F.silu(alike * (1 + scale) + shift))
        return h + styled
