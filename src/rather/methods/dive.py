"""DiVE, Rodriguez, Caccia, Lacoste et al. (2021): several answers at once that differ and are sparse.

    min_eps  sum_k CE(C(x_k), target) + 1/l sum_k (distance_weight * |x - x_k|_1 + lasso * |m_k eps_k|_1)
             + diversity / l * sum_{i != k} cos(m_i eps_i, m_k eps_k)^2,    x_k = G(z + m_k eps_k)

P. Rodriguez, M. Caccia, A. Lacoste et al., "Beyond trivial counterfactual explanations with diverse valuable
explanations", ICCV 2021. z are the query's l latents; the masks m_k say which of them an answer may move.
Weights and masks are those of the authors' code, but for the learning rate (0.01 there).
Ours: a row stops when all its 8-bit pictures are at the goal (theirs: a batch, when 90 % of its are), and its
terms are divided by l, not by the sum of the masks over the batch; |x - x_k|_1 is a mean over pixels and
channels; the Fisher information is that of log p (theirs: of logits) for all classes, a mean over references;
spectral clusters are of its absolute values, for the sign of a latent means nothing. It is found once for a
classifier, and its gradients are not counted as evaluations of any row.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, final
from weakref import WeakKeyDictionary

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F

from rather.config.errors import RatherError
from rather.core import Classifier, Goal, Images, Method, Noise, SearchResult
from rather.generators.autoencoder import Autoencoder
from rather.generators.frozen import Bundled
from rather.latents.fisher import latent_information
from rather.latents.masks import FisherMask, all_but_a_part, fisher_masks
from rather.latents.search import decoded, decoder, encoded, reconstruction, shown
from rather.search.best import Best
from rather.search.descend import Rows, descend, on_grid
from rather.search.losses import l1, toward
from rather.search.references import References


@final
class DiVE(Method):
    """`count` answers by one descent; the nearest at the goal is the picture, and all of them are kept."""

    generator: Annotated[Autoencoder, Bundled("tcvae")]  # as the paper's: latents that vary one by one
    """Encodes the queries and decodes what is found."""
    references: References | None = None
    """Images over which the Fisher information is averaged; only its masks need them."""
    second_classifier: Classifier | None = None
    """Whose class an answer changes if it is trivial; a better judge than the classifier explained."""
    count: PositiveInt = 8
    """How many answers."""
    mask: Literal["none", "random"] | FisherMask = "none"
    """Latents of each answer: all; all but a part by chance, or by information; one cluster; all others."""
    steps: PositiveInt = 20
    """Adam steps, at most."""
    lr: PositiveFloat = 0.1
    """Learning rate, in units of the latents."""
    distance_weight: NonNegativeFloat = 10.0
    """Weight of the distance of the pictures."""
    lasso: NonNegativeFloat = 1.0
    """Weight of the absolute change of the latents."""
    diversity: NonNegativeFloat = 1.0
    """Weight of the squared cosines between the changes."""
    num_fisher_samples: PositiveInt = 100
    """References to take the Fisher information from, at most."""
    num_path_frames: NonNegativeInt = 6
    """Pictures of the search path to keep, about."""

    @model_validator(mode="after")
    def _fisher_has_points(self) -> DiVE:
        if self.mask.startswith("fisher") and self.references is None:
            raise ValueError(f"mask {self.mask} needs references")
        return self

    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Pictures: `answers` (count, c, h, w). Facts: which are at the goal, differ, are trivial."""
        start = encoded(self.generator, classifier, x)
        eps = 0.01 * noise.normal(self.count, self.generator.size).to(start)
        mask = self._masks(classifier, x, noise)
        apart = 1 - torch.eye(self.count, device=x.device)

        def objective(eps: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
            change, each = mask[rows] * eps, rows.repeat_interleave(self.count)
            images = self.generator.decode((start[rows, None] + change).flatten(0, 1)).clamp(0, 1)
            loss, reached = toward(classifier, on_grid(images), goal[each])
            unit = F.normalize(change, dim=2)
            alike = ((unit @ unit.mT) * apart).square().sum((1, 2))
            near = self.distance_weight * l1(images, x[each]).view(-1, self.count).sum(1)
            terms = near + self.lasso * change.abs().sum((1, 2)) + self.diversity * alike
            done = reached.view(-1, self.count).all(1)
            return loss.view(-1, self.count).sum(1) + terms / self.generator.size, done

        path = descend(objective, eps, steps=self.steps, lr=self.lr, frames=self.num_path_frames)
        ends = (start[:, None] + mask * path.end).flatten(0, 1)
        decode = decoder(self.generator)
        every = torch.arange(len(x), device=x.device)
        answers = decoded(decode, ends, every.repeat_interleave(self.count)).view(len(x), self.count, *x.shape[1:])
        best, valid = Best(classifier, x, goal), []
        for k, images in enumerate(answers.unbind(1)):
            info, none = {"answers_nearest": [k] * len(x)}, 0 * path.steps
            valid.append(best.offer(every, SearchResult(images=images, steps=none, evaluations=none, info=info)))
        kept, found, sets = best.found(), torch.stack(valid, 1), on_grid(answers).nan_to_num(0)
        pictures, said = reconstruction(decode, classifier, start, goal)
        if self.num_path_frames:
            ways = zip(start, mask, path.frames, kept.info["answers_nearest"], strict=True)
            pictures["path"] = shown(decode, [z + m[k] * way[:, k] for z, m, way, k in ways])
        return SearchResult(
            images=kept.images,
            steps=path.steps,
            evaluations=self.count * path.evaluations + kept.evaluations + 1,
            artifacts={**pictures, "answers": [*sets]},
            info={
                **kept.info,
                **said,
                **self._trivial(x, sets, found),
                "answers_found": found.tolist(),
                "answers_distinct": [len(s[v].unique(dim=0)) for s, v in zip(sets, found, strict=True)],
            },
        )

    def _trivial(self, x: Images, answers: Tensor, found: Tensor) -> dict[str, Any]:
        """Flips that the second classifier sees as well: the picture's class has changed, not just the decision."""
        if self.second_classifier is None:
            return {}
        before, after = (self.second_classifier.probabilities(z).argmax(1) for z in (x, answers.flatten(0, 1)))
        return {"answers_trivial": (found & (after.view_as(found) != before[:, None])).tolist()}

    def _masks(self, classifier: Classifier, x: Images, noise: Noise) -> Tensor:
        """Which latents each answer of each row may move, (b, count, l)."""
        size = self.generator.size
        if self.mask == "none":
            return x.new_ones(len(x), self.count, size)
        if self.mask == "random":
            return all_but_a_part(noise.uniform(size).argsort(1), self.count).to(x)
        if self.references is None or self.count > size:
            raise RatherError("CFG-SETTING", where=f"dive.count {self.count}", why=f"there are {size} latents")
        if classifier not in self._known:
            images = self.references.images
            points = encoded(self.generator, classifier, images[:: -(-len(images) // self.num_fisher_samples)].to(x))
            self._known[classifier] = latent_information(classifier, self.generator, points)
        return fisher_masks(self.mask, self._known[classifier], self.count).to(x).expand(len(x), -1, -1)

    @cached_property
    def _known(self) -> WeakKeyDictionary[Classifier, Tensor]:
        return WeakKeyDictionary()  # a memory of answers, not of calls: a method never changes
