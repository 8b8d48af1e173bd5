"""SEAN: Zhu, Abdal, Qin and Wonka (2020), images from layouts and a style for each region; for STEEX.

    segmenter: min  CE(S(x), layout)
    generator: min  mean |G(E(x, l), l) - x| over pixels + the same over regions,   l = argmax S(x)

P. Zhu, R. Abdal, Y. Qin, P. Wonka, "SEAN: image synthesis with semantic region-adaptive normalization", CVPR
2020: an encoder averages features over each region to a style in [-1, 1]; every layer of the generator is
normalised, then scaled and shifted by the style of the region that a pixel belongs to, and by the layout.
Ours: styles reach a layer by a linear map, without a convolution after it; the generator learns from the
segmenter's layouts, which it will be given; the loss is of pixels alone, where SEAN adds a discriminator and
the features of a VGG. In the second term each region of an image counts alike, for the mouth is few pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.core import Classifier, Images
from rather.errors import RatherError
from rather.frozen_net import FrozenNet
from rather.generator import Column, Columns, Figure, Generator, GeneratorNet, Names, Phase, Shape
from rather.generators._layers import group_norm
from rather.semantic import Codes, Layout, one_hot
from rather.semantic import Semantic as Product

_SEGMENTING = 0.2  # share of the steps after which the segmenter is done, and the generator begins
_DOWN = 8  # times that the smallest map is smaller than the image


@final
class Semantic(Generator):
    """Segments images, and makes them anew from their layout and a style for each region."""

    reads: ClassVar[tuple[Column, ...]] = ("images", "layouts")

    regions: Names = ()
    """Names of the regions; the training takes them from the data."""
    style: Annotated[int, Field(gt=0, le=1024)] = 32
    """How many numbers a style has."""
    steps: PositiveInt = 3000
    """Training steps; the first fifth is the segmenter's."""
    lr: PositiveFloat = 0.002
    """Adam's learning rate at the start; it falls linearly to zero."""
    batch_size: PositiveInt = 16
    """Images a step, in each process."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> SemanticNet:
        if shape[1] % _DOWN or shape[2] % _DOWN:
            raise RatherError(
                "TRAIN-DATA",
                why=f"{shape[1]} x {shape[2]} pixels are no multiple of {_DOWN}",
                do="Give --size",
            )
        return SemanticNet(self, shape)

    @override
    def suited(self, regions: Sequence[str], attributes: Sequence[str]) -> Semantic:
        return self.model_copy(update={"regions": tuple(regions)})

    @override
    def figures(self, product: FrozenNet, test: Columns) -> Mapping[str, Figure]:
        assert isinstance(product, Product)  # noqa: S101 - `build` makes no other
        x, wanted = test["images"], test["layouts"]
        said = torch.cat([product.segment(part).argmax(1) for part in x.split(64)])
        again = torch.cat([product(part) for part in x.split(64)])
        overlap = [
            float((here & there).sum() / (here | there).sum())
            for region in range(len(product.regions))
            if (here := said == region).any() | (there := wanted == region).any()
        ]
        error = ((again - x) ** 2).flatten(1).mean(1)
        return {
            "pixels_of_right_region": float((said == wanted).float().mean()),
            "mean_intersection_over_union": sum(overlap) / len(overlap),
            "psnr": float((-10 * error.log10()).mean()),  # dB
        }

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        assert isinstance(product, Product)  # noqa: S101
        x = shown["images"]
        greys = product.segment(x).argmax(1, keepdim=True) / (len(product.regions) - 1)
        return [x, greys.expand_as(x), product(x)]


@final
class SemanticNet(GeneratorNet):
    """Segmenter, encoder and generator."""

    def __init__(self, settings: Semantic, shape: Shape) -> None:
        super().__init__()
        self.shape, self.regions, self.size = shape, settings.regions, settings.style
        count, width = len(settings.regions), settings.width
        self.segmenter = Segmenter(shape[0], max(width // 2, 8), count)
        self.encoder = StyleEncoder(shape[0], width, settings.style)
        self.generator = StyledGenerator(shape, width, count, settings.style)

    @override
    def phases(self) -> Mapping[str, Phase]:
        generating = [*self.encoder.parameters(), *self.generator.parameters()]
        return {
            "segmenter": Phase([*self.segmenter.parameters()], end=_SEGMENTING),
            "generator": Phase(generating, begin=_SEGMENTING),
        }

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        x, layouts = batch
        if phase == "segmenter":
            logits: Tensor = self.segmenter(x)
            return F.cross_entropy(logits.float(), layouts.long(), reduction="none").flatten(1).mean(1)
        with torch.no_grad():
            layout = one_hot(self.segmenter(x).argmax(1), len(self.regions))
        made: Tensor = self.generator(self.encoder(x, layout), layout)
        error = (made.float() - x).abs().mean(1)
        return error.flatten(1).mean(1) + region_means(error[:, None], layout).sum(1) / regions_in(layout)

    @override
    def product(self, name: str) -> Product:
        return Product(
            self.segmenter,
            self.encoder,
            self.generator,
            shape=self.shape,
            regions=self.regions,
            size=self.size,
            name=name,
        )


def region_means(values: Float[Tensor, "b #c h w"], layout: Layout) -> Float[Tensor, "b r"]:
    """The mean of one value a pixel over each region; 0 for a region that is not there."""
    return (values * layout).flatten(2).sum(2) / layout.flatten(2).sum(2).clamp(min=1)


def regions_in(layout: Layout) -> Float[Tensor, " b"]:
    """How many regions an image has."""
    return layout.flatten(2).any(2).sum(1).to(layout)


@final
class Segmenter(nn.Module):
    """A small U-Net: three times down by two and up again, each map joined by the one on its way down."""

    def __init__(self, channels: int, width: int, regions: int) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width, 4 * width]
        self.first = _convolved(channels, width)
        self.down = nn.ModuleList(_convolved(a, b, stride=2) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(
            _convolved(a + b, b) for a, b in zip(sizes[:0:-1], sizes[-2::-1], strict=True)
        )
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
    """Features at half the image's resolution, with a view of an eighth, averaged over each region."""

    def __init__(self, channels: int, width: int, size: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(_convolved(channels, width, stride=2), _convolved(width, 2 * width))
        self.coarse = nn.Sequential(
            _convolved(2 * width, 2 * width, stride=2), _convolved(2 * width, 4 * width, stride=2)
        )
        self.both = _convolved(6 * width, 2 * width)
        self.style = nn.Conv2d(2 * width, size, 1)

    def forward(self, x: Images, layout: Layout) -> Codes:
        """The styles, in [-1, 1]."""
        fine = self.fine(x)
        wide = F.interpolate(self.coarse(fine), scale_factor=4)
        features = self.style(self.both(torch.cat([fine, wide], 1)))
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
        self.start = nn.Parameter(torch.randn(1, deep, h // _DOWN, w // _DOWN))
        self.blocks = nn.ModuleList(
            [
                StyledBlock(deep, deep, regions, size),
                StyledBlock(deep, deep, regions, size),
                StyledBlock(deep, 3 * width, regions, size),
            ]
        )
        self.shuffle = nn.Sequential(nn.Conv2d(3 * width, 4 * width, 3, padding=1), nn.PixelShuffle(2))
        self.last_norm = RegionAdaptiveNorm(width, regions, size)
        self.last = nn.Conv2d(width, c, 3, padding=1)

    def forward(self, codes: Codes, layout: Layout) -> Images:
        """Images in [0, 1]."""
        h = self.start.expand(len(codes), -1, -1, -1)
        for n, block in enumerate(self.blocks):
            h = F.interpolate(h, scale_factor=2) if n else h
            h = block(h, codes, F.avg_pool2d(layout, layout.shape[2] // h.shape[2]))
        h = F.silu(self.last_norm(self.shuffle(h), codes, layout))
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


def _convolved(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=stride, padding=1), group_norm(after), nn.SiLU())
