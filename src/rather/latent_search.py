"""What searches in a generator's latents share: where they start, and what they bring back of their way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from rather.autoencoder import Autoencoder, Latents, refuse_other_images
from rather.core import Classifier, Found, Goal, Images
from rather.search import Path, on_grid

_AT_ONCE: Final = 256  # images in memory


@torch.no_grad()
def encoded(generator: Autoencoder, classifier: Classifier, x: Images) -> Latents:
    """The latents of the queries.

    Raises:
        RatherError: GEN-SIZE if the generator makes images that the classifier does not take.
    """
    refuse_other_images(generator, classifier)
    return torch.cat([generator.encode(part) for part in x.split(_AT_ONCE)])


@torch.no_grad()
def decoded(generator: Autoencoder, z: Latents) -> Images:
    """The images of latents, in [0, 1]; NaN where the latents or the decoder have left the finite numbers."""
    return torch.cat([generator.decode(part) for part in z.split(_AT_ONCE)]).clamp(0, 1)


def shown(generator: Autoencoder, paths: Sequence[Float[Tensor, "_ l"]]) -> list[Float[Tensor, "_ c h w"]]:
    """For each row the pictures of its latents; black where they are not finite."""
    images = decoded(generator, torch.cat([*paths])).nan_to_num(0)
    return [*images.split([len(path) for path in paths])]


@torch.no_grad()
def reconstruction(
    generator: Autoencoder, classifier: Classifier, start: Latents, goal: Goal
) -> tuple[dict[str, Sequence[Tensor]], dict[str, list[Any]]]:
    """Picture and facts of what mere reconstruction does: a flip by that alone is not the method's merit.

    It asks the classifier once. Pictures: `reconstruction`. Facts: `reconstruction_called`, a class or, where
    that is not finite, None; `reconstruction_at_goal`.
    """
    images = on_grid(decoded(generator, start))
    logits = classifier(images)
    called = [
        classifier.classes[most] if finite else None
        for most, finite in zip(logits.argmax(1).tolist(), logits.isfinite().all(1).tolist(), strict=True)
    ]
    facts = {"reconstruction_called": called, "reconstruction_at_goal": goal.reached(logits).tolist()}
    return {"reconstruction": [*images.nan_to_num(0)]}, facts


def found_on(path: Path, start: Latents, generator: Autoencoder, classifier: Classifier, goal: Goal) -> Found:
    """What a descent in the latents found, with its path in pictures and what mere reconstruction does."""
    pictures, facts = reconstruction(generator, classifier, start, goal)
    if path.frames:
        pictures["path"] = shown(generator, path.frames)
    return Found(
        images=decoded(generator, path.end),
        steps=path.steps,
        evaluations=path.evaluations + 1,
        pictures=pictures,
        facts=facts,
    )
