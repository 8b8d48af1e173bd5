"""The second half of ACE, Jeanneret et al. (2023): the part of a change that is not needed is undone.

    m = [ dilated |z - x| / max |z - x| >= threshold ],   z_t <- m z_t + (1 - m) x_t  before each step back

G. Jeanneret, L. Simon, F. Jurie, "Adversarial counterfactual visual explanations", CVPR 2023, section 3.2.
Here x_t is the query at the level of z_t, with noise of its own each time. RePaint's jumps up the schedule are
not made, as the authors make none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, final

import torch
from jaxtyping import Float
from pydantic import AfterValidator, Field, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from rather.core import Images
from rather.diffusion.denoising import Draws, denoise_step
from rather.generators.ddpm import Denoiser
from rather.generators.noise_schedule import NoiseSchedule, to_pm1, to_unit

#: 1 where a pixel may change, else 0.
Mask = Float[Tensor, "b 1 h w"]


def _odd(size: int) -> int:
    if size % 2:
        return size
    raise ValueError("an even square has no middle")


#: A share of each row's largest change.
Thresholds = Float[Tensor, " b"]

# Settings that the methods with masks share.
Side = Annotated[
    PositiveInt,
    AfterValidator(_odd),
    Field(description="Side, in pixels, of the square that the mask has around each changed pixel; an odd number."),
]
Threshold = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Least change inside the mask, as a share of the image's largest; at 0 it is everywhere.",
    ),
]


def dilated(values: Mask, side: int) -> Mask:
    """The largest value in the square of `side` x `side` pixels around each pixel."""
    return F.max_pool2d(values, side, stride=1, padding=side // 2)


def change_mask(z: Images, x: Images, threshold: float | Thresholds, dilation: int) -> Mask:
    """Where z differs from x: nowhere if they are the same 8-bit image, everywhere if z has a NaN.

    Args:
        z: the changed images.
        x: the images before.
        threshold: least change, summed over the channels, that counts, as a share of the row's largest; one
            for all rows or one for each. With 0 the mask is everywhere.
        dilation: side of the square around a pixel whose largest change counts as its own.
    """
    change = (z - x).abs().sum(1, keepdim=True)
    most = change.amax((1, 2, 3), keepdim=True)
    seen = most > x.shape[1] * 0.5 / 255  # what an 8-bit image does not show is no change
    share = change * seen / torch.where(seen, most, 1) + 0 * most  # NaN stays what it is
    least = threshold[:, None, None, None] if isinstance(threshold, Tensor) else threshold
    return (~(dilated(share, dilation) < least)).to(x)


@final
@dataclass(frozen=True)
class Refinement:
    """Inpaints the changed region of an image by a denoiser, and pastes the query around it."""

    generator: Denoiser
    schedule: NoiseSchedule
    threshold: float
    dilation: int

    @property
    def calls(self) -> int:
        """Forward passes of the generator for each image; it takes twice as many draws."""
        return len(self.schedule)

    @torch.no_grad()
    def __call__(self, z: Images, x: Images, draws: Draws, threshold: Thresholds | None = None) -> tuple[Images, Mask]:
        """The refined images and their masks; outside its mask an image equals its query, to the last bit.

        Args:
            z: changed images (b, c, h, w) in [0, 1].
            x: the queries.
            draws: `2 * calls` for each.
            threshold: of each row; by default that of the refinement.
        """
        mask = change_mask(z, x, self.threshold if threshold is None else threshold, self.dilation)
        first, *rest = draws.unbind(1)
        top, query = len(self.schedule) - 1, to_pm1(x)
        inside = self.schedule.add_noise(to_pm1(z), top, first)
        for t in reversed(range(len(self.schedule))):
            outside = self.schedule.add_noise(query, t, rest.pop(0))
            collage = inside * mask + outside * (1 - mask)  # x'_t of eq. 4
            inside = denoise_step(self.generator, collage, self.schedule, t, rest.pop(0) if t else None)
        # Not by `where`, which would hide the NaN of a generator.
        return to_unit(inside).clamp(0, 1) * mask + x * (1 - mask), mask
