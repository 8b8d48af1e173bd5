"""SEAN: Zhu, Abdal, Qin and Wonka (2020), images from layouts and a style for each region; for STEEX.

    segmenter: min  CE(S(x), layout), over pixels + over regions
    generator: min  |G(E(x, l), l) - x|, over pixels + over regions,   l = argmax S(x)

P. Zhu, R. Abdal, Y. Qin, P. Wonka, "SEAN: image synthesis with semantic region-adaptive normalization", CVPR
2020: an encoder averages features over each region to a style in [-1, 1]; every layer of the generator is
normalised, then scaled and shifted by the style of the region that a pixel belongs to, and by the layout.
Ours: convolutions see the layout alone, and after them each pixel is made by itself, so that no region's
style reaches further than a pixel into another; a code is a style times the root of its region's area, so
that far in codes is far in pixels; of regions that are `loose` the layout says only roughly which is where;
the generator learns from the segmenter's layouts, which it will be given; the loss is of pixels alone, where
SEAN adds a discriminator and the features of a VGG. "Over regions" means that each region of an image counts
alike, for a mouth is few pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from rather.config.settings import indices
from rather.core import Classifier, Images
from rather.generators._frozen_semantic import Semantic as Product
from rather.generators._frozen_semantic import one_hot
from rather.generators._layers import refuse_sides
from rather.generators._styled import StyledGenerator, StyleEncoder, UNet, extent, over_pixels_and_regions
from rather.generators.frozen import FrozenNet
from rather.generators.training import Column, Columns, Figure, Generator, GeneratorNet, Names, Phase, Shape

_SEGMENTING = 0.3  # share of the steps after which the segmenter is done, and the generator begins
#: Standard deviation of what is added to styles in training: a direction in which no image differs from
#: another is thereby taught to say nothing, where a search would else find lips of any colour in it.
_NOISE = 0.05


@final
class Semantic(Generator):
    """Segments images, and makes them anew from their layout and a style for each region."""

    reads: ClassVar[tuple[Column, ...]] = ("images", "layouts")

    regions: Names = ()
    """Names of the regions; the training takes them from the data."""
    loose: Names = ()
    """Names of regions whose outlines among each other their styles tell, not the layout."""
    style: Annotated[int, Field(gt=0, le=1024)] = 48
    """How many numbers a style has."""
    steps: PositiveInt = 6000
    """Training steps; the first three tenths are the segmenter's."""
    lr: PositiveFloat = 0.003
    """Adam's learning rate at the start; it falls linearly to zero."""
    batch_size: PositiveInt = 8
    """Images a step, in each process."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> SemanticNet:
        refuse_sides(shape)
        return SemanticNet(self, shape)

    @override
    def figures(self, product: FrozenNet, test: Columns, judge: Classifier | None = None) -> Mapping[str, Figure]:
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
        self.segmenter = UNet(shape[0], max(width // 2, 8), count)
        self.encoder = StyleEncoder(shape[0], width, settings.style)
        free = indices(settings.loose, settings.regions, "semantic.loose")
        loose = [region in free for region in range(count)]
        self.generator = StyledGenerator(shape, width, loose, settings.style)

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
            wrong = F.cross_entropy(logits.float(), layouts.long(), reduction="none")[:, None]
            return over_pixels_and_regions(wrong, one_hot(layouts, len(self.regions)))
        with torch.no_grad():
            layout = one_hot(self.segmenter(x).argmax(1), len(self.regions))
        codes = self.encoder(x, layout)
        near = codes + _NOISE * extent(layout) * torch.randn_like(codes)
        made: Tensor = self.generator(near, layout)
        return over_pixels_and_regions((made.float() - x).abs().mean(1, keepdim=True), layout)

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
