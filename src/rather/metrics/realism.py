"""Does the counterfactual look like the pictures of its new class?

IM1 and IM2 ask autoencoders, one trained on each class and one on all. IM1 sees what they cannot repeat, IM2 only
where two of them differ: what both fail to repeat in the same way has 0. Either is less than what a person sees: look
at the pictures as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from rather.core import Images, Labels
from rather.generators.classwise import Reconstruct, by_class
from rather.metrics.registry import metric

_EPS: Final = 1e-7


@metric(title="IM1", theme="realism", unit="none, a ratio", better="lower", version=1)
@torch.no_grad()
def im1(
    counterfactuals: Images, predicted: Labels, target: Labels, autoencoders: Sequence[Reconstruct]
) -> Float[Tensor, " b"]:
    """IM1: error of the target class's autoencoder, over that of the query class's.

    |x - AE_target(x)|^2 / (|x - AE_predicted(x)|^2 + eps): below 1 the picture is more like its new class.

    Source: A. Van Looveren, J. Klaise, "Interpretable counterfactual explanations guided by prototypes", ECML PKDD
    2021 (arXiv 1907.02584).
    Avoids: errors averaged over a batch before they are divided.

    Args:
        counterfactuals: in [0, 1].
        predicted: the class that each query had.
        target: the class that each was to get.
        autoencoders: one for each class, in the order of the classes.
    """
    error = _squared(counterfactuals - by_class(autoencoders, counterfactuals, target))
    return error / (_squared(counterfactuals - by_class(autoencoders, counterfactuals, predicted)) + _EPS)


@metric(title="IM2", theme="realism", unit="pixel values", better="lower", version=1)
@torch.no_grad()
def im2(
    counterfactuals: Images, target: Labels, autoencoders: Sequence[Reconstruct], everything: Reconstruct
) -> Float[Tensor, " b"]:
    """IM2: how far the target class's autoencoder is from the one of all classes.

    |AE_target(x) - AE_all(x)|^2 / (|x|_1 + eps).

    Source: as `im1`.
    Avoids: errors averaged over a batch before they are divided.

    Args:
        counterfactuals: in [0, 1].
        target: the class that each was to get.
        autoencoders: one for each class, in the order of the classes.
        everything: the autoencoder of all classes.
    """
    apart = by_class(autoencoders, counterfactuals, target) - everything(counterfactuals)
    return _squared(apart) / (counterfactuals.abs().flatten(1).sum(1) + _EPS)


def _squared(difference: Tensor) -> Float[Tensor, " b"]:
    return difference.square().flatten(1).sum(1)
