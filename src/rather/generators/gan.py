"""DCGAN with an inversion, the generator of GCI (introspection): Radford, Metz and Chintala (2016).

    D: min  -log D(x) - log(1 - D(G(z)))        G: min  -log D(G(z))        z ~ N(0, 1)
    E: min  |E(G(z)) - z|^2 / 2 + pixels * |G(E(x)) - x|^2

A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative
adversarial networks", ICLR 2016. Liu et al. (2019) take one with 10 latents for their digits and do not say
how a query gets its latent. Ours: an encoder, trained once G is done, then gradient steps on |G(z) - x|^2
that start at its output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, final

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators._layers import down, group_norm, up
from rather.generators.autoencoder import Autoencoder, Latents
from rather.generators.recipe import Batch, GeneratorNet, GeneratorRecipe, Latent, Phase, Rate
from rather.io.images import Shape
from rather.search.descend import Rows, descend

_PIXELS = 0.5  # weight of an image's squared error, summed over its pixels, against the error of its latent


@final
class GANRecipe(GeneratorRecipe):
    """Sharper images than a VAE's from a small latent space, which real images must be fitted to."""

    makes = Autoencoder

    latent: Latent = 10
    refine: Annotated[int, Field(ge=0, le=10_000)] = 100
    """Gradient steps from the encoder's output to the latent of an image."""
    steps: PositiveInt = 10_000
    """Training steps; the last quarter trains the encoder."""
    lr: Rate = 0.0005
    batch_size: Batch = 64

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> GANNet:
        return GANNet(self, shape)


@final
class GANNet(GeneratorNet):
    """Generator, discriminator and encoder."""

    def __init__(self, settings: GANRecipe, shape: Shape) -> None:
        super().__init__()
        self.latent, self.refine, self.shape = settings.latent, settings.refine, shape
        width = settings.width
        self.generator = nn.Sequential(up(shape, width, self.latent, norm=nn.BatchNorm2d, act=nn.ReLU), nn.Sigmoid())
        self.discriminator = down(shape, width, 1, norm=nn.BatchNorm2d, act=lambda: nn.LeakyReLU(0.2))
        self.encoder = down(shape, width, self.latent, norm=group_norm, act=nn.SiLU)

    @override
    def phases(self) -> Mapping[str, Phase]:
        return {
            "discriminator": Phase([*self.discriminator.parameters()], betas=(0.5, 0.999), end=0.75),
            "generator": Phase([*self.generator.parameters()], betas=(0.5, 0.999), end=0.75),
            "encoder": Phase([*self.encoder.parameters()], begin=0.75),
        }

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        (x,) = batch
        z = torch.randn(len(x), self.latent, device=x.device)
        if phase == "encoder":
            return self._inversion_loss(x, z)
        generated = self.generator(z)
        if phase == "generator":
            return F.softplus(-self._real(generated))
        real, fake = self._real(x), self._real(generated.detach())
        return F.softplus(-real) + F.softplus(fake)

    def _real(self, images: Images) -> Float[Tensor, " b"]:
        """The logit of D(images)."""
        logits: Tensor = self.discriminator(images)
        return logits[:, 0].float()

    def _inversion_loss(self, x: Images, z: Latents) -> Float[Tensor, " b"]:
        self.generator.eval()  # as it will be used: with the statistics of all images, not of a batch
        generated = self.generator(z).detach()
        latents: Tensor = ((self.encoder(generated).float() - z) ** 2).sum(1) / 2
        return latents + _PIXELS * _squared(self.generator(self.encoder(x)).float(), x)

    @override
    def product(self, name: str) -> Autoencoder:
        inversion = Inversion(self.encoder, self.generator, self.refine)
        return Autoencoder(inversion, self.generator, shape=self.shape, size=self.latent, name=name)


@final
class Inversion(nn.Module):
    """Latents of images: the encoder's output, refined by Adam on |G(z) - x|^2 / 2 + |z|^2 / 2.

    The second term keeps to latents that G was trained on; it is the prior's, pixels having variance 1.
    """

    def __init__(self, encoder: nn.Module, generator: nn.Module, steps: int) -> None:
        super().__init__()
        self.encoder, self.steps = encoder, steps
        self._generator = (generator,)  # a tuple, so that the decoder's weights are not registered twice

    def extra_repr(self) -> str:
        """The steps, so that they count in the fingerprint."""
        return f"steps={self.steps}"

    @torch.no_grad()
    def forward(self, x: Images) -> Latents:
        """Latents to start a search at; no gradient passes through."""

        def objective(z: Latents, rows: Rows) -> tuple[Tensor, Tensor]:
            error = _squared(self._generator[0](z), x[rows]) / 2 + (z**2).sum(1) / 2
            return error, torch.zeros_like(rows, dtype=torch.bool)

        return descend(objective, self.encoder(x), steps=self.steps, lr=0.05).end


def _squared(generated: Images, x: Images) -> Float[Tensor, " b"]:
    return ((generated - x) ** 2).flatten(1).sum(1)
