"""A diffusion model's net and its chain of noise levels: what methods that denoise need of a generator."""

from __future__ import annotations

from typing import Final, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators.frozen import FrozenNet, reconstruct
from rather.generators.noise_schedule import Chain, Noisy, pixels, signed

#: What a net says of a noisy image: its noise, the image, or sqrt(a) noise - sqrt(1 - a) image.
Says = Literal["noise", "image", "velocity"]
#: The variance of a step back: of the posterior, the level's own, or between the two as the net says.
Variance = Literal["posterior", "beta", "learned"]
#: How far `Denoiser.forward` goes: of so many levels, evenly spread over the chain, up the lowest few.
LEVELS: Final = 50
UP: Final = 5


@final
class Denoiser(FrozenNet):
    """A net that sees through noise, and the chain of levels that it knows; all in [-1, 1].

    Args:
        net: of noisy images (b, c, h, w) and steps (b,) of the chain to (b, c, h, w) or, where it has
            learned the variance, (b, 2 c, h, w).
        shape: (c, h, w) of the images.
        alpha_bar: of each level which share of the variance is the image's; falls.
        says: what the net says of a noisy image.
        variance: of a step back.
        reach: how many of the lowest levels it was trained on; by default all.
        name: what to call it in a report.
    """

    log_signal_to_noise: Tensor

    def __init__(
        self,
        net: nn.Module,
        *,
        shape: tuple[int, int, int],
        alpha_bar: Float[Tensor, " t"],
        says: Says = "noise",
        variance: Variance = "posterior",
        reach: int | None = None,
        name: str = "denoiser",
    ) -> None:
        super().__init__()
        self.net, self.shape, self.says, self.variance, self.name = net, shape, says, variance, name
        self.reach = len(alpha_bar) if reach is None else reach
        # As this, 32 bits tell the lowest levels from no noise, and the highest from nothing else.
        self.register_buffer("log_signal_to_noise", alpha_bar.double().logit().float())
        # A seventh faster on a CPU, at one image and at many; the tensors of a file come in another order.
        self.net.to(memory_format=torch.channels_last)
        self.register_load_state_dict_post_hook(_channels_last)
        self.freeze()

    @override
    def told(self) -> object:
        return self.says, self.variance, self.reach

    @property
    def chain(self) -> Chain:
        """All levels."""
        return Chain.of(self.log_signal_to_noise.cpu().double().sigmoid())

    def forward(self, x: Images) -> Images:
        """What is left of images after a way into noise, a tenth of the chain, and back step by step.

        So ACE (2023) filters; but here every image, at every call, gets the same noise.
        """
        z, chain, t = self.noised(x)
        rng = torch.Generator().manual_seed(1)
        for level in range(t, 0, -1):
            mean, variance = self.back(z, chain, level)
            z = mean + variance.sqrt() * torch.randn(self.shape, generator=rng).to(z)
        return pixels(self.back(z, chain, 0)[0])

    def noised(self, x: Images) -> tuple[Noisy, Chain, int]:
        """Images where `forward` turns back, the chain that it goes on, and the level there."""
        chain = self.chain.respaced(min(LEVELS, len(self.chain)))
        known = int((chain.steps < self.reach).sum())
        t = min(UP, known) - 1
        noise = torch.randn(self.shape, generator=torch.Generator().manual_seed(0))
        return chain.noised(signed(x), t, noise.to(x).expand_as(x)), chain, t

    @override
    def preflight(self, classifier: Classifier, images: Images) -> list[str]:
        """Whether images change their class by mere noising and denoising."""
        return reconstruct(self, classifier, images)

    def image(self, z: Noisy, chain: Chain, t: int) -> Noisy:
        """The expected image behind noisy ones: Tweedie's formula."""
        return self._seen(z, chain, t)[0]

    def back(self, z: Noisy, chain: Chain, t: int) -> tuple[Noisy, Float[Tensor, "b ..."]]:
        """Mean and variance of the level before; add no noise to the mean where t is 0."""
        return self.look(z, chain, t)[1:]

    def look(self, z: Noisy, chain: Chain, t: int) -> tuple[Noisy, Noisy, Float[Tensor, "b ..."]]:
        """Both: the expected image, and mean and variance of the level before, by one call of the net."""
        x, spread = self._seen(z, chain, t)
        mean, least = chain.posterior(z, t, x)
        if t == 0 and len(chain) > 1:  # nothing is left there, but guidance is worth the next one's
            _, least = chain.posterior(z, 1, x)
        most = chain.beta(t, z)
        if spread is not None:  # Nichol and Dhariwal (2021): from -1, the least, to 1, the most
            part = (spread + 1) / 2
            return x, mean, (part * most.log() + (1 - part) * least.clamp(min=1e-20).log()).exp()
        return x, mean, (most if self.variance == "beta" else least).expand(len(z), 1, 1, 1)

    def _seen(self, z: Noisy, chain: Chain, t: int) -> tuple[Noisy, Noisy | None]:
        """The expected image, and where the net has learned the variance, what it says of it."""
        c = self.shape[0]
        said: Tensor = self.net(z, chain.steps[t].to(z.device).expand(len(z))).to(z)
        match self.says:
            case "noise":
                x = chain.image(z, t, said[:, :c])
            case "image":
                x = said[:, :c]
            case "velocity":
                a = chain.alpha_bar[t]
                x = a.sqrt().to(z) * z - (1 - a).sqrt().to(z) * said[:, :c]
        return x.clamp(-1, 1), said[:, c:] if self.variance == "learned" else None


def _channels_last(denoiser: nn.Module, _missing: object) -> None:
    denoiser.to(memory_format=torch.channels_last)
