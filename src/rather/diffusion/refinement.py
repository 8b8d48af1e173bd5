"""The second half of ACE, Jeanneret et al. (2023): what of a changed picture need not change is put back.

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
from rather.diffusion.denoising import Draws, step_back
from rather.generators._denoiser import Denoiser
from rather.generators.noise_schedule import NoiseSchedule, to_pm1, to_unit

#: 1 where a pixel may change, else 0.
Mask = Float[Tensor, "b 1 h w"]


def _odd(size: int) -> int:
    if size % 2:
        return size
    raise ValueError("an even square has no middle")


#: The side of a square of pixels around another.
Side = Annotated[PositiveInt, AfterValidator(_odd)]
#: A share of each row's largest change.
Thresholds = Float[Tensor, " b"]
#: Of a row's largest change.
Share = Annotated[float, Field(ge=0, le=1)]


def dilated(values: Mask, side: int) -> Mask:
    """Each pixel the largest of a square of `side` pixels around it."""
    return F.max_pool2d(values, side, stride=1, padding=side // 2)


def change_mask(z: Images, x: Images, threshold: float | Thresholds, dilation: int) -> Mask:
    """Where z is another picture than x: nowhere if it is the same, everywhere if it has a NaN.

    Args:
        z: the changed images.
        x: as they were.
        threshold: the least change that counts, as a share of the row's largest, of all rows or of each;
            summed over the channels. With 0 everything does, whether it has changed or not.
        dilation: the side of the square around a pixel whose largest change counts as its own.
    """
    change = (z - x).abs().sum(1, keepdim=True)
    most = change.amax((1, 2, 3), keepdim=True)
    seen = most > x.shape[1] * 0.5 / 255  # what no picture of 8 bits shows is no change
    share = change * seen / torch.where(seen, most, 1) + 0 * most  # NaN stays what it is
    least = threshold[:, None, None, None] if isinstance(threshold, Tensor) else threshold
    return (~(dilated(share, dilation) < least)).to(x)


@final
@dataclass(frozen=True, kw_only=True)
class Refinement:
    """Inpaints the changed region of a picture along a schedule of levels, and pastes the query around it."""

    generator: Denoiser
    schedule: NoiseSchedule
    threshold: float
    dilation: int

    @property
    def calls(self) -> int:
        """How often the generator is asked; it takes twice as many draws."""
        return len(self.schedule)

    @torch.no_grad()
    def __call__(self, z: Images, x: Images, draws: Draws, threshold: Thresholds | None = None) -> tuple[Images, Mask]:
        """The refined images and their masks; outside of its mask each is its query, to the last bit.

        Args:
            z: changed images (b, c, h, w) in [0, 1].
            x: the queries.
            draws: `2 * calls` for each.
            threshold: of each row; by default the refinement's own.
        """
        mask = change_mask(z, x, self.threshold if threshold is None else threshold, self.dilation)
        first, *rest = draws.unbind(1)
        top, query = len(self.schedule) - 1, to_pm1(x)
        inside = self.schedule.add_noise(to_pm1(z), top, first)
        for t in reversed(range(len(self.schedule))):
            outside = self.schedule.add_noise(query, t, rest.pop(0))
            collage = inside * mask + outside * (1 - mask)
            inside = step_back(self.generator, collage, self.schedule, t, rest.pop(0) if t else None)
        # Not by `where`: a generator that gives NaN is to be seen.
        return to_unit(inside).clamp(0, 1) * mask + x * (1 - mask), mask
