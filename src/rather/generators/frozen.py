"""Nets that are asked, not trained: what comes out of a training, and what people bring of their own."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor, nn
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images, Resource, fingerprint

CHECKED: Final = 8  # images that are looked at beforehand


@final
@dataclass(frozen=True)
class Bundled:
    """Of a method's field, in `Annotated`: its paper's kind of generator, as `rather train` calls it."""

    kind: str


class FrozenNet(Resource, nn.Module, ABC):
    """A net of images that stays in evaluation mode; a subclass freezes its parameters once it has them."""

    shape: tuple[int, int, int]  # c, h, w of the images that it takes
    name: str  # what to call it in a report

    def freeze(self) -> None:
        """Evaluation mode for good, no gradients for the parameters."""
        self.eval().requires_grad_(requires_grad=False)

    @override
    def train(self, mode: bool = True) -> FrozenNet:
        """Stays in evaluation mode, whatever `mode` says."""
        del mode
        return super().train(mode=False)

    def fingerprint_extra(self) -> object:
        """What, beside its structure and its numbers, makes it what it is."""
        return None

    def refuse_other_images(self, classifier: Classifier) -> None:
        """Refuse a classifier of other images than those that this net takes.

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
        """Refuse what cannot work with a classifier, and tell what is odd; looks at `CHECKED` images at most.

        Raises:
            RatherError: GEN-SIZE for other images than the classifier's, and what a subclass refuses.
        """
        del images
        self.refuse_other_images(classifier)
        return []

    def fingerprint(self) -> str:
        """A sha256; see `core.fingerprint`."""
        device = next((tensor.device for tensor in self.state_dict().values()), torch.device("cpu"))
        return fingerprint(nn.Sequential(self, nn.Flatten()), self.shape, self.fingerprint_extra(), device)


@torch.no_grad()
def reconstruct(net: FrozenNet, classifier: Classifier, images: Images) -> list[str]:
    """The preflight of a net that brings images back: whether some change their class by that alone.

    Raises:
        RatherError: GEN-SIZE for other images than the classifier's, GEN-NONFINITE.
    """
    net.refuse_other_images(classifier)
    x = images[:CHECKED]
    with refused(net.name, x):
        again = net(x)
    return reconstruction_notes(net, classifier, x, again)


def reconstruction_notes(net: FrozenNet, classifier: Classifier, x: Images, again: Images) -> list[str]:
    """Whether images change their class by mere reconstruction: a note if some do.

    Args:
        net: that brings images back from what it makes of them.
        classifier: that will be explained with it.
        x: images.
        again: what the net brings back of them.

    Raises:
        RatherError: GEN-SIZE for images of another shape, GEN-NONFINITE.
    """
    if again.shape != x.shape:
        raise RatherError("GEN-SIZE", where=f"{net.name} gives {tuple(again.shape)}", why=f"of {tuple(x.shape)}")
    if not again.isfinite().all():
        raise RatherError("GEN-NONFINITE", where=net.name, do="Train it anew, at a lower rate")
    said = classifier.probabilities(x).argmax(1)
    other = int((classifier.probabilities(again.clamp(0, 1)).argmax(1) != said).sum())
    share = f"{other} of {len(x)} images change their class"
    return [f"GEN-RECONSTRUCTION: {share} by mere reconstruction with {net.name}"] if other else []


@contextmanager
def refused(net: str, given: Tensor) -> Iterator[None]:
    """Whatever goes wrong in somebody's net is a line that names it."""
    try:
        yield
    except RatherError:
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        why = f"of {tuple(given.shape)}: {type(error).__name__}: {first}"[:200].rstrip(" .:")
        raise RatherError(
            "GEN-SIZE", where=f"{net} fails", why=why, do="Give the shape and the size that it was made for"
        ) from error
