"""SimSiam, the encoder in whose space the metric S3 compares images: Chen and He (2021).

    min  - cos(h(z1), stop(z2)) / 2 - cos(h(z2), stop(z1)) / 2,  z = f(view)

X. Chen, K. He, "Exploring simple Siamese representation learning", CVPR 2021: learns from pictures without
labels. f is an encoder and a projector, h a predictor that is thrown away, and no gradient passes through
stop. Ours: a small encoder with group norms; the views are crops of other sizes, brighter or darker, and of
colour pictures some grey; nothing is blurred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators._layers import down, group_norm
from rather.generators.frozen import FrozenNet
from rather.generators.recipe import Columns, Figure, GeneratorNet, GeneratorRecipe, Latent
from rather.io.images import Shape

_JITTER: Final = 0.4  # largest relative change of contrast and brightness
_GREY: Final = 0.2  # share of the views of a colour picture that are grey
_RATIO: Final = 4 / 3  # of a crop's sides, at most
_MEASURED: Final = 1000  # pictures, at most


@final
class Encoder(FrozenNet):
    """Images to projections, of which only the direction counts.

    It takes a net of any origin: `Encoder(net, shape=(3, 224, 224))`, with its normalisation inside.

    Args:
        net: images in [0, 1] to a vector each.
        shape: (c, h, w) of the images.
        name: for reports.
    """

    kind = "encoder"

    def __init__(self, net: nn.Module, *, shape: Shape, name: str = "encoder") -> None:
        super().__init__()
        self.net, self.shape, self.name = net, shape, name
        self.freeze()

    def forward(self, x: Images) -> Float[Tensor, "b d"]:
        """A vector for each image."""
        vectors: Tensor = self.net(x)
        return vectors


@final
class SimSiamRecipe(GeneratorRecipe):
    """An encoder that maps two views of a picture to the same direction."""

    makes = Encoder

    projection: Latent = 64
    """Numbers in a projection."""
    smallest: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of the picture that a view shows, at least."""
    flip: bool = False
    """Whether a view may be mirrored; do not mirror pictures that have a direction, such as digits."""
    batch_size: Annotated[int, Field(ge=2)] = 128
    """Images per step, in each process; their batch norms need two."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> SimSiamNet:
        return SimSiamNet(self, shape)

    @override
    def figures(self, product: FrozenNet, test: Columns, classifier: Classifier | None = None) -> Mapping[str, Figure]:
        one, other = (
            torch.cat([F.normalize(product(part), dim=1) for part in views.split(256)])
            for views in self._views(test["images"][:_MEASURED])
        )
        alike, n = one @ other.T, len(one)
        return {
            # Share of n pictures whose view is nearest, among the other views of all n, to their own.
            "finds_itself": float((alike.argmax(1) == torch.arange(n)).float().mean()),
            "same_picture": float(alike.diagonal().mean()),
            "other_pictures": float((alike.sum() - alike.diagonal().sum()) / (n * (n - 1))),
            # 1 where directions spread as evenly as they can, 0 where all pictures have one.
            "spread": float(one.std(0).mean() * one.shape[1] ** 0.5),
        }

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        return [shown["images"], *self._views(shown["images"])]

    def _views(self, x: Images) -> tuple[Images, Images]:
        """The same two for the same pictures."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return view(x, self.smallest, flip=self.flip), view(x, self.smallest, flip=self.flip)


@final
class SimSiamNet(GeneratorNet):
    """Encoder and projector, predictor."""

    def __init__(self, settings: SimSiamRecipe, shape: Shape) -> None:
        super().__init__()
        self.settings, self.shape = settings, shape
        hidden, size = 4 * settings.width, settings.projection
        self.encoder = nn.Sequential(
            down(shape, settings.width, hidden, norm=group_norm, act=nn.SiLU),
            nn.ReLU(),
            *_normed(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, size, bias=False),
            nn.BatchNorm1d(size, affine=False),
        )
        bottleneck = max(2, size // 4)
        self.predictor = nn.Sequential(*_normed(size, bottleneck), nn.ReLU(), nn.Linear(bottleneck, size))

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        (x,) = batch
        z1, z2 = (self.encoder(view(x, self.settings.smallest, flip=self.settings.flip)) for _ in range(2))
        return -(agreement(self.predictor(z1), z2) + agreement(self.predictor(z2), z1)) / 2

    @override
    def product(self, name: str) -> Encoder:
        return Encoder(self.encoder, shape=self.shape, name=name)


def _normed(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs)


def agreement(predicted: Float[Tensor, "b d"], projection: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    """Cosine of a prediction and a projection, which gets no gradient."""
    return F.cosine_similarity(predicted.float(), projection.detach().float())


def view(x: Images, smallest: float, *, flip: bool) -> Images:
    """A random part of each image, enlarged, brighter or darker, perhaps mirrored or grey."""
    b, c = x.shape[:2]
    area, ratio, left, top, contrast, brightness, side, grey = torch.rand(8, b, device=x.device)
    length, ratio = (smallest + (1 - smallest) * area).sqrt(), _RATIO ** (ratio - 0.5)
    size = torch.stack([length * ratio, length / ratio], 1).clamp(max=1)
    place = (1 - size) * (2 * torch.stack([left, top], 1) - 1)
    if flip:
        size = size * torch.stack([2 * (side < 1 / 2).float() - 1, torch.ones_like(side)], 1)
    crop = torch.cat([torch.diag_embed(size), place[:, :, None]], 2)
    grid = F.affine_grid(crop, [*x.shape], align_corners=False)
    seen = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    mean = seen.mean((1, 2, 3), keepdim=True)
    contrast, brightness = (1 + _JITTER * (2 * each - 1)[:, None, None, None] for each in (contrast, brightness))
    seen = ((seen - mean) * contrast + mean) * brightness
    if c > 1:
        seen = torch.where((grey < _GREY)[:, None, None, None], seen.mean(1, keepdim=True), seen)
    return seen.clamp(0, 1)
