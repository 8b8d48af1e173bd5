"""What a user gives in Python, by name or in memory: classifiers, images, methods and what they need."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, final
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from typing_extensions import override

from rather.core import Classifier, Deferred, Images, Method
from rather.data.source import Dataset, InMemory, Source
from rather.generators.frozen import FrozenNet
from rather.hub.classifiers import load_classifier
from rather.hub.datasets import load_dataset
from rather.hub.methods import build_method, load_method
from rather.hub.presets import Plan, expand
from rather.hub.resources import (
    ResourceSpec,
    data_of,
    fill_resources,
    latent_of,
    load_generator,
    requirements,
    resolve_references,
)
from rather.latents.classifiers import LatentClassifiers
from rather.search.references import References

GivenClassifier = Classifier | nn.Module | Callable[[Tensor], object] | str | Path
GivenImages = Images | Dataset | Source | str | Path


def as_classifier(given: GivenClassifier, images: object) -> Classifier:
    """A classifier, by its name, or of a net that takes images of the shape of these."""
    if isinstance(given, Classifier):
        return given
    if isinstance(given, str | Path):
        return load_classifier(given)
    of_tensor = isinstance(images, Tensor) and images.ndim == 4  # noqa: PLR2004 - b, c, h, w
    if isinstance(images, Dataset):
        images, of_tensor = images.images, True
    if not of_tensor:
        return Classifier(given)  # which says that it needs a shape
    assert isinstance(images, Tensor)  # noqa: S101 - see above
    _, c, h, w = images.shape
    return Classifier(given, shape=(c, h, w))


def as_dataset(given: GivenImages, classifier: Classifier) -> Dataset:
    """Images in memory, a dataset or a part of one, or what a name or a path names, as a dataset."""
    if isinstance(given, Dataset):
        return given
    if isinstance(given, Source):
        return Dataset(given.name, given)
    if isinstance(given, str | Path):
        return load_dataset(given, like=classifier)
    ids = [str(n) for n in range(len(given))]
    return Dataset("images", InMemory("images", (), given, [None] * len(given), ids))


def as_method(given: Method | str | Plan, classifier: Classifier, pictures: Dataset) -> Method:
    """A method for this classifier: a name gets what it needs of the bundled nets and of these pictures."""
    if isinstance(given, Method):
        return given.for_classifier(classifier)
    plan = expand({"name": given} if isinstance(given, str) else given)
    spec = ResourceSpec(pictures=pictures, references=references_by_default(classifier, pictures))
    return build_method(plan, fill_resources(requirements(plan), classifier, spec.resolve))


def references_by_default(classifier: Classifier, pictures: Dataset) -> str | None:
    """The dataset that a bundled classifier was trained on, for images in memory; None for the pictures' own."""
    return data_of(classifier) if isinstance(pictures.test, InMemory) and pictures.train is None else None


def load_resource(kind: type, given: Any) -> Any:
    """What fills a field of a method that takes this kind, from a name, a dataset or images.

    Raises:
        RatherError: MODEL-KIND for a net of another kind, or what loading it raises.
    """
    if issubclass(kind, References) and isinstance(given, str | Path | Dataset | Source | Tensor):
        return ReferencesFrom(given)
    if not isinstance(given, str | Path):
        return given  # for the field itself to refuse
    given = str(given)
    if issubclass(kind, Method):
        return load_method(given)
    if issubclass(kind, Classifier):
        return load_classifier(given)
    if issubclass(kind, LatentClassifiers):
        return latent_of(given, load_classifier(given))
    return load_generator(given, kind) if issubclass(kind, FrozenNet) else given


@final
class ReferencesFrom(Deferred):
    """Reference images of a dataset, a part of it, a name or a tensor, read at the classifier's shape."""

    def __init__(self, given: str | Path | Dataset | Source | Tensor) -> None:
        self.given = given
        self.name = str(given) if isinstance(given, str | Path) else str(getattr(given, "name", "references"))

    @cached_property
    def _made(self) -> WeakKeyDictionary[Classifier, References]:
        return WeakKeyDictionary()  # a method that is called again reads nothing again

    @override
    def resolve(self, classifier: Classifier) -> References:
        if classifier not in self._made:
            self._made[classifier] = self._read(classifier)
        return self._made[classifier]

    def _read(self, classifier: Classifier) -> References:
        given = load_dataset(self.given, like=classifier) if isinstance(self.given, str | Path) else self.given
        if isinstance(given, Tensor):
            return References(images=given, ids=tuple(str(n) for n in range(len(given))))
        return resolve_references(given.references if isinstance(given, Dataset) else given, classifier)
