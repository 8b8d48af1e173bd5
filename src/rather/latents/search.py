"""What searches in a generator's space share: where they start, and what they bring back of their way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from rather.core import Classifier, Goal, Images, SearchResult
from rather.generators.autoencoder import Autoencoder, Latents
from rather.search.descend import Path, Rows, on_grid

_AT_ONCE: Final = 64  # images in memory
#: Points (n, ...) of a generator's space and the rows that they belong to: the images of them.
Decode = Callable[[Tensor, Rows], Images]


@torch.no_grad()
def encoded(generator: Autoencoder, classifier: Classifier, x: Images) -> Latents:
    """The latents of the queries.

    Raises:
        RatherError: GEN-SIZE if the generator makes images that the classifier does not take.
    """
    generator.check_images(classifier)
    return torch.cat([generator.encode(part) for part in x.split(_AT_ONCE)])


def decoder(generator: Autoencoder) -> Decode:
    """An autoencoder's, to which it is all one whose latents they are."""
    return lambda z, _: generator.decode(z)


@torch.no_grad()
def decoded(decode: Decode, z: Tensor, rows: Rows) -> Images:
    """The images of points, in [0, 1]; NaN where the points or the decoder have left the finite numbers."""
    parts = zip(z.split(_AT_ONCE), rows.split(_AT_ONCE), strict=True)
    return torch.cat([decode(*part) for part in parts]).clamp(0, 1)


def shown(decode: Decode, paths: Sequence[Float[Tensor, "_ *shape"]]) -> list[Float[Tensor, "_ c h w"]]:
    """For each row the pictures of its points; black where they are not finite."""
    counts = [len(path) for path in paths]
    rows = torch.arange(len(paths), device=paths[0].device).repeat_interleave(
        torch.tensor(counts, device=paths[0].device)
    )
    return [*decoded(decode, torch.cat([*paths]), rows).nan_to_num(0).split(counts)]


@torch.no_grad()
def reconstruction(
    decode: Decode, classifier: Classifier, start: Tensor, goal: Goal
) -> tuple[dict[str, Sequence[Tensor]], dict[str, list[Any]]]:
    """Picture and info of what mere reconstruction does: a flip by that alone is not the method's merit.

    It asks the classifier once. Pictures: `reconstruction`. Facts: `reconstruction_called`, a class or, where
    that is not finite, None; `reconstruction_at_goal`.
    """
    images = on_grid(decoded(decode, start, torch.arange(len(start), device=start.device)))
    logits = classifier(images)
    called = [
        classifier.classes[most] if finite else None
        for most, finite in zip(logits.argmax(1).tolist(), logits.isfinite().all(1).tolist(), strict=True)
    ]
    info = {"reconstruction_called": called, "reconstruction_at_goal": goal.reached(logits).tolist()}
    return {"reconstruction": [*images.nan_to_num(0)]}, info


def found_on(path: Path, start: Tensor, decode: Decode, classifier: Classifier, goal: Goal) -> SearchResult:
    """What a descent from some points found, with its path in pictures and what mere reconstruction does."""
    pictures, info = reconstruction(decode, classifier, start, goal)
    if path.frames:
        pictures["path"] = shown(decode, path.frames)
    return SearchResult(
        images=decoded(decode, path.end, torch.arange(len(start), device=start.device)),
        steps=path.steps,
        evaluations=path.evaluations + 1,
        artifacts=pictures,
        info=info,
    )
