"""DDPM, the denoiser of ACE, DiME, FastDiME and `refined`: a diffusion model of images: Ho, Jain and Abbeel (2020).

    min  E |e_net(sqrt(a_t) x + sqrt(1 - a_t) e, t) - e|^2,    e ~ N(0, 1),  t uniform in 0 .. reach - 1

J. Ho, A. Jain, P. Abbeel, "Denoising diffusion probabilistic models", NeurIPS 2020; the cosine schedule is of
A. Nichol, P. Dhariwal, ICML 2021. The trained net has the running means of the weights. Methods that go only
part of the way into noise need a net of that part alone, as G. Jeanneret et al. (ACE, CVPR 2023) trained one
for BDD100k: `reach`. Such a net makes no new images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd
from typing import Annotated, Any, Final, Literal, final

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images
from rather.generators.frozen import CHECKED, FrozenNet, ReconstructingNet
from rather.generators.noise_schedule import NoiseSchedule, Noisy, cosine, linear, to_pm1, to_unit
from rather.generators.recipe import Batch, Columns, Figure, GeneratorNet, GeneratorRecipe, Phase
from rather.io.images import Shape

#: What a net predicts from a noisy image: its noise, the image, or sqrt(a) noise - sqrt(1 - a) image.
PredictionType = Literal["noise", "image", "velocity"]
#: The variance of a reverse step: the posterior's, the timestep's beta, or between the two as the net predicts.
Variance = Literal["posterior", "beta", "learned"]
#: `Denoiser.forward` adds the noise of the lowest `_UP` of `_STEPS` timesteps, evenly spread over the schedule.
_STEPS: Final = 50
_UP: Final = 5
_LEFT: Final = 0.5  # of the noise (mean square), from which on a net counts as one that does not remove it
_SMALL: Final = 8  # pixels a side at which the U-Net stops halving
_DEEPEST: Final = 4  # times the first width, at most


@final
class Denoiser(ReconstructingNet):
    """A net that removes noise, and the noise schedule that it knows; all in [-1, 1].

    Args:
        net: noisy images (b, c, h, w) and timesteps (b,) of the schedule to (b, c, h, w) or, if it has learned
            the variance, (b, 2 c, h, w).
        shape: (c, h, w) of the images.
        alpha_bar: the image's share of the variance at each timestep; falls.
        prediction_type: what the net predicts from a noisy image.
        variance: of a reverse step.
        reach: how many of the lowest timesteps it was trained on; by default all.
        name: for reports.
    """

    kind = "denoiser"
    log_signal_to_noise: Tensor

    def __init__(
        self,
        net: nn.Module,
        *,
        shape: Shape,
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
        # In this form 32 bits tell the lowest timesteps from no noise, and the highest from pure noise.
        self.register_buffer("log_signal_to_noise", alpha_bar.double().logit().float())
        # A seventh faster on a CPU, for one image and for many; the tensors of a file have another layout.
        self.net.to(memory_format=torch.channels_last)
        self.register_load_state_dict_post_hook(_channels_last)
        self.freeze()

    @override
    def fingerprint_extra(self) -> object:
        return self.prediction_type, self.variance, self.reach

    @property
    def schedule(self) -> NoiseSchedule:
        """All timesteps."""
        return NoiseSchedule.of(self.log_signal_to_noise.cpu().double().sigmoid())

    def forward(self, x: Images) -> Images:
        """Images after a tenth of the way into noise, and back step by step.

        ACE (2023) filters in this way; here every image, at every call, gets the same noise.
        """
        z, schedule, t = self.noised(x)
        rng = torch.Generator().manual_seed(1)
        for timestep in range(t, 0, -1):
            mean, variance = self.step(z, schedule, timestep)
            z = mean + variance.sqrt() * torch.randn(self.shape, generator=rng).to(z)
        return to_unit(self.step(z, schedule, 0)[0])

    @override
    @torch.no_grad()
    def preflight(self, classifier: Classifier, images: Images) -> list[str]:
        """Filter a few images; note how many change their class, and whether the net leaves the noise in them.

        Raises:
            RatherError: GEN-SIZE for another shape than the classifier's, GEN-NONFINITE.
        """
        notes = super().preflight(classifier, images)
        x = images[:CHECKED]
        z, schedule, t = self.noised(x)
        before = to_unit(z / schedule.alpha_bar[t].sqrt().to(z)).clamp(0, 1) - x
        after = to_unit(self.predict_x0(z, schedule, t)) - x
        left = float(after.square().mean() / before.square().mean().clamp(min=1e-12))
        if left < _LEFT:
            return notes
        share = f"{100 * max(1 - left, 0):.0f} % of the noise"
        return [*notes, f"GEN-NOISE: {self.name} removes {share} that it is given: what it changes is mostly noise"]

    def noised(self, x: Images) -> tuple[Noisy, NoiseSchedule, int]:
        """The noisy images at which `forward` turns back, its schedule, and the timestep there."""
        schedule = self.schedule.respaced(min(_STEPS, len(self.schedule)))
        known = int((schedule.timesteps < self.reach).sum())
        t = min(_UP, known) - 1
        noise = torch.randn(self.shape, generator=torch.Generator().manual_seed(0))
        return schedule.add_noise(to_pm1(x), t, noise.to(x).expand_as(x)), schedule, t

    def predict_x0(self, z: Noisy, schedule: NoiseSchedule, t: int) -> Noisy:
        """The expected images behind noisy ones: Tweedie's formula."""
        return self._predict(z, schedule, t)[0]

    def step(self, z: Noisy, schedule: NoiseSchedule, t: int) -> tuple[Noisy, Float[Tensor, "b ..."]]:
        """Mean and variance of the previous timestep; add no noise to the mean where t is 0."""
        return self.predict(z, schedule, t)[1:]

    def predict(self, z: Noisy, schedule: NoiseSchedule, t: int) -> tuple[Noisy, Noisy, Float[Tensor, "b ..."]]:
        """Both with one call of the net: the expected images, then mean and variance of the previous timestep."""
        x, range_of_variance = self._predict(z, schedule, t)
        mean, least = schedule.posterior(z, t, x)
        if t == 0 and len(schedule) > 1:  # the posterior has none there; guidance scales with that of timestep 1
            _, least = schedule.posterior(z, 1, x)
        most = schedule.beta(t, z)
        if range_of_variance is not None:  # Nichol and Dhariwal (2021): from -1, the least, to 1, the most
            part = (range_of_variance + 1) / 2
            return x, mean, (part * most.log() + (1 - part) * least.clamp(min=1e-20).log()).exp()
        return x, mean, (most if self.variance == "beta" else least).expand(len(z), 1, 1, 1)

    def _predict(self, z: Noisy, schedule: NoiseSchedule, t: int) -> tuple[Noisy, Noisy | None]:
        """The expected images, and a learned variance."""
        c = self.shape[0]
        output: Tensor = self.net(z, schedule.timesteps[t].to(z.device).expand(len(z))).to(z)
        match self.prediction_type:
            case "noise":
                x = schedule.x0(z, t, output[:, :c])
            case "image":
                x = output[:, :c]
            case "velocity":
                a = schedule.alpha_bar[t]
                x = a.sqrt().to(z) * z - (1 - a).sqrt().to(z) * output[:, :c]
        return x.clamp(-1, 1), output[:, c:] if self.variance == "learned" else None


