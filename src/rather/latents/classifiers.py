"""Classifiers of latents: small nets on the output of an autoencoder's encoder; Clarity needs an ensemble."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rather.core import Classifier, Features, Images, Logits, Resource
from rather.generators.autoencoder import Autoencoder, Latents


@final
class LatentHeads(nn.Module):
    """M perceptrons with two hidden layers, computed at once; each layer's weights are one tensor.

    Args:
        members: M.
        size: numbers of a latent.
        hidden: units of a hidden layer.
        classes: k.
    """

    def __init__(self, members: int, size: int, hidden: int, classes: int) -> None:
        super().__init__()
        sizes = [size, hidden, hidden, classes]
        layers = list(pairwise(sizes))
        self.weights = nn.ParameterList([torch.empty(members, i, o) for i, o in layers])
        self.biases = nn.ParameterList([torch.empty(members, 1, o) for _, o in layers])
        for weight, bias in zip(self.weights, self.biases, strict=True):  # as nn.Linear does
            bound = 1 / math.sqrt(weight.shape[1])
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)

    @property
    def members(self) -> int:
        """M."""
        return len(self.weights[0])

    def forward(self, z: Float[Tensor, "b l"] | Float[Tensor, "m b l"]) -> Float[Tensor, "m b k"]:
        """The logits of each member, for latents that all share or for its own."""
        h = z.expand(self.members, *z.shape[-2:])
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            h = torch.baddbmm(bias, h, weight).relu()
        return torch.baddbmm(self.biases[-1], h, self.weights[-1])


@final
class LatentClassifiers(Resource, nn.Module):
    """An autoencoder and classifiers of its latents, an ensemble or a single one.

    `classifier()` makes a classifier of images of it.
    """

    def __init__(
        self, autoencoder: Autoencoder, heads: LatentHeads, classes: Sequence[str], name: str = "latent"
    ) -> None:
        super().__init__()
        self.autoencoder, self.heads = autoencoder, heads
        self.classes, self.name = tuple(classes), name
        self.eval().requires_grad_(requires_grad=False)

    def logits(self, z: Latents) -> Float[Tensor, "m b k"]:
        """The logits of each member."""
        logits: Tensor = self.heads(z)
        return logits

    def classifier(self) -> Classifier:
        """The classifier of images; its feature map is their latents, (b, l, 1, 1)."""
        body = _Encode(self)
        members = [
            Classifier(
                body,
                _Member(self.heads, m),
                classes=self.classes,
                shape=self.autoencoder.shape,
                name=f"{self.name}-{m}",
            )
            for m in range(self.heads.members)
        ]
        return Classifier(
            body, _Mean(self.heads), classes=self.classes, shape=self.autoencoder.shape, name=self.name, members=members
        )

    @staticmethod
    def of(classifier: Classifier) -> LatentClassifiers | None:
        """The latent classifiers behind a classifier, if `classifier()` made it; behind a member, that member alone."""
        body, head = classifier.body, classifier.head
        if not isinstance(body, _Encode):
            return None
        if isinstance(head, _Member):
            return body.latent.member(head.number)
        return body.latent

    def member(self, number: int) -> LatentClassifiers:
        """One member alone."""
        some = self.heads.weights
        with torch.device("meta"):  # first weights would draw random numbers
            one = LatentHeads(1, some[0].shape[1], some[0].shape[2], some[-1].shape[2])
        own = {key: t[number : number + 1].clone() for key, t in self.heads.state_dict().items()}
        one.load_state_dict(own, assign=True)
        return LatentClassifiers(self.autoencoder, one, self.classes, f"{self.name}-{number}")


@final
class _Encode(nn.Module):
    """Images to latents, as a map of one cell."""

    def __init__(self, latent: LatentClassifiers) -> None:
        super().__init__()
        self.encoder = latent.autoencoder
        self._latent = (latent,)  # a tuple, so that nothing is registered twice

    @property
    def latent(self) -> LatentClassifiers:
        return self._latent[0]

    def forward(self, x: Images) -> Features:
        """The latents of images in [0, 1]: the classifier does not normalise."""
        return self.encoder.encode(x)[:, :, None, None]


@final
class _Member(nn.Module):
    """The logits of one member."""

    def __init__(self, heads: LatentHeads, number: int) -> None:
        super().__init__()
        self.heads, self.number = heads, number

    def forward(self, features: Features) -> Logits:
        logits: Tensor = self.heads(features.flatten(1))[self.number]
        return logits


@final
class _Mean(nn.Module):
    """The mean of the members' log-probabilities, as in any ensemble."""

    def __init__(self, heads: LatentHeads) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, features: Features) -> Logits:
        return self.each(features).log_softmax(-1).mean(0)

    def each(self, features: Features) -> Float[Tensor, "m b k"]:
        """The logits of each member, see `losses.MembersHead`."""
        logits: Tensor = self.heads(features.flatten(1))
        return logits
