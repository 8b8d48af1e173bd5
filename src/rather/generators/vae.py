"""Variational autoencoder, the generator of REVISE and of Clarity's latents: Kingma and Welling (2014).

    min  E_q(z|x) [-log p(x | z)] + beta * KL(q(z | x) || N(0, 1))

D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014; the weight beta is of I. Higgins et
al., "beta-VAE", ICLR 2017. p(x | z) is a Bernoulli per pixel, whose grey values count as probabilities: a
reconstruction is the mean, and its error is in nats per image. A latent that is a map (`cells`) keeps
positions, but nothing couples its cells: numbers drawn from the prior make no image.
"""

from __future__ import annotations

from abc import ABC
from typing import final

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators._layers import down, group_norm, up
from rather.generators.autoencoder import Autoencoder, Latents
from rather.generators.recipe import Cells, GeneratorNet, GeneratorRecipe, Latent
from rather.io.images import Shape


@final
class VAERecipe(GeneratorRecipe):
    """A space of latents in which standard normal numbers are images as well."""

    makes = Autoencoder

    latent: Latent = 32
    cells: Cells = 1
    beta: NonNegativeFloat = 1.0
    """Weight of the divergence from the prior; less reconstructs better, and leaves gaps between images."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> VAENet:
        return VAENet(self, shape)


class VariationalNet(GeneratorNet, ABC):
    """Encoder to mean and log-variance, decoder to the logits of the pixels."""

    def __init__(self, shape: Shape, latent: int, width: int, cells: int) -> None:
        super().__init__()
        self.shape, self.latent = shape, latent
        self.encoder = down(shape, width, 2 * latent, norm=group_norm, act=nn.SiLU, cells=cells)
        self.decoder = up(shape, width, latent, norm=group_norm, act=nn.SiLU, cells=cells)

    def sample(self, x: Images) -> tuple[Latents, Latents, Latents]:
        """Mean and log-variance of q(z | x), and a differentiable sample of it."""
        mean, log_var = self.encoder(x).float().chunk(2, 1)
        return mean, log_var, mean + torch.randn_like(mean) * (log_var / 2).exp()

    def error(self, z: Latents, x: Images) -> Float[Tensor, " b"]:
        """-log p(x | z), in nats per image."""
        logits = self.decoder(z).float()
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)

    @override
    def product(self, name: str) -> Autoencoder:
        encoder, decoder = nn.Sequential(self.encoder, _First(self.latent)), nn.Sequential(self.decoder, nn.Sigmoid())
        return Autoencoder(encoder, decoder, shape=self.shape, size=self.latent, name=name)


@final
class VAENet(VariationalNet):
    """The nets with the evidence lower bound as their loss."""

    def __init__(self, settings: VAERecipe, shape: Shape) -> None:
        super().__init__(shape, settings.latent, settings.width, settings.cells)
        self.beta = settings.beta

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        (x,) = batch
        mean, log_var, z = self.sample(x)
        return self.error(z, x) + self.beta * divergence(mean, log_var)


def divergence(mean: Latents, log_var: Latents) -> Float[Tensor, " b"]:
    """KL(N(mean, exp(log_var)) || N(0, 1)), in nats."""
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)


@final
class _First(nn.Module):
    """The first numbers of each row: the mean, without the log-variance."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, h: Float[Tensor, "b n"]) -> Latents:
        return h[:, : self.count]
