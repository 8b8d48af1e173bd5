"""Images to regions with a style each, and back: what methods that change regions need of a generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators.frozen import FrozenNet, reconstruct
from rather.search.descend import Rows

Layout = Float[Tensor, "b r h w"]  # 1 where a pixel is of a region, 0 elsewhere
Codes = Float[Tensor, "b r s"]  # of each region its style; 0 of one that an image has not
_AT_ONCE: Final = 64  # images in memory


@runtime_checkable
class Planner(Protocol):
    """A generator that tells apart what it computes of the layout alone."""

    def planned(self, layout: Layout) -> Tensor:
        """What is the same for all codes."""
        ...

    def painted(self, codes: Codes, layout: Layout, plan: Tensor) -> Images:
        """Images of it and of codes."""
        ...


@final
class Semantic(FrozenNet):
    """A segmentation net, an encoder of styles, and a generator of images from layouts and styles.

    Nets of anybody's will do. They are for asking, not for training.

    Args:
        segmenter: images to the logits (b, r, h, w) of each pixel's region.
        encoder: images and their layouts to codes (b, r, s).
        generator: codes and layouts to images.
        shape: (c, h, w) of the images.
        regions: the names of the r regions.
        size: s, how many numbers a style has.
        name: what to call it in a report.
    """

    def __init__(
        self,
        segmenter: nn.Module,
        encoder: nn.Module,
        generator: nn.Module,
        *,
        shape: tuple[int, int, int],
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
        """An image of this layout, with these styles; in [0, 1]."""
        images: Tensor = self.generator(codes, layout)
        return images

    @torch.no_grad()
    def decoder(self, layout: Layout) -> Callable[[Codes, Rows], Images]:
        """`decode` for layouts that stay: codes and the rows that they belong to, to images.

        What the generator computes of the layouts alone it computes once, if it is a `Planner`.
        """
        generator = self.generator
        if not isinstance(generator, Planner):
            return lambda codes, rows: self.decode(codes, layout[rows])
        plan = torch.cat([generator.planned(part) for part in layout.split(_AT_ONCE)])
        return lambda codes, rows: generator.painted(codes, layout[rows], plan[rows])

    def forward(self, x: Images) -> Images:
        """What is left of images after a way through layout and styles."""
        layout = self.segment(x)
        return self.decode(self.encode(x, layout), layout)

    @override
    def preflight(self, classifier: Classifier, images: Images) -> list[str]:
        """Whether images change their class by mere reconstruction."""
        return reconstruct(self, classifier, images)

    @override
    def fingerprint_extra(self) -> object:
        return self.size, self.regions

    def drawn(self, layout: Layout) -> Images:
        """A picture of layouts: each region in a colour of its own."""
        hue = torch.arange(len(self.regions)) * 0.618034 % 1  # far apart for neighbours in the list
        colours = ((hue[:, None] + torch.tensor([0, 1 / 3, 2 / 3])) % 1 * 6 - 3).abs().sub(1).clamp(0, 1)
        shades = 0.25 + 0.7 * colours * (0.6 + 0.4 * (torch.arange(len(self.regions)) % 2))[:, None]
        return torch.einsum("brhw,rc->bchw", layout, shades.to(layout))

    def values_by_region(
        self, layout: Float[Tensor, "r h w"], values: Mapping[str, Float[Tensor, " r"]]
    ) -> dict[str, dict[str, float]]:
        """Plain data of one image: for each region that it has, these values by name; 0 for no finite one."""
        there = layout.flatten(1).any(1).tolist()
        return {
            region: {key: round(float(each[n].nan_to_num(0, 0, 0)), 4) for key, each in values.items()}
            for n, region in enumerate(self.regions)
            if there[n]
        }


def one_hot(labels: Int[Tensor, "b h w"], count: int) -> Layout:
    """A layout of region numbers."""
    return F.one_hot(labels.long(), count).movedim(-1, 1).float()


def changes_by_region(images: Images, others: Images, layout: Layout) -> Float[Tensor, "b r"]:
    """The share of all absolute differences of two images in each region; 0 where nothing differs."""
    change = ((images - others).abs().sum(1, keepdim=True) * layout).flatten(2).sum(2)
    return change / change.sum(1, keepdim=True).clamp(min=1e-12)
