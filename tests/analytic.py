"""Classifiers whose answers are known in closed form, and what methods need beside them."""

from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from rather.core import Classifier, Method
from rather.generators.autoencoder import Autoencoder
from rather.generators.ddpm import Denoiser
from rather.generators.editor import AttributeEditor
from rather.generators.exaggerator import Exaggerator
from rather.generators.noise_schedule import linear
from rather.generators.semantic import Semantic
from rather.hub.methods import method_class
from rather.latents.classifiers import LatentClassifiers, LatentHeads
from rather.methods.wachter import Wachter
from rather.search.references import References

CLASSES = ("bright", "left", "top")


def spatial(body: Callable[[nn.Module], nn.Module] = lambda net: net) -> Classifier:
    """Linear, of pictures 1 x 6 x 6: brighter than a half, brighter on the left, or brighter at the top.

    Its map has 3 x 3 cells of 2 x 2 pixels that do not overlap, and every cell counts alike: so a feature
    cell that is copied can be shown in the picture exactly, and copying all of them flips the decision.

    Args:
        body: changes the body, to break it.
    """
    conv, linear = nn.Conv2d(1, 3, 2, stride=2, bias=False), nn.Linear(27, 3)
    with torch.no_grad():
        left, top = torch.tensor([[1.0, -1.0], [1.0, -1.0]]), torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
        conv.weight.copy_(torch.stack([torch.ones(2, 2), left, top])[:, None] / 4)
        # Unlike gains: with equal ones the gradient of a pixel at the left top would be rounding errors only.
        linear.weight.copy_(torch.diag(torch.tensor([4.0, 5.0, 6.0])).repeat_interleave(9, 1))
        linear.bias.copy_(torch.tensor([-18.0, 0.0, 0.0]))  # nine cells of a half are neither bright nor dark
    return Classifier(body(conv), nn.Sequential(nn.Flatten(), linear), classes=CLASSES, shape=(1, 6, 6), name="spatial")


def two_classes(weight: Sequence[float], bias: float, shape: tuple[int, int, int]) -> Classifier:
    """Class 1 where weight . x + bias > 0, else class 0: the distance to the decision is known."""
    linear = nn.Linear(len(weight), 2)
    with torch.no_grad():
        linear.weight.copy_(torch.stack([torch.zeros(len(weight)), torch.tensor(weight)]))
        linear.bias.copy_(torch.tensor([0.0, bias]))
    head = nn.Sequential(nn.Flatten(), linear)
    return Classifier(nn.Identity(), head, classes=("no", "yes"), shape=shape, name="two classes")


def pictures(count: int, seed: int = 0) -> Tensor:
    """Pictures for `spatial` on the 8-bit grid, away from black and white; not one like the other."""
    levels = np.random.default_rng(seed).integers(51, 205, (count, 1, 6, 6))
    return torch.from_numpy(levels).float() / 255


def others(classifier: Classifier, x: Tensor) -> Tensor:
    """For each picture a class that it is not."""
    return (classifier.probabilities(x).argmax(1) + 1) % len(classifier.classes)


def in_colour() -> Classifier:
    """`spatial` of pictures 3 x 6 x 6, where green counts more than red, and red more than blue."""
    weighted = nn.Conv2d(3, 1, 1, bias=False)
    with torch.no_grad():
        weighted.weight.copy_(torch.tensor([0.3, 0.5, 0.2])[None, :, None, None])
    net = spatial(lambda body: nn.Sequential(weighted, body))
    return Classifier(net.body, net.head, classes=CLASSES, shape=(3, 6, 6), name="in colour")


def tinted(x: Tensor, channels: int = 3) -> Tensor:
    """Grey pictures (..., 1, h, w) with so many channels; several differ a little."""
    return (x * torch.linspace(0.97, 1.03, channels)[:, None, None]).clamp(0, 1) if channels > 1 else x


def stripes(channels: int = 1) -> Autoencoder:
    """Latents of pictures for `spatial`: tenths of brightness, of left over right, of top over bottom.

    It keeps what `spatial` looks at, whose logits are 3.6, 4.5 and 5.4 times these latents; but all comes out
    a thousandth brighter, lest pixels of a mean of 36 grey levels lie half-way between two of them. With several
    channels its pictures are tinted.
    """
    one = torch.ones(6, 6)
    left, top = one.clone(), one.clone()
    left[:, 1::2], top[1::2] = -1, -1
    patterns = torch.stack([one, left, top]).flatten(1)
    encoder, decoder = nn.Linear(36, 3), nn.Linear(3, 36)
    with torch.no_grad():
        encoder.weight.copy_(patterns / 36 / 0.1)
        encoder.bias.copy_(-encoder.weight @ (one / 2).flatten())
        decoder.weight.copy_(0.1 * patterns.T)
        decoder.bias.fill_(0.501)
    return Autoencoder(
        nn.Sequential(_Mean(), nn.Flatten(), encoder),
        nn.Sequential(decoder, nn.Unflatten(1, (1, 6, 6)), _Tint(channels)),
        shape=(channels, 6, 6),
        size=3,
    )


class _Mean(nn.Module):
    """Of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True)


class _Striped(nn.Module):
    """Something of `stripes` for pictures of so many channels."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.channels = channels


class _Tint(_Striped):
    def forward(self, x: Tensor) -> Tensor:
        return tinted(x, self.channels)


