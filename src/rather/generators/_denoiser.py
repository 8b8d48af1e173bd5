"""A diffusion model's net and its schedule of noise levels: what methods that denoise need of a generator."""

from __future__ import annotations

from typing import Final, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from rather.core import Classifier, Images
from rather.generators.frozen import FrozenNet, reconstruct
from rather.generators.noise_schedule import NoiseSchedule, Noisy, to_pm1, to_unit

#: What a net says of a noisy image: its noise, the image, or sqrt(a) noise - sqrt(1 - a) image.
PredictionType = Literal["noise", "image", "velocity"]
#: The variance of a step back: of the posterior, the level's own, or between the two as the net predicts.
Variance = Literal["posterior", "beta", "learned"]
#: How far `Denoiser.forward` goes: of so many levels, evenly spread over the schedule, up the lowest few.
LEVELS: Final = 50
UP: Final = 5


@final
class Denoiser(FrozenNet):
    """A net that sees through noise, and the schedule of levels that it knows; all in [-1, 1].

    Args:
        net: of noisy images (b, c, h, w) and steps (b,) of the schedule to (b, c, h, w) or, where it has
            learned the variance, (b, 2 c, h, w).
        shape: (c, h, w) of the images.
        alpha_bar: of each level which share of the variance is the image's; falls.
        prediction_type: what the net says of a noisy image.
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
        prediction_type: PredictionType = "noise",
        variance: Variance = "posterior",
        reach: int | None = None,
        name: str = "denoiser",
    ) -> None:
        super().__init__()
        self.net, self.shape, self.name = net, shape, name
        self.prediction_type, self.variance = prediction_type, variance
        self.reach = len(alpha_bar) if reach is None else reach
        # As this, 32 bits tell the lowest levels from no noise, and the highest from nothing else.
        self.register_buffer("log_signal_to_noise", alpha_bar.double().logit().float())
        # A seventh faster on a CPU, at one image and at many; the tensors of a file come in another order.
        self.net.to(memory_format=torch.channels_last)
        self.register_load_state_dict_post_hook(_channels_last)
        self.freeze()

    @override
    def fingerprint_extra(self) -> object:
        return self.prediction_type, self.variance, self.reach

    @property
    def schedule(self) -> NoiseSchedule:
        """All levels."""
        return NoiseSchedule.of(self.log_signal_to_noise.cpu().double().sigmoid())

    def forward(self, x: Images) -> Images:
        """What is left of images after a way into noise, a tenth of the schedule, and back step by step.

        So ACE (2023) filters; but here every image, at every call, gets the same noise.
        """
        z, schedule, t = self.noised(x)
        rng = torch.Generator().manual_seed(1)
        for level in range(t, 0, -1):
            mean, variance = self.step(z, schedule, level)
            z = mean + variance.sqrt() * torch.randn(self.shape, generator=rng).to(z)
        return to_unit(self.step(z, schedule, 0)[0])

    def noised(self, x: Images) -> tuple[Noisy, NoiseSchedule, int]:
        """Images where `forward` turns back, the schedule that it goes on, and the level there."""
        schedule = self.schedule.respaced(min(LEVELS, len(self.schedule)))
        known = int((schedule.timesteps < self.reach).sum())
        t = min(UP, known) - 1
        noise = torch.randn(self.shape, generator=torch.Generator().manual_seed(0))
        return schedule.add_noise(to_pm1(x), t, noise.to(x).expand_as(x)), schedule, t

    @override
    def preflight(self, classifier: Classifier, images: Images) -> list[str]:
        """Whether images change their class by mere noising and denoising."""
        return reconstruct(self, classifier, images)

    def predict_x0(self, z: Noisy, schedule: NoiseSchedule, t: int) -> Noisy:
        """The expected image behind noisy ones: Tweedie's formula."""
        return self._seen(z, schedule, t)[0]

    def step(self, z: Noisy, schedule: NoiseSchedule, t: int) -> tuple[Noisy, Float[Tensor, "b ..."]]:
        """Mean and variance of the level before; add no noise to the mean where t is 0."""
        return self.predict(z, schedule, t)[1:]

    def predict(self, z: Noisy, schedule: NoiseSchedule, t: int) -> tuple[Noisy, Noisy, Float[Tensor, "b ..."]]:
        """Both: the expected image, and mean and variance of the level before, by one call of the net."""
        x, spread = self._seen(z, schedule, t)
        mean, least = schedule.posterior(z, t, x)
        if t == 0 and len(schedule) > 1:  # nothing is left there, but guidance is worth the next one's
            _, least = schedule.posterior(z, 1, x)
        most = schedule.beta(t, z)
        if spread is not None:  # Nichol and Dhariwal (2021): from -1, the least, to 1, the most
            part = (spread + 1) / 2
            return x, mean, (part * most.log() + (1 - part) * least.clamp(min=1e-20).log()).exp()
        return x, mean, (most if self.variance == "beta" else least).expand(len(z), 1, 1, 1)

    def _seen(self, z: Noisy, schedule: NoiseSchedule, t: int) -> tuple[Noisy, Noisy | None]:
        """The expected image, and where the net has learned the variance, what it says of it."""
        c = self.shape[0]
        said: Tensor = self.net(z, schedule.timesteps[t].to(z.device).expand(len(z))).to(z)
        match self.prediction_type:
            case "noise":
                x = schedule.x0(z, t, said[:, :c])
            case "image":
                x = said[:, :c]
            case "velocity":
                a = schedule.alpha_bar[t]
                x = a.sqrt().to(z) * z - (1 - a).sqrt().to(z) * said[:, :c]
        return x.clamp(-1, 1), said[:, c:] if self.variance == "learned" else None


def _channels_last(denoiser: nn.Module, _missing: object) -> None:
    denoiser.to(memory_format=torch.channels_last)
