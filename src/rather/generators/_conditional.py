"""Nets of images under a condition, for attribute editors and exaggerators."""

from __future__ import annotations

from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from rather.core import Images, Labels, Logits
from rather.generators._layers import convolved

Condition = Float[Tensor, "b n"]


@final
class Encoder(nn.Module):
    """Images to three maps, of a half, a quarter and an eighth of their sides."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.large = convolved(channels, width, stride=2)
        self.middle = convolved(width, 2 * width, stride=2)
        self.small = nn.Sequential(convolved(2 * width, 4 * width, stride=2), convolved(4 * width, 4 * width))

    def forward(self, x: Images) -> list[Tensor]:
        """The larger maps keep small details in place."""
        large = self.large(x)
        middle = self.middle(large)
        return [large, middle, self.small(middle)]


@final
class Decoder(nn.Module):
    """The three maps to images; the condition joins each as channels that are the same everywhere."""

    def __init__(self, channels: int, width: int, conditions: int) -> None:
        super().__init__()
        self.small = nn.Sequential(convolved(4 * width + conditions, 4 * width), convolved(4 * width, 4 * width))
        self.middle = nn.Sequential(convolved(6 * width + conditions, 4 * width), convolved(4 * width, 3 * width))
        self.large = nn.Sequential(
            convolved(4 * width + conditions, 2 * width),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(width, channels, 3, padding=1),
        )

    def forward(self, features: list[Tensor], condition: Condition) -> Images:
        """Images in [0, 1]."""
        large, middle, h = features
        h = self.small(_joined(h, condition))
        h = self.middle(_joined(torch.cat([F.interpolate(h, scale_factor=2), middle], 1), condition))
        h = self.large(_joined(torch.cat([F.interpolate(h, scale_factor=2), large], 1), condition))
        return torch.sigmoid(h)


@final
class Critic(nn.Module):
    """Are images real, and do they match their condition? A projection with spectral norms."""

    def __init__(self, channels: int, width: int, conditions: int) -> None:
        super().__init__()
        sizes = [channels, width, 2 * width, 4 * width, 4 * width]
        layers = list[nn.Module]()
        for before, after in pairwise(sizes):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers)
        self.real = spectral_norm(nn.Linear(4 * width, 1))
        self.fits = spectral_norm(nn.Linear(conditions, 4 * width, bias=False))

    def forward(self, x: Images, condition: Condition) -> Float[Tensor, " b"]:
        """Higher where they are."""
        h: Tensor = self.body(x).mean((2, 3))
        score: Tensor = self.real(h)[:, 0] + (self.fits(condition) * h).sum(1)
        return score.float()


def critic_loss(real: Float[Tensor, " b"], fake: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The hinge loss of Lim and Ye (2017)."""
    return F.relu(1 - real) + F.relu(1 + fake)


def coin_divergence(wanted: Float[Tensor, " b"], logits: Logits, target: Labels) -> Float[Tensor, " b"]:
    """KL of a coin with the wanted probability from the classifier's of the target, in nats.

    It uses log-odds: with a classifier that is sure, 1 - p would be 0 and have no gradient.
    """
    chosen = F.one_hot(target, logits.shape[1]).bool()
    odds = logits[chosen] - logits.masked_fill(chosen, -torch.inf).logsumexp(1)
    entropy = torch.special.entr(wanted) + torch.special.entr(1 - wanted)
    divergence: Tensor = F.binary_cross_entropy_with_logits(odds, wanted, reduction="none") - entropy
    return divergence


def _joined(h: Float[Tensor, "b c u v"], condition: Condition) -> Float[Tensor, "b d u v"]:
    _, _, u, v = h.shape
    return torch.cat([h, condition[:, :, None, None].expand(-1, -1, u, v)], 1)
