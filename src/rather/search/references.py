"""Reference images of known classes: Goyal's distractors, the nearest real example, reference statistics."""

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
from rather.core.region import unrestricted

Choice = Literal["random", "nearest", "nearest-pixels"]


@final
@dataclass(frozen=True, eq=False)
class References(Resource):
    """Reference images; the class of each is the classifier's prediction, not its label."""

    images: Images
    ids: tuple[str, ...]
    labels: Labels | None = None  # the true classes, in the classifier's order, where known
    name: str = "references"

    def __post_init__(self) -> None:
        for what, values in (("ids", self.ids), ("labels", self.labels)):
            if values is not None and len(values) != len(self.images):
                raise RatherError(
                    "CFG-OPTIONS", where=f"{len(values)} {what}", why=f"there are {len(self.images)} images"
                )

    @cached_property
    def sha256(self) -> str:
        """Of the pixels on the 8-bit grid."""
        return hashlib.sha256((self.images * 255).round().byte().numpy().tobytes()).hexdigest()

    @cached_property
    def _outputs(self) -> WeakKeyDictionary[Classifier, tuple[Tensor, Tensor]]:
        return WeakKeyDictionary()  # by classifier: neither it nor the references ever change

    def _predict(self, classifier: Classifier) -> tuple[Tensor, Tensor]:
        """Probabilities (n, k) and flat features (n, d * u * v) of the references."""
        if classifier not in self._outputs:
            if tuple(self.images.shape[1:]) != classifier.shape:
                raise RatherError(
                    "DATA-SHAPE",
                    where=f"{self.name}, images of shape {tuple(self.images.shape[1:])}",
                    why=f"{classifier.name} takes {classifier.shape}",
                )
            with torch.no_grad():
                parts = [classifier.features(part) for part in self.images.split(256)]
                probabilities = torch.cat([classifier.head(part).softmax(1) for part in parts])
            self._outputs[classifier] = probabilities, torch.cat([part.flatten(1) for part in parts])
        return self._outputs[classifier]

    def classes(self, classifier: Classifier) -> Labels:
        """The predicted class of each reference."""
        return self._predict(classifier)[0].argmax(1)

    def nearest_other_class(self, classifier: Classifier, x: Images, predicted: Labels) -> Int[Tensor, " b"]:
        """For each image the class of the nearest reference of another class, by Euclidean distance of features.

        -1 where every reference has the image's class.
        """
        classes, (_, features) = self.classes(classifier), self._predict(classifier)
        with torch.no_grad():
            queries = classifier.features(x).flatten(1)
        # By differences: as a product of matrices it would cancel, and depend on the batch.
        distance = torch.cdist(queries, features, compute_mode="donot_use_mm_for_euclid_dist")
        distance[predicted[:, None] == classes] = torch.inf
        return torch.where(distance.isfinite().any(1), classes[distance.argmin(1)], -1)

    def most_confused_class(self, classifier: Classifier) -> Int[Tensor, " k"]:
        """For each class the other one with the largest mean probability over the references of that class.

        The class is the label where labels are known, else the prediction. This is the largest entry off the
        diagonal of a soft confusion matrix, which is defined even where nothing is confused.
        """
        probabilities, _ = self._predict(classifier)
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
        """For each image the index of a reference whose predicted class is its target.

        Args:
            classifier: predicts the classes of the references.
            x: images (b, c, h, w).
            target: the class that the reference must have.
            noise: random numbers, if `how` is random.
            how: a random one, or the nearest by Euclidean distance in the classifier's features or in pixels.
            confidence: least probability of that class, if any reference has as much.

        Raises:
            RatherError: DATA-NO-REFERENCE if no reference has the class.
        """
        classifier = unrestricted(classifier)  # a reference is of a class as a whole
        probabilities, features = self._predict(classifier)
        labels = self.classes(classifier)
        with torch.no_grad():
            queries = classifier.features(x).flatten(1) if how == "nearest" else x.flatten(1)
        if how == "nearest-pixels":
            features = self.images.flatten(1)
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
                pick = (features[candidates] - queries[row]).norm(dim=1).argmin()
            chosen.append(candidates[pick])
        return torch.stack(chosen) if chosen else torch.zeros(0, dtype=torch.long)
