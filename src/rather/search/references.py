"""Images of known classes that a method may take from: Goyal's distractors, the nearest real example."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Classifier, Images, Labels, Noise, Resource

Choice = Literal["random", "nearest", "nearest-pixels"]


@final
@dataclass(frozen=True, eq=False)
class References(Resource):
    """Reference images; the class of each is what the classifier calls it, not its label."""

    images: Images
    ids: tuple[str, ...]
    labels: Labels | None = None  # the true classes, in the classifier's order, where known
    name: str = "references"

    def __post_init__(self) -> None:
        for what, given in (("ids", self.ids), ("labels", self.labels)):
            if given is not None and len(given) != len(self.images):
                raise RatherError(
                    "CFG-OPTIONS", where=f"{len(given)} {what}", why=f"there are {len(self.images)} images"
                )

    @cached_property
    def sha256(self) -> str:
        """Of the pixels on the 8-bit grid."""
        return hashlib.sha256((self.images * 255).round().byte().numpy().tobytes()).hexdigest()

    @cached_property
    def _asked(self) -> WeakKeyDictionary[Classifier, tuple[Tensor, Tensor]]:
        return WeakKeyDictionary()  # a memory of answers, not of calls: the references never change

    def _ask(self, classifier: Classifier) -> tuple[Tensor, Tensor]:
        """What the classifier says of each of them: probabilities (n, k) and flat features (n, d * u * v)."""
        if classifier not in self._asked:
            if tuple(self.images.shape[1:]) != classifier.shape:
                raise RatherError(
                    "DATA-SHAPE",
                    where=f"{self.name}, images of shape {tuple(self.images.shape[1:])}",
                    why=f"{classifier.name} takes {classifier.shape}",
                )
            with torch.no_grad():
                parts = [classifier.features(part) for part in self.images.split(256)]
                probabilities = torch.cat([classifier.head(part).softmax(1) for part in parts])
            self._asked[classifier] = probabilities, torch.cat([part.flatten(1) for part in parts])
        return self._asked[classifier]

    def classes(self, classifier: Classifier) -> Labels:
        """What the classifier calls each of them."""
        return self._ask(classifier)[0].argmax(1)

    def nearest_other_class(self, classifier: Classifier, x: Images, predicted: Labels) -> Int[Tensor, " b"]:
        """For each image the class of its nearest reference (features, Euclidean) that has another class.

        -1 where every reference has the image's class.
        """
        classes, (_, features) = self.classes(classifier), self._ask(classifier)
        with torch.no_grad():
            mine = classifier.features(x).flatten(1)
        # By differences: as a product of matrices it would cancel, and depend on the batch.
        distance = torch.cdist(mine, features, compute_mode="donot_use_mm_for_euclid_dist")
        distance[predicted[:, None] == classes] = torch.inf
        return torch.where(distance.isfinite().any(1), classes[distance.argmin(1)], -1)

    def most_confused_class(self, classifier: Classifier) -> Int[Tensor, " k"]:
        """For each class the other one with the largest mean probability over the references of that class.

        Of the class by label where labels are known, else by what the classifier says: the soft form of the
        confusion matrix's largest entry off the diagonal, which is defined also where nothing is confused.
        """
        probabilities, _ = self._ask(classifier)
        labels = self.classes(classifier) if self.labels is None else self.labels
        confusion = torch.zeros(probabilities.shape[1], probabilities.shape[1])
        confusion.index_add_(0, labels, probabilities)
        return confusion.fill_diagonal_(-1).argmax(1)

    def choose(
        self,
        classifier: Classifier,
        x: Images,
        target: Labels,
        noise: Noise,
        how: Choice,
        *,
        confidence: Float[Tensor, " b"] | None = None,
    ) -> Int[Tensor, " b"]:
        """For each image the index of a reference that the classifier calls its target.

        Args:
            classifier: whose opinion counts.
            x: images (b, c, h, w).
            target: the class that the reference must have.
            noise: draws it, if `how` is random.
            how: any, the nearest in the classifier's feature space, or the nearest picture (Euclidean).
            confidence: that the classifier should have in that class; looked at where a reference has it.
        """
        probabilities, theirs = self._ask(classifier)
        labels = self.classes(classifier)
        with torch.no_grad():
            mine = classifier.features(x).flatten(1) if how == "nearest" else x.flatten(1)
        if how == "nearest-pixels":
            theirs = self.images.flatten(1)
        chosen = []
        for row, wanted in enumerate(target.tolist()):
            fits = labels == wanted
            if confidence is not None:
                sure = fits & (probabilities[:, wanted] >= confidence[row])
                fits = sure if sure.any() else fits
            (candidates,) = fits.nonzero(as_tuple=True)
            if not len(candidates):
                raise RatherError(
                    "DATA-NO-REFERENCE",
                    where=f"{self.name}, class {classifier.classes[wanted]}",
                    why=f"{len(labels)} images looked at",
                    do="Give more reference images, or choose another target",
                )
            if how == "random":
                pick = noise[torch.tensor([row])].choice(torch.tensor([len(candidates)]))[0]
            else:
                pick = (theirs[candidates] - mine[row]).norm(dim=1).argmin()
            chosen.append(candidates[pick])
        return torch.stack(chosen) if chosen else torch.zeros(0, dtype=torch.long)
