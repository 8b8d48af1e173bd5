"""Images to latents and back: the generator of methods that search in a latent space."""

from __future__ import annotations

from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images
from rather.generators.frozen import CHECKED, ReconstructingNet, failing_net
from rather.io.images import Shape

Latents = Float[Tensor, "b l"]
_SLACK: Final = 0.05  # by which pixels may leave their range; a net's last layer may be linear
_BYTES: Final = 2  # a pixel above this value is on a scale to 255, not to 1: half-way, logarithmically


@final
class Autoencoder(ReconstructingNet):
    """An encoder, images (b, c, h, w) to latents (b, l), and a decoder back.

    It takes nets of any origin: `Autoencoder(net.encoder, net.decoder, shape=(3, 64, 64), size=128,
    pixels=(-1, 1))`. It freezes their parameters and keeps them in evaluation mode.

    Args:
        encoder: images to the mean of their latents, not to a sample, so that the same image has one latent.
        decoder: latents to images.
        shape: (c, h, w) of the images.
        size: l, numbers in a latent.
        pixels: the values of black and white inside the two nets; outside they are 0 and 1.
        name: for reports.
    """

    kind = "autoencoder"
    black: Tensor
    span: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        shape: Shape,
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

    def _one_tensor(self, part: str, output: object) -> Tensor:
        if isinstance(output, Tensor):
            return output
        raise RatherError(
            "GEN-SIZE",
            where=f"{self.name}'s {part}",
            why=f"it gives a {type(output).__name__}, not one tensor",
            do="Wrap it in a module that gives the images, or of latents the mean, alone",
        )

    def forward(self, x: Images) -> Images:
        """The reconstruction of images from their latents."""
        return self.decode(self.encode(x))

    @override
    def fingerprint_extra(self) -> object:
        return self.size, self.pixels

    @override
    @torch.no_grad()
    def preflight(self, classifier: Classifier, images: Images) -> list[str]:
        """Reconstruct a few images; refuse nets that do not fit, note how many images change their class.

        Raises:
            RatherError: GEN-SIZE for another shape than the classifier's, another latent than `size`, a net
                that fails on these shapes or gives no tensor; GEN-RANGE for reconstructions outside [0, 1];
                GEN-NONFINITE.
        """
        self.check_images(classifier)
        x = images[:CHECKED]
        with failing_net(f"{self.name}'s encoder", x):
            z = self.encode(x)
        if z.shape != (len(x), self.size):
            where, why = f"{self.name}'s encoder gives {tuple(z.shape)}", f"for {len(x)} images, with size {self.size}"
            raise RatherError("GEN-SIZE", where=where, why=why)
        with failing_net(f"{self.name}'s decoder", z):
            reconstructed = self.decode(z)
        if reconstructed.shape != x.shape:
            where = f"{self.name}'s decoder gives {tuple(reconstructed.shape)}"
            raise RatherError("GEN-SIZE", where=where, why=f"for {tuple(x.shape)}")
        notes = self.reconstruction_notes(classifier, x, reconstructed)
        low, high = float(reconstructed.min()), float(reconstructed.max())
        if low < -_SLACK or high > 1 + _SLACK:
            raise RatherError(
                "GEN-RANGE",
                where=f"{self.name} gives {low:.2f} to {high:.2f}",
                why="pixels are in [0, 1]",
                do=f"Say Autoencoder(..., pixels={(0, 255) if high > _BYTES else (-1, 1)})",
            )
        return notes
