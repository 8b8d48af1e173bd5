"""Finds several answers at once that differ from each other. DiVE, Rodriguez et al., ICCV 2021.

    min_eps  sum_k CE(C(x_k), target) + 1/l sum_k (distance_weight * mean |x - x_k| + lasso * |m_k eps_k|_1)
             + diversity / l * sum_{i != k} cos(m_i eps_i, m_k eps_k)^2,    x_k = G(z + m_k eps_k)

P. Rodriguez, M. Caccia, A. Lacoste et al., "Beyond trivial counterfactual explanations with diverse valuable
explanations", ICCV 2021. z are the query's l latents; masks m_k say which of them an answer may move. Weights and
masks are those of the authors' code, but for the learning rate (0.01 there).
Ours: a row stops when all its 8-bit images are at the goal (theirs: a batch, when 90 % of its are), and its
terms are divided by l, not by the sum of the masks over the batch; |x - x_k|_1 is a mean over pixels and
channels; the Fisher information is that of log p (theirs: of logits) for all classes, a mean over references;
spectral clusters are of its absolute values. It is computed once for a classifier, and is no row's evaluation.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, final
from weakref import WeakKeyDictionary

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import NOT_GIVEN, Classifier, Goal, Images, Loadable, LoadableImages, Noise, SearchResult
from rather.generators.autoencoder import Autoencoder
from rather.generators.frozen import Bundled
from rather.latents.fisher import FisherMask, all_but_a_part, fisher_masks, latent_information
from rather.latents.search import LatentSearch, decoded, decoded_paths, decoder, encode_queries, reconstruction
from rather.search.best import Best
from rather.search.descend import Rows, on_grid
from rather.search.losses import goal_loss, l1
from rather.search.references import References


@final
class DiVE(LatentSearch):
    """`count` answers by one descent; the nearest success is the image, and all of them are kept."""

    gradient = "optional"

    generator: Loadable[Annotated[Autoencoder, Bundled("tcvae")]]  # as the paper's: latents that vary one by one
    """Generator that encodes the queries and decodes latents; trained on images of their kind."""
    references: LoadableImages[References | None] = NOT_GIVEN
    """Images over which the Fisher information is averaged; needed by the fisher masks only."""
    second_classifier: Loadable[Classifier | None] = NOT_GIVEN
    """More reliable classifier that tells trivial answers: those that change its prediction, too."""
    count: PositiveInt = 8
    """Number of answers for each image."""
    mask: Literal["none", "random"] | FisherMask = "none"
    """Latents that each answer may move: all; all but a part, by chance or by information; one cluster; the others."""
    steps: PositiveInt = 20
    """Maximum number of Adam steps."""
    lr: PositiveFloat = 0.1
    """Learning rate of Adam: roughly the change of a latent per step, in standard deviations of the prior."""
    distance_weight: NonNegativeFloat = 10.0
    """Weight of the distance, the mean absolute pixel difference; larger keeps the answers closer to the image."""
    lasso: NonNegativeFloat = 1.0
    """Weight of the summed absolute change of the latents; larger moves fewer of them."""
    diversity: NonNegativeFloat = 1.0
    """Weight of the squared cosines between the answers' changes; larger makes the answers more different."""
    num_fisher_samples: PositiveInt = 100
    """Maximum number of references for the Fisher information."""

    @model_validator(mode="after")
    def _fisher_has_points(self) -> DiVE:
        if self.mask.startswith("fisher") and self.references is None:
            raise ValueError(f"mask {self.mask} needs references")
        return self

    @override
    def needs_gradient(self) -> bool:
        return super().needs_gradient() or self.mask.startswith("fisher")

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `answers` (count, c, h, w), `path`. Info: which are at the goal, differ, are trivial."""
        start, count = encode_queries(self.generator, classifier, x), self.count
        eps = 0.01 * noise.normal(count, self.generator.size).to(start)
        mask = self._masks(classifier, x, noise)
        others = 1 - torch.eye(count, device=x.device)

        def objective(eps: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
            change, each = mask[rows] * eps, rows.repeat_interleave(count)
            images = self.generator.decode((start[rows, None] + change).flatten(0, 1)).clamp(0, 1)
            loss, success = goal_loss(classifier, on_grid(images), goal[each])
            unit = F.normalize(change, dim=2)
            alike = ((unit @ unit.mT) * others).square().sum((1, 2))
            near = self.distance_weight * l1(images, x[each]).view(-1, count).sum(1)
            terms = near + self.lasso * change.abs().sum((1, 2)) + self.diversity * alike
            return loss.view(-1, count).sum(1) + terms / self.generator.size, success.view(-1, count).all(1)

        descent = self.minimize(
            objective, eps, classifier, noise, steps=self.steps, lr=self.lr, images=count, others=count + 1
        )
        ends, decode = (start[:, None] + mask * descent.end).flatten(0, 1), decoder(self.generator)
        every = torch.arange(len(x), device=x.device)
        answers = decoded(decode, ends, every.repeat_interleave(count)).view(len(x), count, *x.shape[1:])
        best, reached = Best(classifier, x, goal), []
        for k, images in enumerate(answers.unbind(1)):
            info, none = {"answers_nearest": [k] * len(x)}, 0 * descent.steps
            reached.append(best.offer(every, SearchResult(images=images, steps=none, evaluations=none, info=info)))
        kept, success, saved = best.found(), torch.stack(reached, 1), on_grid(answers).nan_to_num(0)
        artifacts, info = reconstruction(decode, classifier, start, goal)
        if self.num_path_frames:
            ways = zip(start, mask, descent.frames, kept.info["answers_nearest"], strict=True)
            artifacts["path"] = decoded_paths(decode, [z + m[k] * way[:, k] for z, m, way, k in ways])
        return SearchResult(
            images=kept.images,
            steps=descent.steps,
            evaluations=count * descent.evaluations + kept.evaluations + 1,
            artifacts={**artifacts, "answers": [*saved]},
            info={
                **kept.info,
                **info,
                **self._trivial(x, saved, success),
                "answers_found": success.tolist(),
                "answers_distinct": [len(s[v].unique(dim=0)) for s, v in zip(saved, success, strict=True)],
            },
        )

    def _trivial(self, x: Images, answers: Tensor, success: Tensor) -> dict[str, Any]:
        """Answers that flip the second classifier, too: the image's true class has changed, not just the prediction."""
        if self.second_classifier is None:
            return {}
        before, after = (self.second_classifier.probabilities(z).argmax(1) for z in (x, answers.flatten(0, 1)))
        return {"answers_trivial": (success & (after.view_as(success) != before[:, None])).tolist()}

    def _masks(self, classifier: Classifier, x: Images, noise: Noise) -> Tensor:
        """1 where an answer of a row may move a latent, (b, count, l)."""
        size = self.generator.size
        if self.mask == "none":
            return x.new_ones(len(x), self.count, size)
        if self.mask == "random":
            return all_but_a_part(noise.uniform(size).argsort(1), self.count).to(x)
        if self.references is None or self.count > size:
            raise RatherError("CFG-SETTING", where=f"dive.count {self.count}", why=f"there are {size} latents")
        if classifier not in self._information:
            images = self.references.images
            some = images[:: -(-len(images) // self.num_fisher_samples)].to(x)
            points = encode_queries(self.generator, classifier, some)
            self._information[classifier] = latent_information(classifier, self.generator, points)
        return fisher_masks(self.mask, self._information[classifier], self.count).to(x).expand(len(x), -1, -1)

    @cached_property
    def _information(self) -> WeakKeyDictionary[Classifier, Tensor]:
        return WeakKeyDictionary()  # by classifier: neither it nor the method ever changes
