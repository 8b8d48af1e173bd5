"""What searches in a generator's latent space share: where they start, how they move, and the images they give."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor
from typing_extensions import override

from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.generators.autoencoder import Autoencoder, Latents
from rather.search.descend import Descent, Objective, PathFrames, Rows, descend, on_grid
from rather.search.evolve import evolve

_AT_ONCE: Final = 64  # images in memory
#: (points (n, ...) of a generator's space, the rows that they belong to) -> their images.
Decode = Callable[[Tensor, Rows], Images]


class LatentSearch(Method, ABC):
    """A method that moves a code of few numbers: by gradients or, where the classifier has none, by questions."""

    optimizer: Literal["auto", "adam", "cma"] = "auto"
    """How to move: adam follows the gradient, cma (CMA-ES) needs none; auto takes cma where there is no gradient."""
    queries: PositiveInt = 2000
    """With cma, the maximum number of images that the classifier is asked about in search of one counterfactual."""
    num_path_frames: PathFrames = 6

    @override
    def needs_gradient(self) -> bool:
        return self.optimizer == "adam"

    def follows_gradient(self, classifier: Classifier) -> bool:
        """Whether Adam searches, and not CMA-ES."""
        return self.optimizer == "adam" or (self.optimizer == "auto" and classifier.differentiable)

    def minimize(
        self,
        objective: Objective,
        start: Tensor,
        classifier: Classifier,
        noise: Noise,
        *,
        steps: int,
        lr: float,
        project: Callable[[Tensor], Tensor] = lambda z: z,
        patience: int = 0,
        images: int = 1,
        others: int = 1,
    ) -> Descent:
        """`descend` by the classifier's gradient, or `evolve` without it.

        Args:
            objective: see `descend`.
            start: points (b, ...).
            classifier: that the objective asks.
            noise: random numbers of each row, for `evolve`.
            steps: of Adam, at most.
            lr: of Adam, and the standard deviation of the first points of CMA-ES: both are how far a step goes.
            project: see `descend`.
            patience: in steps of Adam, or generations of `evolve`.
            images: how many the objective asks about for one point.
            others: how many the method asks about besides, once for each row.
        """
        if self.follows_gradient(classifier):
            return descend(
                objective, start, steps=steps, lr=lr, project=project, patience=patience, frames=self.num_path_frames
            )
        return evolve(
            objective,
            start,
            noise=noise,
            queries=max((self.queries - others) // images, 1),
            spread=lr,
            project=project,
            patience=patience,
            frames=self.num_path_frames,
            at_once=max(len(start) // images, 1),
        )


@torch.no_grad()
def encode_queries(generator: Autoencoder, classifier: Classifier, x: Images) -> Latents:
    """The latents of the queries.

    Raises:
        RatherError: GEN-SIZE if the classifier does not take the images that the generator makes.
    """
    generator.check_images(classifier)
    return torch.cat([generator.encode(part) for part in x.split(_AT_ONCE)])


def decoder(generator: Autoencoder) -> Decode:
    """The decoder of an autoencoder, which does not depend on the row."""
    return lambda z, _: generator.decode(z)


@torch.no_grad()
def decoded(decode: Decode, z: Tensor, rows: Rows) -> Images:
    """The images of points, in [0, 1]; NaN where the points or the decoder are not finite."""
    parts = zip(z.split(_AT_ONCE), rows.split(_AT_ONCE), strict=True)
    return torch.cat([decode(*part) for part in parts]).clamp(0, 1)


def decoded_paths(decode: Decode, paths: Sequence[Float[Tensor, "_ *shape"]]) -> list[Float[Tensor, "_ c h w"]]:
    """For each row the images of the points on its path; black where they are not finite."""
    counts = torch.tensor([len(path) for path in paths], device=paths[0].device)
    rows = torch.arange(len(paths), device=counts.device).repeat_interleave(counts)
    return [*decoded(decode, torch.cat([*paths]), rows).nan_to_num(0).split(counts.tolist())]


@torch.no_grad()
def reconstruction(
    decode: Decode, classifier: Classifier, start: Tensor, goal: Goal
) -> tuple[dict[str, Sequence[Tensor]], dict[str, list[Any]]]:
    """Artifacts and info of the mere reconstruction of the queries: a flip by that alone is no explanation.

    It costs one forward pass of the classifier. Images: `reconstruction`. Info: `reconstruction_called`, the
    predicted class, or None where it is not finite; `reconstruction_at_goal`.
    """
    images = on_grid(decoded(decode, start, torch.arange(len(start), device=start.device)))
    logits = classifier(images)
    called = [
        classifier.classes[most] if finite else None
        for most, finite in zip(logits.argmax(1).tolist(), logits.isfinite().all(1).tolist(), strict=True)
    ]
    info = {"reconstruction_called": called, "reconstruction_at_goal": goal.reached(logits).tolist()}
    return {"reconstruction": [*images.nan_to_num(0)]}, info


def latent_result(descent: Descent, decode: Decode, classifier: Classifier, goal: Goal) -> SearchResult:
    """The images of a descent in latents, with those of its `path` and the `reconstruction` of the queries."""
    artifacts, info = reconstruction(decode, classifier, descent.start, goal)
    if descent.frames:
        artifacts["path"] = decoded_paths(decode, descent.frames)
    return SearchResult(
        images=decoded(decode, descent.end, torch.arange(len(descent.end), device=descent.end.device)),
        steps=descent.steps,
        evaluations=descent.evaluations + 1,
        artifacts=artifacts,
        info=info,
    )
