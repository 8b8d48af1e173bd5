"""What a run's rows tell of their searches: the diagnostics, as plain data and as a picture.

A report draws them without asking any classifier again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from rather.core import Classifier, Counterfactuals, Labels, Method
from rather.generators.autoencoder import Autoencoder
from rather.latents.classifiers import LatentClassifiers
from rather.latents.diagnostics import (
    Probabilities,
    Window,
    along_decoded,
    along_images,
    along_latents,
    ask_decoded,
    asked,
    lattice,
    plane,
    target_probabilities,
    uncertainty,
)
from rather.plots import Drawing, figure_image, trajectory
from rather.search.descend import on_grid
from rather.search.losses import member_logits

_FLAT: Final = 2  # dimensions of a latent space that can be drawn
_REACH: Final = 3  # standard deviations of a standard normal prior: what is always shown of a latent space
_CELLS: Final = 14  # small images in a row of the background


@final
@dataclass(frozen=True)
class Space:
    """A latent space that a search goes through, or that the classifier sees through."""

    autoencoder: Autoencoder
    latent: LatentClassifiers | None  # classifiers of its latents


@final
@dataclass(frozen=True)
class Diagnosis:
    """What is to be told of a row."""

    curves: dict[str, Any]  # plain data, see `diagnose`
    trajectory: Drawing | None


def diagnose(method: Method, classifier: Classifier, answers: Counterfactuals) -> list[Diagnosis]:
    """The diagnostics of each row, as far as there are any.

    Curves are lists of numbers, rounded to four decimals; probabilities are of the row's target, of a single
    classifier without members:

        search path:    for the pictures of the path
            probability:    {together: [...], members: [[...], ...]}
            uncertainty:    in nats: {aleatoric: [...], epistemic: [...]}, epistemic of an ensemble alone
        interpolation:  from the query to its counterfactual, if there is an autoencoder
            image space, latent space, latent classifiers: as probability above

    The trajectory is drawn if the autoencoder has two dimensions: its points are what the encoder makes of
    the path's pictures, or of the two ends where there is no path. A diagnostic that fails says why in its
    place: the nets are anybody's, and no answer may be lost for a chart.
    """
    if not len(answers):
        return []
    space = latent_space(method, classifier)
    told: list[dict[str, Any]] = [{} for _ in range(len(answers))]
    for name, diagnostic in (
        ("search path", _search_paths),
        ("interpolation", _interpolations),
        ("trajectory", _trajectories),
    ):
        try:
            each: list[Any] = list(diagnostic(classifier, space, answers)) or [None] * len(answers)
        except Exception as error:  # noqa: BLE001 - see above
            each = [f"{type(error).__name__}: {error}"[:200]] * len(answers)
        for row, one in zip(told, each, strict=True):
            if one is not None:
                row[name] = one
    drawn = [row.pop("trajectory") if isinstance(row.get("trajectory"), Tensor) else None for row in told]
    return [Diagnosis(*both) for both in zip(told, drawn, strict=True)]


def latent_space(method: Method, classifier: Classifier) -> Space | None:
    """The latent space of a method, or of one that it wraps, or else that of the classifier."""
    found = [*_resources(method), LatentClassifiers.of(classifier)]
    for one in found:
        if one is not None:
            autoencoder = one.autoencoder if isinstance(one, LatentClassifiers) else one
            break
    else:
        return None
    of_it = (one for one in found if isinstance(one, LatentClassifiers) and one.autoencoder is autoencoder)
    return Space(autoencoder, next(of_it, None))


def _resources(method: Method) -> Iterator[Autoencoder | LatentClassifiers]:
    for _, value in method:
        if isinstance(value, Method):
            yield from _resources(value)
        elif isinstance(value, Autoencoder | LatentClassifiers):
            yield value


def _search_paths(
    classifier: Classifier, space: Space | None, answers: Counterfactuals
) -> Iterator[dict[str, Any] | None]:
    del space
    paths = [
        on_grid(path.clamp(0, 1)) if _is_series(path, classifier.shape) else path.new_zeros(0, *classifier.shape)
        for path in answers.artifacts.get("path", [torch.zeros(0)] * len(answers))
    ]
    frames = torch.cat(paths)
    if not len(frames):
        return
    logits = asked(lambda x: member_logits(classifier, x), frames, batch_size=len(answers))
    for part, target in zip(logits.split([len(p) for p in paths], 1), answers.goal.target, strict=True):
        if not part.numel() or not part.isfinite().all():
            yield None
            continue
        parts = uncertainty(part)
        yield {
            "probability": _plain(target_probabilities(part, target.expand(part.shape[1]))),
            "uncertainty": {"aleatoric": _numbers(parts.aleatoric)}
            | ({"epistemic": _numbers(parts.epistemic)} if len(part) > 1 else {}),
        }


def _is_series(path: Tensor, shape: tuple[int, ...]) -> bool:
    return path.ndim == 1 + len(shape) and path.shape[1:] == shape and len(path) > 1


def _interpolations(
    classifier: Classifier, space: Space | None, answers: Counterfactuals
) -> Iterator[dict[str, Any] | None]:
    if space is None:
        return
    ends, target, size = (answers.queries, answers.images), answers.goal.target, len(answers)
    lines = {"image space": along_images(classifier, *ends, target, batch_size=size)}
    own = LatentClassifiers.of(classifier)
    if own and own.autoencoder is space.autoencoder:
        lines["latent space"] = along_latents(own, *ends, target, batch_size=size)
    else:
        lines["latent space"] = along_decoded(classifier, space.autoencoder, *ends, target, batch_size=size)
        theirs = space.latent and _targets(space.latent, answers)
        if space.latent and theirs is not None:
            lines["latent classifiers"] = along_latents(space.latent, *ends, theirs, batch_size=size)
    for row in range(size):
        mine = {name: Probabilities(p.together[row], p.members[:, row]) for name, p in lines.items()}
        yield {name: _plain(p) for name, p in mine.items() if p.members.isfinite().all()} or None


def _targets(latent: LatentClassifiers, answers: Counterfactuals) -> Labels | None:
    """The rows' targets in the latent classifiers' own order, if they know them all."""
    names = [answers.classes[k] for k in answers.goal.target.tolist()]
    if not set(names) <= set(latent.classes):
        return None
    return torch.tensor([latent.classes.index(name) for name in names], device=answers.goal.target.device)


def _trajectories(classifier: Classifier, space: Space | None, answers: Counterfactuals) -> Iterator[Drawing | None]:
    if space is None or space.autoencoder.size != _FLAT:
        return
    autoencoder, targets = space.autoencoder, answers.goal.target
    ask = ask_decoded(classifier, autoencoder)
    theirs = space.latent and _targets(space.latent, answers)
    if space.latent and theirs is not None:
        ask, targets = space.latent.logits, theirs

    @cache  # most rows are shown in the same window
    def background(window: Window) -> tuple[Tensor, Tensor]:
        left, right, bottom, top = window
        u, v = ((right - left) / _CELLS / 2, (top - bottom) / _CELLS / 2)  # an image stands in its cell's middle
        z = lattice((left + u, right - u, bottom + v, top - v), _CELLS, targets.device)
        images = autoencoder.decode(z.flatten(0, 1)).clamp(0, 1)
        return plane(ask, window, device=targets.device), images.unflatten(0, z.shape[:2])

    paths = answers.artifacts.get("path", [torch.zeros(0)] * len(answers))
    for row, target in enumerate(targets.tolist()):
        ends = torch.stack([answers.queries[row], answers.images[row]])
        path = autoencoder.encode(paths[row] if _is_series(paths[row], autoencoder.shape) else ends)
        if not path.isfinite().all():
            yield None
            continue
        window = _window(path)
        probability, manifold = background(window)
        yield figure_image(trajectory(path, probability[..., target], window, manifold))


def _window(path: Float[Tensor, "n 2"]) -> Window:
    """All of the prior, and of the path, to the next whole number."""
    low, high = path.amin(0).tolist(), path.amax(0).tolist()
    (left, bottom), (right, top) = (
        [math.floor(min(v, -_REACH)) for v in low],
        [math.ceil(max(v, _REACH)) for v in high],
    )
    return float(left), float(right), float(bottom), float(top)


def _plain(p: Probabilities) -> dict[str, Any]:
    return {
        "together": _numbers(p.together),
        "members": [_numbers(one) for one in p.members] if len(p.members) > 1 else [],
    }


def _numbers(values: Float[Tensor, " n"]) -> list[float]:
    return [round(value, 4) for value in values.tolist()]
