"""The arithmetic of denoising diffusion on images in [-1, 1]: Ho, Jain and Abbeel (2020).

    z_t = sqrt(a_t) x + sqrt(1 - a_t) e,    e ~ N(0, 1)

J. Ho, A. Jain, P. Abbeel, "Denoising diffusion probabilistic models", NeurIPS 2020: a_t is their alpha-bar.
Timesteps count from 0, the least noise; before it is the image itself.
A. Nichol, P. Dhariwal, "Improved denoising diffusion probabilistic models", ICML 2021: the cosine schedule
and respacing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Images

#: Noisy images, about [-1, 1].
Noisy = Float[Tensor, "b c h w"]
#: One timestep for all rows, or one for each.
Timestep = int | Int[Tensor, " b"]


@final
@dataclass(frozen=True)
class NoiseSchedule:
    """Timesteps of rising noise.

    Kept on the CPU in float64, whatever the images are: at the lowest timesteps 1 - a is only a few rounding
    errors of float32, and less than one of bfloat16.
    """

    alpha_bar: Float[Tensor, " t"]  # the image's share of the variance; falls
    timesteps: Int[Tensor, " t"]  # as a denoiser numbers them: in the whole schedule

    @classmethod
    def of(cls, alpha_bar: Float[Tensor, " t"]) -> NoiseSchedule:
        """The whole schedule."""
        return cls(alpha_bar.detach().cpu().double(), torch.arange(len(alpha_bar), device="cpu"))

    def __len__(self) -> int:
        return len(self.alpha_bar)

    def respaced(self, count: int) -> NoiseSchedule:
        """`count` of its timesteps, evenly spread, with the first and the last.

        Raises:
            RatherError: CFG-SETTING for none, or for more than it has.
        """
        if not 0 < count <= len(self):
            raise RatherError("CFG-SETTING", where=f"{count} levels of noise", why=f"there are {len(self)}")
        places = torch.linspace(0, len(self) - 1, count, dtype=torch.float64).round().long()
        return NoiseSchedule(self.alpha_bar[places], self.timesteps[places])

    def add_noise(self, x: Noisy, t: Timestep, noise: Noisy) -> Noisy:
        """Images with the noise of a timestep."""
        a = self._at(t)
        return a.sqrt().to(x) * x + (1 - a).sqrt().to(x) * noise

    def x0(self, z: Noisy, t: Timestep, noise: Noisy) -> Noisy:
        """The images behind noisy ones, given the noise; given the expected noise, Tweedie's estimate."""
        a = self._at(t)
        return (z - (1 - a).sqrt().to(z) * noise) / a.sqrt().to(z)

    def noise(self, z: Noisy, t: Timestep, x: Noisy) -> Noisy:
        """The noise in noisy images, given the images."""
        a = self._at(t)
        return (z - a.sqrt().to(z) * x) / (1 - a).sqrt().to(z)

    def posterior(self, z: Noisy, t: Timestep, x: Noisy) -> tuple[Noisy, Float[Tensor, "_ 1 1 1"]]:
        """Mean and variance of the previous timestep, given this one and the images; at 0, the images."""
        a, before = self._at(t), self._before(t)
        beta = 1 - a / before
        of_image = before.sqrt() * beta / (1 - a)
        of_noisy = (a / before).sqrt() * (1 - before) / (1 - a)
        mean = of_image.to(x) * x + of_noisy.to(z) * z
        return mean, (beta * (1 - before) / (1 - a)).to(z)

    def beta(self, t: Timestep, like: Tensor) -> Float[Tensor, "_ 1 1 1"]:
        """The variance that a timestep adds: the upper bound of a reverse step's variance."""
        return (1 - self._at(t) / self._before(t)).to(like)

    def _at(self, t: Timestep) -> Float[Tensor, "_ 1 1 1"]:
        return self.alpha_bar[torch.as_tensor(t, device="cpu")].reshape(-1, 1, 1, 1)

    def _before(self, t: Timestep) -> Float[Tensor, "_ 1 1 1"]:
        known = torch.cat([self.alpha_bar.new_ones(1), self.alpha_bar[:-1]])
        return known[torch.as_tensor(t, device="cpu")].reshape(-1, 1, 1, 1)


def linear(count: int) -> Float[Tensor, " t"]:
    """Alpha-bar of the linear schedule: betas from 0.0001 to 0.02 over 1,000 timesteps."""
    scale = 1000 / count
    betas = torch.linspace(1e-4 * scale, 0.02 * scale, count, dtype=torch.float64, device="cpu")
    return (1 - betas.clamp(max=0.999)).cumprod(0)


def cosine(count: int) -> Float[Tensor, " t"]:
    """Alpha-bar of the cosine schedule."""
    at = torch.arange(count + 1, dtype=torch.float64, device="cpu") / count
    f = ((at + 0.008) / 1.008 * math.pi / 2).cos().square()
    betas = (1 - f[1:] / f[:-1]).clamp(max=0.999)
    return (1 - betas).cumprod(0)


def to_pm1(x: Images) -> Noisy:
    """From [0, 1] to [-1, 1]."""
    return 2 * x - 1


def to_unit(z: Noisy) -> Images:
    """From [-1, 1] to [0, 1]."""
    return (z + 1) / 2
