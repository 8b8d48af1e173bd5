"""A short way into noise and back: the diffusion filter of ACE, Jeanneret et al. (2023), and its single steps.

    F_tau(x):  z = sqrt(a) x + sqrt(1 - a) e  at the highest of tau levels (eq. 1),  then tau steps back (eq. 2)

G. Jeanneret, L. Simon, F. Jurie, "Adversarial counterfactual visual explanations", CVPR 2023, section 3.1.
Random numbers are arguments: draws (b, n, c, h, w), n standard normal images for each row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rather.config.errors import RatherError
from rather.core import Images, Loadable
from rather.generators.ddpm import Denoiser
from rather.generators.frozen import Bundled
from rather.generators.noise_schedule import NoiseSchedule, Noisy, to_pm1, to_unit
from rather.io.memory import at_hand

Draws = Float[Tensor, "b n c h w"]
#: Gradient checkpointing: activations are computed again instead of kept; auto, if memory is short.
Checkpoint = Literal["auto", "always", "never"]
_SHARE: Final = 4  # a fourth of the free memory: the classifier and other processes need some as well

# Settings that the methods of diffusion share.
DiffusionModel = Loadable[
    Annotated[Denoiser, Bundled("ddpm"), Field(description="Diffusion model; trained on images of the queries' kind.")]
]
Tau = Annotated[
    PositiveInt, Field(description="Noise levels to go up, of num_inference_steps; more of them change the image more.")
]
InferenceSteps = Annotated[
    PositiveInt,
    Field(description="Noise levels of the respaced schedule; with more of them, tau levels reach less noise."),
]


def lowest_levels(generator: Denoiser, num_inference_steps: int, tau: int) -> NoiseSchedule:
    """The lowest `tau` of `num_inference_steps` levels that are evenly spaced over a generator's schedule.

    Raises:
        RatherError: CFG-SETTING if there are not so many, or if the generator was not trained on the highest.
    """
    whole = generator.schedule.respaced(num_inference_steps)
    if tau > num_inference_steps:
        raise RatherError(
            "CFG-SETTING", where=f"tau {tau}", why=f"the respaced schedule has {num_inference_steps} levels"
        )
    known = int((whole.timesteps < generator.reach).sum())
    if tau > known:
        raise RatherError(
            "CFG-SETTING",
            where=f"tau {tau} of {num_inference_steps} levels",
            why=f"{generator.name} has learned the lowest {known} of them",
            do=f"Say tau={max(known, 1)}, or train it on more of its schedule",
        )
    return NoiseSchedule(whole.alpha_bar[:tau], whole.timesteps[:tau])


def denoise_step(generator: Denoiser, z: Noisy, schedule: NoiseSchedule, t: int, noise: Noisy | None) -> Noisy:
    """From level t to the one below, whose mean it is without noise; below level 0 is the image."""
    mean, variance = generator.step(z, schedule, t)
    return mean if noise is None else mean + variance.sqrt() * noise


@final
@dataclass(frozen=True)
class Filter:
    """F_tau: images into noise, up a schedule of tau levels, and back step by step; differentiable."""

    generator: Denoiser
    schedule: NoiseSchedule
    one_call: bool = False  # back by the image predicted at the highest level, instead of by tau steps
    bfloat16: bool = False  # whether the generator computes in half the bits
    checkpoint: Checkpoint = "auto"

    @property
    def calls(self) -> int:
        """Forward passes of the generator, and draws, for each image."""
        return 1 if self.one_call else len(self.schedule)

    def __call__(self, x: Images, draws: Draws) -> Images:
        """Filtered images.

        Args:
            x: images (b, c, h, w) in [0, 1].
            draws: `calls` for each.
        """
        first, *rest = draws.unbind(1)
        top = len(self.schedule) - 1
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bfloat16):
            z = self.schedule.add_noise(to_pm1(x), top, first)
            if self.one_call:
                return to_unit(self.generator.predict_x0(z, self.schedule, top))
            return to_unit(self._back(z, [*rest, None]))

    def _back(self, z: Noisy, noises: list[Noisy | None]) -> Noisy:
        steps = list(zip(reversed(range(len(self.schedule))), noises, strict=True))
        forget = self.checkpoint == "always" and z.requires_grad
        if self.checkpoint == "auto" and z.requires_grad and len(steps) > 1:
            with _saved_bytes(self.generator) as sizes:
                z = denoise_step(self.generator, z, self.schedule, *steps.pop(0))
            forget = len(self.schedule) * sum(sizes.values()) > at_hand(z.device) // _SHARE
        for step in steps:
            args = (self.generator, z, self.schedule, *step)
            z = (
                checkpoint(denoise_step, *args, use_reentrant=False, preserve_rng_state=False)
                if forget
                else denoise_step(*args)
            )
        return z


@contextmanager
def _saved_bytes(generator: Denoiser) -> Iterator[dict[int, int]]:
    """The bytes that autograd saves meanwhile, by address; the generator's parameters do not count."""
    own = {p.untyped_storage().data_ptr() for p in generator.parameters()}
    sizes: dict[int, int] = {}

    def note(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        yield sizes
