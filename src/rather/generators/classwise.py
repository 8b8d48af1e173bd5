"""Autoencoders of each class and of all, for the metrics IM1 and IM2: Van Looveren and Klaise (2021).

    min  |AE_c(x) - x|^2 + |AE_all(x) - x|^2,  c being the class of x by its label

A. Van Looveren, J. Klaise, "Interpretable counterfactual explanations guided by prototypes", ECML PKDD 2021.
All of them have one architecture. Ours: its bottleneck is a layer of a few numbers, where theirs is a map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images, Labels
from rather.generators._layers import down, group_norm, up
from rather.generators.frozen import FrozenNet
from rather.generators.recipe import Columns, Figure, GeneratorNet, GeneratorRecipe, Latent, Names
from rather.io.images import Shape

#: Images to their reconstructions: an `Autoencoder`, or any function.
Reconstruct = Callable[[Images], Images]
_MEASURED = 1000  # pictures, at most, that all autoencoders reconstruct


@final
class Classwise(FrozenNet):
    """Images through the autoencoder of a class, or through that of all classes.

    It takes nets of any origin: `Classwise([zeros, ones], digits, classes=("0", "1"), shape=(1, 28, 28))`.

    Args:
        autoencoders: one for each class, images in [0, 1] to images.
        everything: the same for all classes.
        classes: their names, in the order of the autoencoders.
        shape: (c, h, w) of the images.
        name: for reports.
    """

    kind = "classwise"

    def __init__(
        self,
        autoencoders: Sequence[nn.Module],
        everything: nn.Module,
        *,
        classes: tuple[str, ...],
        shape: Shape,
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
                why=f"wanted are {', '.join(classes)}"[:200],
            )
        return [self.autoencoders[self.classes.index(name)] for name in classes]

    def forward(self, x: Images) -> Images:
        """Reconstructions by the autoencoder of all classes."""
        reconstructed: Tensor = self.everything(x)
        return reconstructed

    @override
    def fingerprint_extra(self) -> object:
        return self.classes


def by_class(autoencoders: Iterable[Reconstruct], x: Images, classes: Labels) -> Images:
    """Each image through the autoencoder of its class; NaN for a class that has none.

    With gradients on, an autoencoder whose class no image has runs on no image, so that its gradients are zero.
    """
    reconstructed = torch.full_like(x, torch.nan)
    for k, net in enumerate(autoencoders):
        rows = classes == k
        if rows.any() or torch.is_grad_enabled():
            reconstructed[rows] = net(x[rows]).to(x.dtype)
    return reconstructed


@final
class ClasswiseRecipe(GeneratorRecipe):
    """What remains of an image when only the pictures of one class are known."""

    makes = Classwise
    reads = ("images", "labels")

    labels: Names = ()
    """Names of the classes; the training takes them from the data."""
    latent: Latent = 16
    """Numbers in a bottleneck; with many, an autoencoder reconstructs pictures of every class."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> ClasswiseNet:
        if not self.labels:
            raise RatherError("CFG-SETTING", where="classwise.labels", why="there is no class")
        return ClasswiseNet(self, shape)

    @override
    def figures(self, product: FrozenNet, test: Columns, classifier: Classifier | None = None) -> Mapping[str, Figure]:
        assert isinstance(product, Classwise)  # noqa: S101 - `build` makes no other
        x, labels = test["images"][:_MEASURED], test["labels"][:_MEASURED]
        errors = torch.stack([_error(net, x) for net in product.autoencoders], 1) / x[0].numel()
        own = errors.gather(1, labels[:, None])
        return {
            "own_error": float(own.mean()),
            "all_error": float(_error(product.everything, x).mean()) / x[0].numel(),
            # For this share of the pictures IM1 from any other class to their own is below 1.
            "nearest_own": float((errors.argmin(1) == labels).float().mean()),
        }

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        assert isinstance(product, Classwise)  # noqa: S101
        x = shown["images"]
        return [x, by_class(product.autoencoders, x, shown["labels"]), product(x)]


@final
class ClasswiseNet(GeneratorNet):
    """Autoencoders of one architecture."""

    def __init__(self, settings: ClasswiseRecipe, shape: Shape) -> None:
        super().__init__()
        self.labels, self.shape = settings.labels, shape
        self.everything, *each = (_autoencoder(settings, shape) for _ in range(1 + len(settings.labels)))
        self.each = nn.ModuleList(each)

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        x, labels = batch
        both = torch.stack([by_class(self.each, x, labels), self.everything(x).to(x.dtype)])
        return (both - x).square().flatten(2).sum((0, 2))

    @override
    def product(self, name: str) -> Classwise:
        return Classwise([*self.each], self.everything, classes=self.labels, shape=self.shape, name=name)


def _autoencoder(settings: ClasswiseRecipe, shape: Shape) -> nn.Sequential:
    width, latent = settings.width, settings.latent
    return nn.Sequential(
        *down(shape, width, latent, norm=group_norm, act=nn.SiLU),
        *up(shape, width, latent, norm=group_norm, act=nn.SiLU),
        nn.Sigmoid(),
    )


def _error(net: nn.Module, x: Images) -> Float[Tensor, " b"]:
    """Squared, and summed over the image."""
    return torch.cat([(net(part) - part).square().flatten(1).sum(1) for part in x.split(256)])
