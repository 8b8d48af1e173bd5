"""A grey query has a grey answer: which images are grey, and a search that changes their grey and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Bool
from torch import Tensor

from rather.core.classifier import Classifier
from rather.core.goal import Goal, Noise
from rather.core.result import SearchResult
from rather.types import Images

_COLOURS: Final = 3  # red, green and blue: of other channels none is a shade of another


def is_grey(x: Images) -> Bool[Tensor, " b"]:
    """Which images have three channels that are equal in every pixel."""
    if x.shape[1] != _COLOURS:
        return torch.zeros(len(x), dtype=torch.bool, device=x.device)
    return (x == x[:, :1]).flatten(1).all(1)


def with_grey(images: Images, grey: Bool[Tensor, " b"]) -> Images:
    """The images, where those that have to be grey are the nearest grey ones: the mean of their channels."""
    if not grey.any():
        return images
    return torch.where(grey[:, None, None, None], images.mean(1, keepdim=True), images)


def search_in_grey(
    search: Callable[[Classifier, Images, Goal, Noise], SearchResult],
    classifier: Classifier,
    x: Images,
    goal: Goal,
    noise: Noise,
) -> SearchResult:
    """What a search finds where grey images are judged by their grey alone.

    The classifier of a grey image sees the mean of the channels. So its gradient is grey, and what a search takes
    for a success is one when its picture is made grey.
    """
    grey = is_grey(x)
    if grey.all() or not grey.any():
        return search(classifier.in_grey if grey.any() else classifier, x, goal, noise)
    parts = [rows.nonzero()[:, 0] for rows in (~grey, grey)]
    nets = (classifier, classifier.in_grey)
    found = [search(net, x[rows], goal[rows], noise[rows]) for net, rows in zip(nets, parts, strict=True)]
    return SearchResult.cat(found)[torch.cat(parts).argsort()]
