"""Beta-TCVAE, the generator of DiVE: latents that share little information: Chen, Li, Grosse and Duvenaud (2018).

    min  E_q [-log p(x | z)] + I_q(z; x) + beta * KL(q(z) || prod_j q(z_j)) + sum_j KL(q(z_j) || p(z_j))

R. T. Q. Chen et al., "Isolating sources of disentanglement in variational autoencoders", NeurIPS 2018: the
divergence of a VAE is the sum of these three, and the second, the total correlation, gets the weight. q(z)
and q(z_j) are estimated by their minibatch-weighted sampling (eq. 6).
"""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from rather.core import Classifier
from rather.generators.autoencoder import Autoencoder, Latents
from rather.generators.recipe import Cells, GeneratorRecipe, Latent
from rather.generators.vae import VariationalNet
from rather.io.images import Shape


@final
class TCVAERecipe(GeneratorRecipe):
    """A variational autoencoder that pays for what its latents say twice."""

    makes = Autoencoder

    latent: Latent = 32
    cells: Cells = 1
    beta: NonNegativeFloat = 4.0
    """Weight of the total correlation; 1 makes it a plain VAE."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> TCVAENet:
        return TCVAENet(self, shape, count)


@final
class TCVAENet(VariationalNet):
    """The nets of a VAE with another loss."""

    def __init__(self, settings: TCVAERecipe, shape: Shape, count: int) -> None:
        super().__init__(shape, settings.latent, settings.width, settings.cells)
        self.beta, self.count = settings.beta, count

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        (x,) = batch
        mean, log_var, z = self.sample(x)
        information, correlation, marginals = decomposed(z, mean, log_var, self.count)
        return self.error(z, x) + information + self.beta * correlation + marginals


def decomposed(
    z: Latents, mean: Latents, log_var: Latents, count: int
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Estimates of I(z; x), the total correlation and the marginals' divergence; they sum to the KL.

    Args:
        z: a sample of each row's posterior.
        mean: of the posteriors.
        log_var: of the posteriors.
        count: of all images from which the rows were drawn.
    """
    # log q(z_i | x_j) in each dimension, for all pairs of a z and an image of the batch: (b, b, l).
    pairs = log_normal(z[:, None], mean[None], log_var[None])
    own = pairs.diagonal().sum(0)
    norm = math.log(len(z) * max(count, len(z)))
    joint = pairs.sum(2).logsumexp(1) - norm
    product = (pairs.logsumexp(1) - norm).sum(1)
    prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
    return own - joint, joint - product, product - prior


def log_normal(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Log-density of N(mean, exp(log_var)) at z, element by element."""
    return -0.5 * ((z - mean) ** 2 * (-log_var).exp() + log_var + math.log(2 * math.pi))
