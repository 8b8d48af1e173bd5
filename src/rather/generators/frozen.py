"""Nets that methods and metrics use and never train: generators, encoders, attribute oracles."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Final, final

import torch
from torch import Tensor, nn
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images, Resource, fingerprint
from rather.io.images import Shape

CHECKED: Final = 8  # images, at most, that a preflight looks at


@final
@dataclass(frozen=True)
class Bundled:
    """Marks a method's field with the kind of bundled generator that its paper uses, as `rather train` calls it."""

    kind: str


class FrozenNet(Resource, nn.Module, ABC):
    """A net of images that stays in evaluation mode; a subclass calls `freeze` once it has its parameters."""

    kind: ClassVar[str]  # the prefix of its tensors in a file, and what an error message calls it
    shape: Shape  # c, h, w of the images
    name: str  # for reports

    def freeze(self) -> None:
        """Switch to evaluation mode for good, without gradients for the parameters."""
        self.eval().requires_grad_(requires_grad=False)

    @override
    def train(self, mode: bool = True) -> FrozenNet:
        """Stay in evaluation mode, whatever `mode` says."""
        del mode
        return super().train(mode=False)

    def fingerprint_extra(self) -> object:
        """What distinguishes this net besides its structure, its numbers and its outputs."""
        return None

    def check_images(self, classifier: Classifier) -> None:
        """Check that the classifier takes images of this net's shape.

        Raises:
            RatherError: GEN-SIZE.
        """
        if self.shape != classifier.shape:
            raise RatherError(
                "GEN-SIZE",
                where=f"{self.name}: images {self.shape}",
                why=f"{classifier.name} takes {classifier.shape}",
                do="Train one on images of that shape: rather train --help",
            )

    def preflight(self, classifier: Classifier, images: Images) -> list[str]:
        """Check that this net can explain a classifier; return notes on what is odd.

        Raises:
            RatherError: GEN-SIZE for another shape than the classifier's, and what a subclass raises.
        """
        del images
        self.check_images(classifier)
        return []

    def fingerprint(self) -> str:
        """A sha256; see `core.fingerprint`."""
        device = next((tensor.device for tensor in self.state_dict().values()), torch.device("cpu"))
        return fingerprint(nn.Sequential(self, nn.Flatten()), self.shape, self.fingerprint_extra(), device)


class ReconstructingNet(FrozenNet, ABC):
    """A frozen net whose `forward` takes images apart and puts them together again."""

    @override
    @torch.no_grad()
    def preflight(self, classifier: Classifier, images: Images) -> list[str]:
        """Reconstruct a few images; note how many change their class by that alone.

        Raises:
            RatherError: GEN-SIZE for another shape than the classifier's, GEN-NONFINITE.
        """
        self.check_images(classifier)
        x = images[:CHECKED]
        with failing_net(self.name, x):
            reconstructed = self(x)
        return self.reconstruction_notes(classifier, x, reconstructed)

    def reconstruction_notes(self, classifier: Classifier, x: Images, reconstructed: Images) -> list[str]:
        """A note if the class of some images `x` changes by reconstruction.

        Raises:
            RatherError: GEN-SIZE for reconstructions of another shape, GEN-NONFINITE.
        """
        if reconstructed.shape != x.shape:
            raise RatherError(
                "GEN-SIZE", where=f"{self.name} gives {tuple(reconstructed.shape)}", why=f"for {tuple(x.shape)}"
            )
        if not reconstructed.isfinite().all():
            raise RatherError("GEN-NONFINITE", where=self.name, do="Train it again with a lower learning rate")
        classes = classifier.probabilities(x).argmax(1)
        changed = int((classifier.probabilities(reconstructed.clamp(0, 1)).argmax(1) != classes).sum())
        if not changed:
            return []
        share = f"{changed} of {len(x)} images change their class by mere reconstruction with {self.name}"
        most = ", so most of its counterfactuals explain nothing" if 2 * changed > len(x) else ""
        return [f"GEN-RECONSTRUCTION: {share}{most}"]


@contextmanager
def failing_net(name: str, given: Tensor) -> Iterator[None]:
    """Turn an error inside a user's net into one line that names the net."""
    try:
        yield
    except RatherError:
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        why = f"for {tuple(given.shape)}: {type(error).__name__}: {first}"[:200].rstrip(" .:")
        raise RatherError(
            "GEN-SIZE", where=f"{name} fails", why=why, do="Give the shape and the size that it was made for"
        ) from error
