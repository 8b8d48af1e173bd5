"""SEAN, the generator of STEEX: images from a layout and a style per region: Zhu, Abdal, Qin and Wonka (2020).

    segmenter: min  CE(S(x), layout), over pixels + over regions
    generator: min  |G(E(x, l), l) - x|, over pixels + over regions,   l = argmax S(x)

P. Zhu, R. Abdal, Y. Qin, P. Wonka, "SEAN: image synthesis with semantic region-adaptive normalization", CVPR
2020: an encoder averages features over each region to a style in [-1, 1]; every layer of the generator is
normalised, then scaled and shifted by the style of a pixel's region, and by the layout. Ours: convolutions
see the layout alone, and after them each pixel is made by itself, so that no region's style reaches further
than a pixel into another; a code is a style times the root of its region's area, so that distances between
codes match distances between images; the layout gives `loose` regions only roughly; the generator learns from
the segmenter's layouts, which it will be given; the loss is of pixels alone, where SEAN adds a discriminator
and VGG features. "Over regions" means that each region of an image counts alike, for a mouth is few pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.config.settings import indices
from rather.core import Classifier, Images
from rather.generators._layers import check_sides
from rather.generators._styled import (
    Codes,
    Layout,
    StyledGenerator,
    StyleEncoder,
    UNet,
    extent,
    one_hot,
    over_pixels_and_regions,
)
from rather.generators.frozen import FrozenNet, ReconstructingNet
from rather.generators.recipe import Batch, Columns, Figure, GeneratorNet, GeneratorRecipe, Names, Phase, Rate
from rather.io.images import Shape
from rather.search.descend import Rows

_AT_ONCE: Final = 64  # images in memory
_SEGMENTING = 0.3  # share of the steps after which the segmenter is done, and the generator begins
#: Standard deviation of the noise on styles in training: directions in which no images differ learn to change
#: nothing; otherwise a search would find lips of any colour along them.
_NOISE = 0.05


@runtime_checkable
class Planner(Protocol):
    """A generator that can compute the part that depends on the layout alone once, for all codes."""

    def planned(self, layout: Layout) -> Tensor:
        """The part that is the same for all codes."""
        ...

    def painted(self, codes: Codes, layout: Layout, plan: Tensor) -> Images:
        """Images of that part and of codes."""
        ...


@final
class Semantic(ReconstructingNet):
    """A segmentation net, an encoder of styles, and a generator of images from layouts and styles.

    It takes nets of any origin, and freezes them.

    Args:
        segmenter: images to the logits (b, r, h, w) of each pixel's region.
        encoder: images and their layouts to codes (b, r, s).
        generator: codes and layouts to images.
        shape: (c, h, w) of the images.
        regions: the names of the r regions.
        size: s, numbers in a style.
        name: for reports.
    """

    kind = "semantic"

    def __init__(
        self,
        segmenter: nn.Module,
        encoder: nn.Module,
        generator: nn.Module,
        *,
        shape: Shape,
        regions: Sequence[str],
        size: int,
        name: str = "semantic",
    ) -> None:
        super().__init__()
        self.segmenter, self.encoder, self.generator = segmenter, encoder, generator
        self.shape, self.regions, self.size, self.name = shape, tuple(regions), size, name
        self.freeze()

    @torch.no_grad()
    def segment(self, x: Images) -> Layout:
        """The most likely region of each pixel."""
        most = torch.cat([self.segmenter(part).argmax(1) for part in x.split(_AT_ONCE)])
        return one_hot(most, len(self.regions))

    def encode(self, x: Images, layout: Layout) -> Codes:
        """The style of each region."""
        codes: Tensor = self.encoder(x, layout)
        return codes

    def decode(self, codes: Codes, layout: Layout) -> Images:
        """Images with this layout and these styles, in [0, 1]."""
        images: Tensor = self.generator(codes, layout)
        return images

    @torch.no_grad()
    def decoder(self, layout: Layout) -> Callable[[Codes, Rows], Images]:
        """`decode` for fixed layouts: a function of codes and the layouts' rows that they belong to.

        A `Planner` computes the part that depends on the layout alone only once.
        """
        generator = self.generator
        if not isinstance(generator, Planner):
            return lambda codes, rows: self.decode(codes, layout[rows])
        plan = torch.cat([generator.planned(part) for part in layout.split(_AT_ONCE)])
        return lambda codes, rows: generator.painted(codes, layout[rows], plan[rows])

    def forward(self, x: Images) -> Images:
        """The reconstruction of images from their layout and styles."""
        layout = self.segment(x)
        return self.decode(self.encode(x, layout), layout)

    @override
    def fingerprint_extra(self) -> object:
        return self.size, self.regions

    def draw(self, layout: Layout) -> Images:
        """A picture of layouts: each region in a colour of its own."""
        hue = torch.arange(len(self.regions)) * 0.618034 % 1  # far apart for neighbours in the list
        colours = ((hue[:, None] + torch.tensor([0, 1 / 3, 2 / 3])) % 1 * 6 - 3).abs().sub(1).clamp(0, 1)
        shades = 0.25 + 0.7 * colours * (0.6 + 0.4 * (torch.arange(len(self.regions)) % 2))[:, None]
        return torch.einsum("brhw,rc->bchw", layout, shades.to(layout))

    def values_by_region(
        self, layout: Float[Tensor, "r h w"], values: Mapping[str, Float[Tensor, " r"]]
    ) -> dict[str, dict[str, float]]:
        """For each region that an image has, these values by name, as plain data; 0 for one that is not finite."""
        present = layout.flatten(1).any(1).tolist()
        return {
            region: {key: round(float(each[n].nan_to_num(0, 0, 0)), 4) for key, each in values.items()}
            for n, region in enumerate(self.regions)
            if present[n]
        }


def changes_by_region(images: Images, others: Images, layout: Layout) -> Float[Tensor, "b r"]:
    """Each region's share of the absolute difference of two images; 0 where nothing differs."""
    change = ((images - others).abs().sum(1, keepdim=True) * layout).flatten(2).sum(2)
    return change / change.sum(1, keepdim=True).clamp(min=1e-12)


