"""Does the counterfactual look like the pictures of its new class?

IM1 and IM2 ask autoencoders, one trained on each class and one on all: A. Van Looveren, J. Klaise,
"Interpretable counterfactual explanations guided by prototypes", ECML PKDD 2021 (arXiv 1907.02584). They see
what an autoencoder cannot repeat, which is less than what a person sees: read them beside the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from rather.core import Images, Labels

#: What an autoencoder makes of images: an `Autoencoder`, or any function.
Reconstruct = Callable[[Images], Images]
_EPS: Final = 1e-7


@torch.no_grad()
def im1(
    images: Images, predicted: Labels, target: Labels, autoencoders: Sequence[Reconstruct]
) -> Float[Tensor, " b"]:
    """IM1: error of the target class's autoencoder, over that of the query class's (lower is better).

    |x - AE_target(x)|^2 / (|x - AE_predicted(x)|^2 + eps): below 1 the picture is more like its new class.

    Unit: none, a ratio.
    Source: A. Van Looveren, J. Klaise, "Interpretable counterfactual explanations guided by prototypes", ECML
    PKDD 2021.
    Avoids: errors averaged over a batch before they are divided.

    Args:
        images: the counterfactuals.
        predicted: the class that each query had.
        target: the class that each was to get.
        autoencoders: one for each class, in the order of the classes.
    """
    error = _squared(images - _by_class(images, target, autoencoders))
    return error / (_squared(images - _by_class(images, predicted, autoencoders)) + _EPS)


@torch.no_grad()
def im2(
    images: Images, target: Labels, autoencoders: Sequence[Reconstruct], everything: Reconstruct
) -> Float[Tensor, " b"]:
    """IM2: how far the target class's autoencoder is from the one of all classes (lower is better).

    |AE_target(x) - AE_all(x)|^2 / (|x|_1 + eps).

    Unit: pixel values.
    Source: A. Van Looveren, J. Klaise, "Interpretable counterfactual explanations guided by prototypes", ECML
    PKDD 2021.
    Avoids: errors averaged over a batch before they are divided.

    Args:
        images: the counterfactuals.
        target: the class that each was to get.
        autoencoders: one for each class, in the order of the classes.
        everything: the autoencoder of all classes.
    """
    apart = _by_class(images, target, autoencoders) - everything(images)
    return _squared(apart) / (images.abs().flatten(1).sum(1) + _EPS)


def _squared(difference: Tensor) -> Float[Tensor, " b"]:
    return difference.square().flatten(1).sum(1)


def _by_class(images: Images, classes: Labels, autoencoders: Sequence[Reconstruct]) -> Images:
    """Each image through the autoencoder of its class."""
    again = torch.empty_like(images)
    for k in classes.unique().tolist():
        again[classes == k] = autoencoders[k](images[classes == k])
    return again
