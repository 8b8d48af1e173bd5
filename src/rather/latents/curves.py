"""The diagnostics of a run's rows, as plain data and as a picture: a report draws them without any classifier."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
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
    along,
    decoded_logits,
    encoded,
    in_batches,
    lattice,
    plane,
    target_probabilities,
    uncertainty,
)
from rather.plots import Drawing, figure_image, trajectory
from rather.search.descend import on_grid
from rather.search.losses import member_logits

_PLANE: Final = 2  # dimensions of a latent space that can be drawn
_REACH: Final = 3  # standard deviations of a standard normal prior: this part of a latent space is always shown
_CELLS: Final = 14  # small images in a row of the background


@final
@dataclass(frozen=True)
class Space:
    """The latent space of a search, or of the classifier."""

    autoencoder: Autoencoder
    latent: LatentClassifiers | None  # classifiers of its latents


@final
@dataclass(frozen=True)
class Diagnosis:
    """The diagnostics of one row."""

    curves: dict[str, Any]  # plain data, see `diagnose`
    trajectory: Drawing | None


def diagnose(method: Method, classifier: Classifier, answers: Counterfactuals) -> list[Diagnosis]:
    """The diagnostics of each row, as far as the method and the classifier allow any.

    Curves are lists of numbers, rounded to four decimals; probabilities are of the row's target, of a single
    classifier without members:

        search path:    for the images of the path
            probability:    {together: [...], members: [[...], ...]}
            uncertainty:    in nats: {aleatoric: [...], epistemic: [...]}, epistemic of an ensemble alone
        interpolation:  from the query to its counterfactual, if there is an autoencoder
            image space, latent space, latent classifiers: as probability above

    The trajectory is drawn if the autoencoder has two dimensions: its points encode the images of the path,
    or the query and its counterfactual where there is no path. A diagnostic that fails leaves its error in its
    place: the nets may be of any kind, and no answer may be lost for a chart.
    """
    if not len(answers):
        return []
    space = latent_space(method, classifier)
    curves: list[dict[str, Any]] = [{} for _ in range(len(answers))]
    for name, diagnostic in (
        ("search path", _search_paths),
        ("interpolation", _interpolations),
        ("trajectory", _trajectories),
    ):
        try:
            results: list[Any] = list(diagnostic(classifier, space, answers)) or [None] * len(answers)
        except Exception as error:  # noqa: BLE001 - see above
            results = [f"{type(error).__name__}: {error}"[:200]] * len(answers)
        for row, result in zip(curves, results, strict=True):
            if result is not None:
                row[name] = result
    drawn = [row.pop("trajectory") if isinstance(row.get("trajectory"), Tensor) else None for row in curves]
    return [Diagnosis(*both) for both in zip(curves, drawn, strict=True)]


def latent_space(method: Method, classifier: Classifier) -> Space | None:
    """The latent space of a method, or of one that it wraps, or else that of the classifier."""
    of_classifier = LatentClassifiers.of(classifier)
    found = [*_resources(method), *([of_classifier] if of_classifier else [])]
    if not found:
        return None
    autoencoder = found[0].autoencoder if isinstance(found[0], LatentClassifiers) else found[0]
    same = (each for each in found if isinstance(each, LatentClassifiers) and each.autoencoder is autoencoder)
    return Space(autoencoder, next(same, None))


def _resources(method: Method) -> Iterator[Autoencoder | LatentClassifiers]:
    for _, value in method:
        if isinstance(value, Method):
            yield from _resources(value)
        elif isinstance(value, Autoencoder | LatentClassifiers):
            yield value


def _paths(answers: Counterfactuals, shape: tuple[int, ...]) -> list[Tensor | None]:
    """The path of each row, if it is a series of images of this shape."""
    paths = answers.artifacts.get("path", [torch.zeros(0)] * len(answers))
    return [
        path if path.ndim == 1 + len(shape) and path.shape[1:] == shape and len(path) > 1 else None for path in paths
    ]


def _search_paths(
    classifier: Classifier, space: Space | None, answers: Counterfactuals
) -> Iterator[dict[str, Any] | None]:
    del space
    none = answers.images.new_zeros(0, *classifier.shape)
    paths = [none if path is None else on_grid(path.clamp(0, 1)) for path in _paths(answers, classifier.shape)]
    frames = torch.cat(paths)
    if not len(frames):
        return
    logits = in_batches(partial(member_logits, classifier), frames, batch_size=len(answers))
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


def _interpolations(
    classifier: Classifier, space: Space | None, answers: Counterfactuals
) -> Iterator[dict[str, Any] | None]:
    if space is None:
        return
    ends, target, size = (answers.queries, answers.images), answers.goal.target, len(answers)
    lines = {"image space": along(partial(member_logits, classifier), *ends, target, batch_size=size)}
    z1, z2 = (encoded(space.autoencoder, x, size) for x in ends)
    of_classifier = LatentClassifiers.of(classifier)
    if of_classifier and of_classifier.autoencoder is space.autoencoder:
        lines["latent space"] = along(of_classifier.logits, z1, z2, target, batch_size=size)
    else:
        logits = decoded_logits(classifier, space.autoencoder)
        lines["latent space"] = along(logits, z1, z2, target, batch_size=size)
        same = space.latent and _targets(space.latent, answers)
        if space.latent and same is not None:
            lines["latent classifiers"] = along(space.latent.logits, z1, z2, same, batch_size=size)
    for row in range(size):
        of_row = {name: Probabilities(p.together[row], p.members[:, row]) for name, p in lines.items()}
        yield {name: _plain(p) for name, p in of_row.items() if p.members.isfinite().all()} or None


def _targets(latent: LatentClassifiers, answers: Counterfactuals) -> Labels | None:
    """The rows' targets by their names among the latent classifiers' classes, if these have them all."""
    names = [answers.classes[k] for k in answers.goal.target.tolist()]
    if not set(names) <= set(latent.classes):
        return None
    return torch.tensor([latent.classes.index(name) for name in names], device=answers.goal.target.device)


def _trajectories(classifier: Classifier, space: Space | None, answers: Counterfactuals) -> Iterator[Drawing | None]:
    if space is None or space.autoencoder.size != _PLANE:
        return
    autoencoder, targets = space.autoencoder, answers.goal.target
    logits = decoded_logits(classifier, autoencoder)
    same = space.latent and _targets(space.latent, answers)
    if space.latent and same is not None:
        logits, targets = space.latent.logits, same

    @cache  # most rows are shown in the same window
    def background(window: Window) -> tuple[Tensor, Tensor]:
        left, right, bottom, top = window
        u, v = ((right - left) / _CELLS / 2, (top - bottom) / _CELLS / 2)  # an image stands in its cell's middle
        z = lattice((left + u, right - u, bottom + v, top - v), _CELLS, targets.device)
        images = autoencoder.decode(z.flatten(0, 1)).clamp(0, 1)
        return plane(logits, window, device=targets.device), images.unflatten(0, z.shape[:2])

    paths = _paths(answers, autoencoder.shape)
    for row, (path, target) in enumerate(zip(paths, targets.tolist(), strict=True)):
        images = torch.stack([answers.queries[row], answers.images[row]]) if path is None else path
        points = autoencoder.encode(images)
        if not points.isfinite().all():
            yield None
            continue
        window = _window(points)
        probability, manifold = background(window)
        yield figure_image(trajectory(points, probability[..., target], window, manifold))


def _window(path: Float[Tensor, "n 2"]) -> Window:
    """All of the prior and of the path, to the next whole number."""
    left, bottom = (float(math.floor(min(v, -_REACH))) for v in path.amin(0).tolist())
    right, top = (float(math.ceil(max(v, _REACH))) for v in path.amax(0).tolist())
    return left, right, bottom, top


def _plain(p: Probabilities) -> dict[str, Any]:
    members = [_numbers(member) for member in p.members] if len(p.members) > 1 else []
    return {"together": _numbers(p.together), "members": members}


def _numbers(values: Float[Tensor, " n"]) -> list[float]:
    return [round(value, 4) for value in values.tolist()]
