"""A part of an image, and a classifier of which only this part can change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import final

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from rather.config.errors import RatherError
from rather.core.classifier import Classifier
from rather.core.goal import Goal, Noise
from rather.core.grey import is_grey
from rather.core.result import SearchResult
from rather.types import Features, Images

#: For each row the pixels that may change.
Regions = Bool[Tensor, "b h w"]
Search = Callable[[Classifier, Images, Goal, Noise], SearchResult]


@final
class _Pasted(nn.Module):
    """The features of one image of which the region is replaced by that of another."""

    def __init__(self, classifier: Classifier, x: Images, region: Regions) -> None:
        super().__init__()
        self.classifier = classifier
        self.register_buffer("x", x)
        self.register_buffer("region", region[:, None])

    def forward(self, z: Images) -> Features:
        """Outside the region no pixel of z is read, and none has a gradient."""
        return self.classifier.features(torch.where(self.get_buffer("region"), z, self.get_buffer("x")))


def restricted(classifier: Classifier, x: Images, region: Regions) -> Classifier:
    """The classifier as a function of one image's region alone: what a search changes elsewhere, it does not see.

    Args:
        classifier: of whole images.
        x: the image, (1, c, h, w).
        region: (1, h, w), the pixels that may change.
    """
    members = classifier.members
    return Classifier(
        _Pasted(classifier, x, region),
        classifier.head,
        shape=classifier.shape,
        classes=classifier.classes,
        name=classifier.name,
        members=[] if members == (classifier,) else [restricted(member, x, region) for member in members],
    )


def unrestricted(classifier: Classifier) -> Classifier:
    """The classifier of whole images behind a restricted one; any other as it is."""
    return classifier.body.classifier if isinstance(classifier.body, _Pasted) else classifier


def search_inside(
    search: Search, classifier: Classifier, x: Images, goal: Goal, noise: Noise, *, region: Regions
) -> SearchResult:
    """Search each image by itself, with the classifier restricted to its region, and paste what is found.

    It costs what single images cost: a batch of them is not faster.
    """
    found = []
    for row in torch.arange(len(x), device=x.device).split(1):
        whole = classifier.in_grey if is_grey(x[row]).all() else classifier
        found.append(search(restricted(whole, x[row], region[row]), x[row], goal[row], noise[row]))
    result = SearchResult.cat(found)
    return replace(result, images=torch.where(region[:, None], result.images, x))


def check_region(region: object, x: Images) -> None:
    """Raise unless there is a mask for each image, of its height and width, in which a pixel may change.

    Raises:
        RatherError: DATA-SHAPE for another shape or kind.
    """
    wanted = (len(x), *x.shape[2:])
    if not isinstance(region, Tensor) or region.dtype != torch.bool or tuple(region.shape) != wanted:
        shape = f"{tuple(region.shape)} of {region.dtype}" if isinstance(region, Tensor) else type(region).__name__
        raise RatherError("DATA-SHAPE", where=f"region {shape}", why=f"a mask {wanted} of torch.bool is needed")
