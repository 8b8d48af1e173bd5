"""An autoencoder of each class, and one of all: IM1 and IM2 ask whose pictures an image is like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Images, Labels
from rather.generators.frozen import FrozenNet

#: What an autoencoder makes of images: an `Autoencoder`, or any function.
Reconstruct = Callable[[Images], Images]


@final
class Classwise(FrozenNet):
    """Images through the autoencoder of a class, or through that of all classes.

    Nets of anybody's will do: `Classwise([zeros, ones], digits, classes=("0", "1"), shape=(1, 28, 28))`.

    Args:
        autoencoders: one for each class, images in [0, 1] to images.
        everything: the same of all classes.
        classes: their names, in the order of the autoencoders.
        shape: (c, h, w) of the images.
        name: what to call it in a report.
    """

    def __init__(
        self,
        autoencoders: Sequence[nn.Module],
        everything: nn.Module,
        *,
        classes: tuple[str, ...],
        shape: tuple[int, int, int],
        name: str = "classwise",
    ) -> None:
        super().__init__()
        self.autoencoders, self.everything = nn.ModuleList(autoencoders), everything
        self.classes, self.shape, self.name = tuple(classes), shape, name
        self.freeze()

    def of(self, classes: Sequence[str]) -> list[nn.Module]:
        """The autoencoders of classes by their names.

        Raises:
            RatherError: MODEL-CLASSES for a name that it does not know.
        """
        if not {*classes} <= {*self.classes}:
            raise RatherError(
                "MODEL-CLASSES",
                where=f"{self.name}: {', '.join(self.classes)}"[:200],
                why=f"asked for are {', '.join(classes)}"[:200],
            )
        return [self.autoencoders[self.classes.index(name)] for name in classes]

    def forward(self, x: Images) -> Images:
        """What the autoencoder of all classes leaves of images."""
        again: Tensor = self.everything(x)
        return again

    @override
    def fingerprint_extra(self) -> object:
        return self.classes


def by_class(autoencoders: Iterable[Reconstruct], x: Images, classes: Labels) -> Images:
    """Each image through the autoencoder of its class; NaN of a class that has none.

    Where gradients are asked for, autoencoders of classes that no image has are asked as well, for none: so
    they have gradients, which are zero.
    """
    again = torch.full_like(x, torch.nan)
    for k, net in enumerate(autoencoders):
        mine = classes == k
        if mine.any() or torch.is_grad_enabled():
            again[mine] = net(x[mine]).to(x.dtype)
    return again