def latent_stripes(channels: int = 1) -> LatentClassifiers:
    """Two classifiers of the latents of `stripes`: `spatial` itself, and one of four fifths of its gains."""
    heads, three = LatentHeads(2, 3, 6, 3), torch.eye(3)
    both = torch.cat([three, -three], 1)  # relu(z) - relu(-z) is z
    with torch.no_grad():
        for bias in heads.biases:
            bias.zero_()
        heads.weights[0].copy_(both.expand(2, -1, -1))
        heads.weights[1].copy_(torch.eye(6).expand(2, -1, -1))
        gains = torch.tensor([1.0, 0.8])[:, None, None] * torch.tensor([3.6, 4.5, 5.4])
        heads.weights[2].copy_(both.T * gains)
    return LatentClassifiers(stripes(channels), heads, CLASSES)


class _Sides(nn.Module):
    """Logits of two regions, the upper and the lower half, whatever the picture."""

    def forward(self, x: Tensor) -> Tensor:
        upper = (torch.arange(6) < 3).float()[:, None].expand(6, 6)
        return torch.stack([upper, 1 - upper]).expand(len(x), 2, 6, 6)


class _Halved(_Striped):
    """The latents of `stripes`, half of them to each region."""

    def forward(self, x: Tensor, layout: Tensor) -> Tensor:
        return stripes(self.channels).encode(x)[:, None].expand(-1, layout.shape[1], -1) / 2


class _Summed(_Striped):
    def forward(self, codes: Tensor, layout: Tensor) -> Tensor:
        del layout
        return stripes(self.channels).decode(codes.sum(1))


def striped_regions(channels: int = 1) -> Semantic:
    """`stripes` as a semantic generator: what two regions say is added up."""
    halved, summed = _Halved(channels), _Summed(channels)
    return Semantic(_Sides(), halved, summed, shape=(channels, 6, 6), regions=("upper", "lower"), size=3)


class _Kept(_Striped):
    """The latents of `stripes` as features."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [stripes(self.channels).encode(x)]


class _Read(_Striped):
    """Latents from -5 to 5 as attributes from 0 to 1, by their logits."""

    def forward(self, x: Tensor) -> Tensor:
        return (stripes(self.channels).encode(x) / 10 + 0.5).clamp(1e-4, 1 - 1e-4).logit()


class _Edited(_Striped):
    def forward(self, features: list[Tensor], attributes: Tensor) -> Tensor:
        del features
        return stripes(self.channels).decode((attributes - 0.5) * 10)


def striped_editor(channels: int = 1) -> AttributeEditor:
    """`stripes` as an editor of three attributes."""
    parts = _Kept(channels), _Edited(channels), _Read(channels)
    return AttributeEditor(*parts, shape=(channels, 6, 6), attributes=("bright", "left", "top"))


class _Exaggerated(_Striped):
    """From the latents of a picture to those of one that is surely of the target, in four bins."""

    def forward(self, features: list[Tensor], condition: Tensor) -> Tensor:
        share = torch.arange(4) / 3
        asked = condition.view(-1, 3, 4)
        sure = 4 * asked.sum(2) - 2  # 2 of the target's latent, -2 of the others
        return stripes(self.channels).decode(torch.lerp(features[0], sure, (asked.sum(1) * share).sum(1, keepdim=True)))


def striped_exaggerator(channels: int = 1) -> Exaggerator:
    """`stripes` as an exaggerator for `spatial`."""
    return Exaggerator(_Kept(channels), _Exaggerated(channels), shape=(channels, 6, 6), bins=4, classes=CLASSES)


class Gaussian(nn.Module):
    """The image expected behind a noisy one where pixels are normal numbers, each on its own.

    Args:
        alpha_bar: of each level the share of the variance that is the image's.
        mean: of the pixels, in [-1, 1].
        variance: of the pixels.
    """

    def __init__(self, alpha_bar: Tensor, mean: float, variance: float) -> None:
        super().__init__()
        self.register_buffer("a", alpha_bar)
        self.mean, self.variance = mean, variance

    def forward(self, z: Tensor, step: Tensor) -> Tensor:
        a = self.a.to(z)[step][:, None, None, None]
        gain = a.sqrt() * self.variance / (a * self.variance + 1 - a)
        return self.mean + gain * (z - a.sqrt() * self.mean)


def grey_denoiser(variance: float = 0.12, levels: int = 500, channels: int = 1) -> Denoiser:
    """Of pictures such as `artifacts` makes: around grey, no pixel knows of another."""
    alpha_bar = linear(levels)
    net, shape = Gaussian(alpha_bar, 0.0, variance), (channels, 6, 6)
    return Denoiser(net, shape=shape, alpha_bar=alpha_bar, prediction_type="image")


def resources(channels: int = 1) -> dict[type, Any]:
    """An example of each type that a method's field may have and a user gives beside its settings."""
    return {
        References: References(tinted(pictures(24, seed=1), channels), tuple(map(str, range(24)))),
        Autoencoder: stripes(channels),
        LatentClassifiers: latent_stripes(channels),
        Semantic: striped_regions(channels),
        AttributeEditor: striped_editor(channels),
        Exaggerator: striped_exaggerator(channels),
        Denoiser: grey_denoiser(channels=channels),
        Method: Wachter(steps=40, lr=0.02),  # few steps: wrappers take them often
    }


def example(name: str, channels: int = 1) -> Method:
    """The method of this name, with its own settings and an example of whatever else it takes."""
    found, given = method_class(name), resources(channels)
    fields = found.model_fields.items()
    kinds = {key: get_args(field.annotation) or (field.annotation,) for key, field in fields}
    return found(**{key: given[kind] for key, some in kinds.items() for kind in some if kind in given})
