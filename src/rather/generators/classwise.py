"""Autoencoders, one of each class and one of all, as Van Looveren and Klaise (2021) have them; for IM1, IM2.

    min  |AE_c(x) - x|^2 + |AE_all(x) - x|^2,  c being the class of x by its label

A. Van Looveren, J. Klaise, "Interpretable counterfactual explanations guided by prototypes", ECML PKDD 2021.
All of them have one architecture. Ours: its bottleneck is a layer of a few numbers, where theirs is a map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images
from rather.generators._frozen_classwise import Classwise as Product
from rather.generators._frozen_classwise import by_class
from rather.generators._layers import down, group_norm, up
from rather.generators.frozen import FrozenNet
from rather.generators.training import Column, Columns, Figure, Generator, GeneratorNet, Latent, Names, Phase, Shape

_MEASURED = 1000  # pictures, at most, that all autoencoders are asked for


@final
class Classwise(Generator):
    """What is left of an image when only the pictures of one class are known."""

    reads: ClassVar[tuple[Column, ...]] = ("images", "labels")

    labels: Names = ()
    """Names of the classes; the training takes them from the data."""
    latent: Latent = 16
    """How many numbers a bottleneck has; with many, an autoencoder repeats pictures of every class."""

    @override
    def build(self, shape: Shape, *, count: int = 1, classifier: Classifier | None = None) -> ClasswiseNet:
        if not self.labels:
            raise RatherError("CFG-SETTING", where="classwise.labels", why="there is no class")
        return ClasswiseNet(self, shape)

    @override
    def figures(self, product: FrozenNet, test: Columns, judge: Classifier | None = None) -> Mapping[str, Figure]:
        assert isinstance(product, Product)  # noqa: S101 - `build` makes no other
        x, labels = test["images"][:_MEASURED], test["labels"][:_MEASURED]
        errors = torch.stack([_error(net, x) for net in product.autoencoders], 1) / x[0].numel()
        own = errors.gather(1, labels[:, None])
        return {
            "own_error": float(own.mean()),
            "all_error": float(_error(product.everything, x).mean()) / x[0].numel(),
            # For this many IM1 from any other class to their own is below 1.
            "nearest_own": float((errors.argmin(1) == labels).float().mean()),
        }

    @override
    def preview(self, product: FrozenNet, shown: Columns) -> Sequence[Images]:
        assert isinstance(product, Product)  # noqa: S101 - `build` makes no other
        x = shown["images"]
        return [x, by_class(product.autoencoders, x, shown["labels"]), product(x)]


@final
class ClasswiseNet(GeneratorNet):
    """Autoencoders of one architecture."""

    def __init__(self, settings: Classwise, shape: Shape) -> None:
        super().__init__()
        self.labels, self.shape = settings.labels, shape
        self.everything, *each = (_autoencoder(settings, shape) for _ in range(1 + len(settings.labels)))
        self.each = nn.ModuleList(each)

    @override
    def phases(self) -> Mapping[str, Phase]:
        return {"classwise": Phase([*self.parameters()])}

    @override
    def forward(self, phase: str, *batch: Tensor) -> Float[Tensor, " b"]:
        x, labels = batch
        both = torch.stack([by_class(self.each, x, labels), self.everything(x).to(x.dtype)])
        return (both - x).square().flatten(2).sum((0, 2))

    @override
    def product(self, name: str) -> Product:
        nets = [*self.each]
        return Product(nets, self.everything, classes=self.labels, shape=self.shape, name=name)


def _autoencoder(settings: Classwise, shape: Shape) -> nn.Sequential:
    width, latent = settings.width, settings.latent
    return nn.Sequential(
        *down(shape, width, latent, norm=group_norm, act=nn.SiLU),
        *up(shape, width, latent, norm=group_norm, act=nn.SiLU),
        nn.Sigmoid(),
    )


def _error(net: nn.Module, x: Images) -> Float[Tensor, " b"]:
    """Squared, and summed over the image."""
    return torch.cat([(net(part) - part).square().flatten(1).sum(1) for part in x.split(256)])