def _channels_last(denoiser: nn.Module, _missing: object) -> None:
    denoiser.to(memory_format=torch.channels_last)


@final
class UNet(nn.Module):
    """A `diffusers.UNet2DModel` of noisy images (b, c, h, w) and timesteps (b,).

    Args:
        config: its settings.
        patch: side, in pixels, of squares that become channels on the way in and pixels again at the end: with
            2 a step takes less than half the time.
    """

    def __init__(self, config: Mapping[str, Any], patch: int = 1) -> None:
        from diffusers import UNet2DModel  # its import takes seconds

        super().__init__()
        self.net, self.patch = UNet2DModel(**config), patch

    def forward(self, z: Noisy, timesteps: Int[Tensor, " b"]) -> Float[Tensor, "b d h w"]:
        """The net's prediction; see `Denoiser`."""
        output: Tensor = self.net(F.pixel_unshuffle(z, self.patch), timesteps, return_dict=False)[0]
        return F.pixel_shuffle(output, self.patch)


def small_unet(shape: Shape, width: int, patch: int) -> UNet:
    """A U-Net with one residual block per level, and attention at the lowest.

    Each level halves the sides and doubles the channels, until the sides are 8 or fewer, or odd.
    """
    c, h, w = shape[0] * patch**2, shape[1] // patch, shape[2] // patch
    channels = [width]
    while max(h, w) > _SMALL and h % 2 == 0 == w % 2:
        h, w = h // 2, w // 2
        channels.append(min(2 * channels[-1], _DEEPEST * width))
    config = {
        "sample_size": (shape[1] // patch, shape[2] // patch),
        "in_channels": c,
        "out_channels": c,
        "block_out_channels": channels,
        "down_block_types": ["DownBlock2D"] * len(channels),
        "up_block_types": ["UpBlock2D"] * len(channels),
        "layers_per_block": 1,
        "attention_head_dim": channels[-1],
        # A group of one channel would remove what the timestep adds to it, which is the same everywhere.
        "norm_num_groups": gcd(width, max(1, width // 4)),
    }
    return UNet(config, patch)


@final
class DDPMRecipe(GeneratorRecipe):
    """Removes the noise of images, in small steps or at once."""

    makes = Denoiser

    levels: Annotated[int, Field(ge=2, le=10_000)] = 500
    """Timesteps of the noise schedule."""
    schedule: Literal["linear", "cosine"] = "linear"
    """How the noise grows from timestep to timestep."""
    reach: PositiveInt | None = None
    """How many of the lowest timesteps it learns; all by default. ACE needs a tenth of them, DiME a third."""
    patch: Literal[1, 2] = 2
    """Side, in pixels, of the squares that the net takes as one: 2 is twice as fast, 1 is finer."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Share of the running mean of the weights that a step keeps; 0 takes the last weights."""
    batch_size: Batch = 64

    @model_validator(mode="after")
    def _within(self) -> DDPMRecipe:
        if self.reach is not None and self.reach > self.levels:
            raise RatherError("CFG-SETTING", where=f"ddpm.reach {self.reach}", why=f"levels: {self.levels}")
        return self

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> DDPMNet:
        if shape[1] % self.patch or shape[2] % self.patch:
            why = f"{shape[1]} x {shape[2]} pixels are no multiple of {self.patch}"
            raise RatherError("TRAIN-DATA", why=why, do="Give --size, or --set patch=1")
        return DDPMNet(self, shape)

    @override
    def figures(self, product: FrozenNet, test: Columns, classifier: Classifier | None = None) -> Mapping[str, Figure]:
        assert isinstance(product, Denoiser)  # noqa: S101 - `build` makes no other
        x, schedule = test["images"], product.schedule
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        figures: dict[str, Figure] = {}
        for t in sorted({product.reach // 10, product.reach // 3, product.reach - 1}):
            parts = zip(x.split(64), noise.split(64), strict=True)
            predicted = [product.predict_x0(schedule.add_noise(to_pm1(part), t, e), schedule, t) for part, e in parts]
            figures[f"squared_error_at_level_{t}"] = float((to_unit(torch.cat(predicted)) - x).square().mean())
        filtered = torch.cat([product(part) for part in x.split(64)])
        error = (filtered - x).square().flatten(1).mean(1).clamp(min=1e-10)
        return figures | {"psnr": float((-10 * error.log10()).mean())}  # dB

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        assert isinstance(product, Denoiser)  # noqa: S101
        x = shown["images"]
        return [x, to_unit(product.noised(x)[0]), product(x)]


@final
class DDPMNet(GeneratorNet):
    """The net, and the running mean of its weights."""

    def __init__(self, settings: DDPMRecipe, shape: Shape) -> None:
        super().__init__()
        self.shape, self.reach = shape, settings.reach or settings.levels
        self.schedule = NoiseSchedule.of({"linear": linear, "cosine": cosine}[settings.schedule](settings.levels))
        self.net = small_unet(shape, settings.width, settings.patch)

        def mean(means: Sequence[Tensor], weights: Sequence[Tensor], steps: Tensor | int) -> None:
            # At first over few steps: else the random weights of the beginning would count for long.
            share = 1 - min(settings.ema, float(steps / (steps + 10)))
            for old, new in zip(means, weights, strict=True):
                old.lerp_(new, share)

        self.mean = AveragedModel(self.net, multi_avg_fn=mean).requires_grad_(requires_grad=False)

    @override
    def phases(self) -> Mapping[str, Phase]:
        return {"denoise": Phase([*self.net.parameters()])}

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        if self.training:  # with the weights after the step before
            self.mean.update_parameters(self.net)
        x = to_pm1(batch[0])
        t = torch.randint(self.reach, (len(x),))
        noise = torch.randn_like(x)
        predicted: Tensor = self.net(self.schedule.add_noise(x, t, noise), t.to(x.device))
        return (predicted.float() - noise).square().flatten(1).mean(1)

    @override
    def product(self, name: str) -> Denoiser:
        levels = self.schedule.alpha_bar
        return Denoiser(self.mean.module, shape=self.shape, alpha_bar=levels, reach=self.reach, name=name)