@final
class SemanticRecipe(GeneratorRecipe):
    """Segments images, and generates them from their layout and a style per region."""

    makes = Semantic
    reads = ("images", "layouts")

    regions: Names = ()
    """Names of the regions; the training takes them from the data."""
    loose: Names = ()
    """Names of regions whose outlines among each other their styles decide, not the layout."""
    style: Annotated[int, Field(gt=0, le=1024)] = 48
    """Numbers in a style."""
    steps: PositiveInt = 6000
    """Training steps; the first three tenths train the segmenter."""
    lr: Rate = 0.003
    batch_size: Batch = 8

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> SemanticNet:
        check_sides(shape)
        return SemanticNet(self, shape)

    @override
    def figures(self, product: FrozenNet, test: Columns, classifier: Classifier | None = None) -> Mapping[str, Figure]:
        assert isinstance(product, Semantic)  # noqa: S101 - `build` makes no other
        x, known = test["images"], test["layouts"]
        predicted = torch.cat([product.segment(part).argmax(1) for part in x.split(64)])
        reconstructed = torch.cat([product(part) for part in x.split(64)])
        overlap = [
            float((one & other).sum() / (one | other).sum())
            for region in range(len(product.regions))
            if (one := predicted == region).any() | (other := known == region).any()
        ]
        error = ((reconstructed - x) ** 2).flatten(1).mean(1)
        return {
            "pixels_of_right_region": float((predicted == known).float().mean()),
            "mean_intersection_over_union": sum(overlap) / len(overlap),
            "psnr": float((-10 * error.log10()).mean()),  # dB
        }

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        assert isinstance(product, Semantic)  # noqa: S101
        x = shown["images"]
        greys = product.segment(x).argmax(1, keepdim=True) / (len(product.regions) - 1)
        return [x, greys.expand_as(x), product(x)]


@final
class SemanticNet(GeneratorNet):
    """Segmenter, encoder and generator."""

    def __init__(self, settings: SemanticRecipe, shape: Shape) -> None:
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
        noisy = codes + _NOISE * extent(layout) * torch.randn_like(codes)
        generated: Tensor = self.generator(noisy, layout)
        return over_pixels_and_regions((generated.float() - x).abs().mean(1, keepdim=True), layout)

    @override
    def product(self, name: str) -> Semantic:
        nets = (self.segmenter, self.encoder, self.generator)
        return Semantic(*nets, shape=self.shape, regions=self.regions, size=self.size, name=name)
