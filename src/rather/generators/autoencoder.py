"""Images to latents and back: what methods that search in a latent space need of a generator."""

from __future__ import annotations

from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images
from rather.generators.frozen import CHECKED, FrozenNet, reconstruction_notes, refused

Latents = Float[Tensor, "b l"]
_SLACK: Final = 0.05  # by which pixels may leave their range; a net's last layer may be linear


@final
class Autoencoder(FrozenNet):
    """An encoder, images (b, c, h, w) to latents (b, l), and a decoder back.

    A net of anybody's will do: `Autoencoder(net.encoder, net.decoder, shape=(3, 64, 64), size=128,
    pixels=(-1, 1))`. It is for asking, not for training: in evaluation mode, its parameters frozen.

    Args:
        encoder: images to the mean of their latents, not to a sample, so that the same image has one latent.
        decoder: latents to images.
        shape: (c, h, w) of the images.
        size: l, how many numbers a latent has.
        pixels: what black and white are for the two nets; outside they are 0 and 1.
        name: what to call it in a report.
    """

    black: Tensor
    span: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        shape: tuple[int, int, int],
        size: int,
        pixels: tuple[float | int, float | int] = (0, 1),
        name: str = "autoencoder",
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.shape, self.size, self.pixels, self.name = shape, size, pixels, name
        self.register_buffer("black", torch.tensor(float(pixels[0])))
        self.register_buffer("span", torch.tensor(float(pixels[1] - pixels[0])))
        self.freeze()

    def encode(self, x: Images) -> Latents:
        """The latents of images in [0, 1]."""
        return self._one_tensor("encoder", self.encoder(x * self.span + self.black))

    def decode(self, z: Latents) -> Images:
        """The images of latents, in [0, 1] as far as the decoder keeps its range."""
        return (self._one_tensor("decoder", self.decoder(z)) - self.black) / self.span

    def _one_tensor(self, part: str, given: object) -> Tensor:
        if isinstance(given, Tensor):
            return given
        raise RatherError(
            "GEN-SIZE",
            where=f"{self.name}'s {part}",
            why=f"it gives a {type(given).__name__}, not one tensor",
            do="Wrap it in a module that gives the images, or of latents the mean, alone",
        )

    def forward(self, x: Images) -> Images:
        """What is left of images after a way through the latents."""
        return self.decode(self.encode(x))

    @override
    def fingerprint_extra(self) -> object:
        return self.size, self.pixels

    @override
    @torch.no_grad()
    def preflight(self, classifier: Classifier, images: Images) -> list[str]:
        """Reconstruct a few images; refuse what does not fit, and tell what is odd.

        Raises:
            RatherError: GEN-SIZE for other images than the classifier's, another latent than it says, a net
                that fails on these shapes or gives no tensor; GEN-RANGE for reconstructions out of [0, 1];
                GEN-NONFINITE.
        """
        self.refuse_other_images(classifier)
        x = images[:CHECKED]
        with refused(f"{self.name}'s encoder", x):
            z = self.encode(x)
        if z.shape != (len(x), self.size):
            raise RatherError(
                "GEN-SIZE",
                where=f"{self.name}'s encoder gives {tuple(z.shape)}",
                why=f"of {len(x)} images, with size {self.size}",
            )
        with refused(f"{self.name}'s decoder", z):
            again = self.decode(z)
        if again.shape != x.shape:
            raise RatherError(
                "GEN-SIZE", where=f"{self.name}'s decoder gives {tuple(again.shape)}", why=f"of {tuple(x.shape)}"
            )
        notes = reconstruction_notes(self, classifier, x, again)
        low, high = float(again.min()), float(again.max())
        if low < -_SLACK or high > 1 + _SLACK:
            likely = (0, 255) if high > 2 else (-1, 1)  # noqa: PLR2004 - half-way, on a logarithmic scale
            raise RatherError(
                "GEN-RANGE",
                where=f"{self.name} gives {low:.2f} to {high:.2f}",
                why="pixels are in [0, 1]",
                do=f"Say Autoencoder(..., pixels={likely})",
            )
        return notes
