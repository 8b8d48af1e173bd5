"""DDPM: Ho, Jain and Abbeel (2020), a net that sees through noise of every strength; for ACE and DiME.

    min  E |e_net(sqrt(a_t) x + sqrt(1 - a_t) e, t) - e|^2,    e ~ N(0, 1),  t uniform in 0 .. reach - 1

J. Ho, A. Jain, P. Abbeel, "Denoising diffusion probabilistic models", NeurIPS 2020; the cosine schedule of A.
Nichol, P. Dhariwal, ICML 2021. What comes of it are the running means of the weights. Methods that go only a
part of the way into noise need a net of that part alone, as G. Jeanneret et al. (ACE, CVPR 2023) trained one
for BDD100k: `reach`. Such a net makes no new images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images
from rather.generators._denoiser import Denoiser
from rather.generators._unet import small
from rather.generators.frozen import FrozenNet
from rather.generators.noise_schedule import NoiseSchedule, cosine, linear, to_pm1, to_unit
from rather.generators.training import Columns, Figure, Generator, GeneratorNet, Phase, Shape


@final
class DDPM(Generator):
    """Takes the noise off images, a little at a time or all at once."""

    levels: Annotated[int, Field(ge=2, le=10_000)] = 500
    """How many levels of noise the schedule has."""
    schedule: Literal["linear", "cosine"] = "linear"
    """How the noise grows from level to level."""
    reach: PositiveInt | None = None
    """How many of the lowest levels it learns; all by default. ACE needs a tenth of them, DiME a third."""
    patch: Literal[1, 2] = 2
    """Pixels a side of the squares that the net is given as one: 2 is twice as fast, 1 is finer."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """How much of the running mean of the weights a step leaves; 0 takes the last weights."""
    batch_size: PositiveInt = 64
    """Images a step, in each process."""

    @model_validator(mode="after")
    def _within(self) -> DDPM:
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
    def figures(self, product: FrozenNet, test: Columns, judge: Classifier | None = None) -> Mapping[str, Figure]:
        assert isinstance(product, Denoiser)  # noqa: S101 - `build` makes no other
        x, schedule = test["images"], product.schedule
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        levels = sorted({product.reach // 10, product.reach // 3, product.reach - 1})
        said: dict[str, Figure] = {}
        for t in levels:
            parts = zip(x.split(64), noise.split(64), strict=True)
            seen = [product.predict_x0(schedule.add_noise(to_pm1(part), t, e), schedule, t) for part, e in parts]
            said[f"squared_error_at_level_{t}"] = float((to_unit(torch.cat(seen)) - x).square().mean())
        again = torch.cat([product(part) for part in x.split(64)])
        error = (again - x).square().flatten(1).mean(1).clamp(min=1e-10)
        return said | {"psnr": float((-10 * error.log10()).mean())}  # dB

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        assert isinstance(product, Denoiser)  # noqa: S101
        x = shown["images"]
        return [x, to_unit(product.noised(x)[0]), product(x)]


@final
class DDPMNet(GeneratorNet):
    """The net, and the running mean of its weights."""

    def __init__(self, settings: DDPM, shape: Shape) -> None:
        super().__init__()
        self.shape, self.reach = shape, settings.reach or settings.levels
        self.schedule = NoiseSchedule.of({"linear": linear, "cosine": cosine}[settings.schedule](settings.levels))
        self.net = small(shape, settings.width, settings.patch)

        def mean(means: Sequence[Tensor], weights: Sequence[Tensor], steps: Tensor | int) -> None:
            # At first of few weights: else the random ones of the beginning would count for long.
            share = 1 - min(settings.ema, float(steps / (steps + 10)))
            for old, new in zip(means, weights, strict=True):
                old.lerp_(new, share)

        self.mean = AveragedModel(self.net, multi_avg_fn=mean).requires_grad_(requires_grad=False)

    @override
    def phases(self) -> Mapping[str, Phase]:
        return {"denoise": Phase([*self.net.parameters()])}

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        if self.training:  # with the weights that the step before has left
            self.mean.update_parameters(self.net)
        x = to_pm1(batch[0])
        t = torch.randint(self.reach, (len(x),))
        noise = torch.randn_like(x)
        said: Tensor = self.net(self.schedule.add_noise(x, t, noise), t.to(x.device))
        return (said.float() - noise).square().flatten(1).mean(1)

    @override
    def product(self, name: str) -> Denoiser:
        levels = self.schedule.alpha_bar
        return Denoiser(self.mean.module, shape=self.shape, alpha_bar=levels, reach=self.reach, name=name)
