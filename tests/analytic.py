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


def stripes() -> Autoencoder:
    """Latents of pictures for `spatial`: tenths of brightness, of left over right, of top over bottom.

    It keeps what `spatial` looks at, whose logits are 3.6, 4.5 and 5.4 times these latents; but all comes out
    a thousandth brighter, lest pixels of a mean of 36 grey levels lie half-way between two of them.
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
        nn.Sequential(nn.Flatten(), encoder),
        nn.Sequential(decoder, nn.Unflatten(1, (1, 6, 6))),
        shape=(1, 6, 6),
        size=3,
    )


def latent_stripes() -> LatentClassifiers:
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
    return LatentClassifiers(stripes(), heads, CLASSES)


class _Sides(nn.Module):
    """Logits of two regions, the upper and the lower half, whatever the picture."""

    def forward(self, x: Tensor) -> Tensor:
        upper = (torch.arange(6) < 3).float()[:, None].expand(6, 6)
        return torch.stack([upper, 1 - upper]).expand(len(x), 2, 6, 6)


class _Halved(nn.Module):
    """The latents of `stripes`, half of them to each region."""

    def forward(self, x: Tensor, layout: Tensor) -> Tensor:
        return stripes().encode(x)[:, None].expand(-1, layout.shape[1], -1) / 2


class _Summed(nn.Module):
    def forward(self, codes: Tensor, layout: Tensor) -> Tensor:
        del layout
        return stripes().decode(codes.sum(1))


def striped_regions() -> Semantic:
    """`stripes` as a semantic generator: what two regions say is added up."""
    return Semantic(_Sides(), _Halved(), _Summed(), shape=(1, 6, 6), regions=("upper", "lower"), size=3)


class _Kept(nn.Module):
    """The latents of `stripes` as features."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [stripes().encode(x)]


class _Read(nn.Module):
    """Latents from -5 to 5 as attributes from 0 to 1, by their logits."""

    def forward(self, x: Tensor) -> Tensor:
        return (stripes().encode(x) / 10 + 0.5).clamp(1e-4, 1 - 1e-4).logit()


class _Edited(nn.Module):
    def forward(self, features: list[Tensor], attributes: Tensor) -> Tensor:
        del features
        return stripes().decode((attributes - 0.5) * 10)


def striped_editor() -> AttributeEditor:
    """`stripes` as an editor of three attributes."""
    return AttributeEditor(_Kept(), _Edited(), _Read(), shape=(1, 6, 6), attributes=("bright", "left", "top"))


class _Exaggerated(nn.Module):
    """From the latents of a picture to those of one that is surely of the target, in four bins."""

    def forward(self, features: list[Tensor], condition: Tensor) -> Tensor:
        share = torch.arange(4) / 3
        asked = condition.view(-1, 3, 4)
        sure = 4 * asked.sum(2) - 2  # 2 of the target's latent, -2 of the others
        return stripes().decode(torch.lerp(features[0], sure, (asked.sum(1) * share).sum(1, keepdim=True)))


def striped_exaggerator() -> Exaggerator:
    """`stripes` as an exaggerator for `spatial`."""
    return Exaggerator(_Kept(), _Exaggerated(), shape=(1, 6, 6), bins=4, classes=CLASSES)


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


def grey_denoiser(variance: float = 0.12, levels: int = 500) -> Denoiser:
    """Of pictures such as `artifacts` makes: around grey, no pixel knows of another."""
    alpha_bar = linear(levels)
    return Denoiser(Gaussian(alpha_bar, 0.0, variance), shape=(1, 6, 6), alpha_bar=alpha_bar, prediction_type="image")


def resources() -> dict[type, Any]:
    """An example of each type that a method's field may have and a user gives beside its settings."""
    return {
        References: References(pictures(24, seed=1), tuple(map(str, range(24)))),
        Autoencoder: stripes(),
        LatentClassifiers: latent_stripes(),
        Semantic: striped_regions(),
        AttributeEditor: striped_editor(),
        Exaggerator: striped_exaggerator(),
        Denoiser: grey_denoiser(),
        Method: Wachter(steps=40, lr=0.02),  # few steps: wrappers take them often
    }


def example(name: str) -> Method:
    """The method of this name, with its own settings and an example of whatever else it takes."""
    found, given = method_class(name), resources()
    fields = found.model_fields.items()
    kinds = {key: get_args(field.annotation) or (field.annotation,) for key, field in fields}
    return found(**{key: given[kind] for key, some in kinds.items() for kind in some if kind in given})
