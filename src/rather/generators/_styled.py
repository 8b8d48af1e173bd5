"""The nets of SEAN: a segmenter, an encoder of styles, a generator whose layers depend on region and style."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from rather.core import Images
from rather.generators._layers import convolved
from rather.io.images import Shape

Layout = Float[Tensor, "b r h w"]  # 1 where a pixel is of a region, 0 elsewhere
Codes = Float[Tensor, "b r s"]  # the style of each region; 0 for a region that an image does not have
#: Pixels a side of the cells in which the generator gets the share of each loose region.
COARSE: Final = 4
_LAYERS: Final = 4  # that depend on the styles
_WAVES: Final = 3  # per side


def one_hot(labels: Int[Tensor, "b h w"], count: int) -> Layout:
    """The layout of region numbers."""
    return F.one_hot(labels.long(), count).movedim(-1, 1).float()


def extent(layout: Layout) -> Float[Tensor, "b r 1"]:
    """The root of each region's area, in mean areas of a region.

    A code is a style times this, so that distances between codes match distances between images. Otherwise a
    faint change of a large background would cost a search as little as that of a mouth.
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
    """Three times down by two and up again, with skip connections."""

    def __init__(self, before: int, width: int, after: int) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width, 4 * width]
        self.first = convolved(before, width)
        self.down = nn.ModuleList(convolved(a, b, stride=2) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(convolved(a + b, b) for a, b in zip(sizes[:0:-1], sizes[-2::-1], strict=True))
        self.last = nn.Conv2d(width, after, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Maps to maps of the same size."""
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
    """Features at half and at an eighth of the image's resolution, averaged over each region.

    The image itself is among them, and the image times a few slow waves: so the style has the colour of a
    region, and its gradient, from the first step on.
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
        area = share.flatten(2).sum(2)[..., None]
        return torch.tanh(total / area.clamp(min=1)) * extent(layout)


@final
class StyledGenerator(nn.Module):
    """A net of the layout, then layers that work on each pixel by itself with the style of its region.

    No convolution follows the styles: a region's style changes that region, and a pixel beyond; among loose
    regions, cells that hold some of it and the pixels around them.

    Args:
        shape: of the images.
        width: channels of the layout's net; the layers have twice as many.
        loose: for each region whether the styles decide its outlines with other such regions: the generator
            gets the outline of them all together, and inside it their shares in cells of 4 x 4 pixels. If it
            got the line of the lips, no style could turn it up or down.
        size: numbers in a style.
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
        """The part that is the same for all styles: features of the layout, and each region's share of each pixel."""
        rough = self._rough(layout)
        plan: Tensor = self.plan(torch.cat([rough, waves(rough).expand(len(rough), -1, -1, -1)], 1))
        share = F.avg_pool2d(rough, 3, stride=1, padding=1, count_include_pad=False)
        return torch.cat([plan, share], 1)

    def painted(self, codes: Codes, layout: Layout, plan: Float[Tensor, "b d h w"]) -> Images:
        """Images in [0, 1], with the result of `planned`."""
        styles = codes / extent(layout).clamp(min=1e-3)
        h, share = plan.split([plan.shape[1] - layout.shape[1], layout.shape[1]], 1)
        for layer in self.layers:
            h = layer(h, styles, share)
        colours = torch.einsum("brs,rsck,brhw->bckhw", styles, self.colours, share)
        return torch.sigmoid(self.last(F.silu(h)) + (colours * waves(share)).sum(2))

    def _rough(self, layout: Layout) -> Layout:
        """The layout, with loose regions as their shares in coarse cells."""
        loose = layout.new_tensor(self.loose)[:, None, None]
        mixed = layout * loose
        outline = mixed.sum(1, keepdim=True)  # of all of them
        cells = F.avg_pool2d(mixed, COARSE)
        share = F.interpolate(cells, scale_factor=COARSE, mode="bilinear") * outline
        return layout * (1 - loose) + share / share.sum(1, keepdim=True).clamp(min=1e-6)


@final
class StyledLayer(nn.Module):
    """Features normalised, then scaled and shifted by the style of their region; with a shortcut."""

    def __init__(self, channels: int, regions: int, size: int) -> None:
        super().__init__()
        self.style = nn.Parameter(torch.zeros(regions, size, 2 * channels))
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(
        self, h: Float[Tensor, "b c h w"], styles: Float[Tensor, "b r s"], share: Float[Tensor, "b r h w"]
    ) -> Float[Tensor, "b c h w"]:
        """Features, with the share of each region at each pixel, to features."""
        effect = torch.einsum("brs,rsc->brc", styles, self.style)  # each region has a map of its own
        scale, shift = torch.einsum("brc,brhw->bchw", effect, share).chunk(2, 1)
        alike = h * (h.square().mean(1, keepdim=True) + 1e-6).rsqrt()
        styled: Tensor = self.conv(F.silu(alike * (1 + scale) + shift))
        return h + styled
