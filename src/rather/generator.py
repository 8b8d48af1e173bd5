"""What a generator is before it is trained, and what of it is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, final

from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from rather.autoencoder import Autoencoder
from rather.core import Images
from rather.settings import Settings

Shape = tuple[int, int, int]  # c, h, w
#: Bounds keep a forged file, and a slip of the finger, from asking for a giant net.
Latent = Annotated[int, Field(gt=0, le=4096)]


@final
@dataclass(frozen=True)
class Phase:
    """A part of each training step: one Adam optimiser, and the parameters that it moves."""

    parameters: Sequence[nn.Parameter]
    betas: tuple[float, float] = (0.9, 0.999)
    begin: float = 0.0  # as shares of all steps
    end: float = 1.0


class GeneratorNet(nn.Module, ABC):
    """The nets of a generator; `forward` gives what its phases lower."""

    @abstractmethod
    def phases(self) -> Mapping[str, Phase]:
        """By name, in the order in which they take turns in each step."""

    @abstractmethod
    def forward(self, phase: str, x: Images) -> Float[Tensor, " b"]:
        """The loss of each image in a phase."""

    @abstractmethod
    def autoencoder(self, name: str) -> Autoencoder:
        """What it is good for once trained; standard normal latents decode to new images."""


class Generator(Settings, ABC):
    """A kind of generator with its settings: how it is built, and how it is trained."""

    latent: Latent = 32
    """How many numbers a latent has."""
    width: Annotated[int, Field(gt=0, le=1024)] = 32
    """Channels of the layer next to the image; layers further in have up to four times as many."""
    steps: PositiveInt = 4000
    """Training steps."""
    lr: PositiveFloat = 0.002
    """Adam's learning rate at the start; it falls linearly to zero."""
    batch_size: PositiveInt = 128
    """Images a step, in each process."""

    @abstractmethod
    def build(self, shape: Shape, *, count: int = 1) -> GeneratorNet:
        """The nets for images of a shape, of which there are `count` to train on, with random weights."""

    def settings(self) -> dict[str, Any]:
        """Its settings as plain data, its name among them."""
        return {"name": self.name()} | self.model_dump()
