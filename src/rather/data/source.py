"""What a dataset is: named pictures that are read one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor
from typing_extensions import override

from rather.config.errors import RatherError
from rather.core import Classifier, Images
from rather.io.images import Box
from rather.io.preprocessing import Preprocess


@final
class Whole(NamedTuple):
    """A small copy of a whole picture, and the part of it that is shown, in the copy's pixels."""

    picture: Image.Image
    box: Box


class Source(ABC):
    """Pictures, each with an id, a label where one is known, and a place where a person can find it.

    A source may know more of its pictures: attributes, the region of each pixel, key points. It then names
    them in `attributes`, `regions` or `point_names`; where these are empty, the methods that give the values
    raise NotImplementedError.
    """

    name: str
    classes: tuple[str, ...]  # names of the labels; empty where no picture is labelled
    attributes: tuple[str, ...] = ()  # names of what is known of each picture besides its class
    regions: tuple[str, ...] = ()  # names of what a pixel may show
    point_names: tuple[str, ...] = ()  # names of the key points
    causes: tuple[str, ...] = ()  # names of the attributes that can be changed and nothing else

    @abstractmethod
    def __len__(self) -> int:
        """How many pictures."""

    @abstractmethod
    def id(self, index: int) -> str:
        """A name for the picture: letters, digits and '-' only, unique in the source, fixed by its content."""

    @abstractmethod
    def label(self, index: int) -> int | None:
        """The index of its class in `classes`, or None."""

    @abstractmethod
    def where(self, index: int) -> str:
        """Where a person finds it."""

    @abstractmethod
    def read(self, index: int) -> Float[Tensor, "c h w"]:
        """Its pixels in [0, 1], or a RatherError whose code begins with IMG."""

    def attribute_values(self, index: int) -> Float[Tensor, " a"]:
        """How much of each attribute it has, from 0 to 1; NaN where that is not known."""
        raise NotImplementedError(f"{self.name} knows no attributes")

    def whole(self, index: int) -> Whole | None:
        """A picture with the part that `read` shows of it; None where that is all of it, or where it has no file."""
        del index
        return None

    def through(self, preprocess: Preprocess) -> Source:
        """The same pictures as a net takes them; these, if they do not come from files."""
        del preprocess
        return self

    @property
    def twins(self) -> Source | None:
        """The same pictures with one thing changed in each, if the source can make them."""
        return None

    def layout(self, index: int) -> UInt8[Tensor, "h w"]:
        """The region of each of its pixels, as an index into `regions`."""
        raise NotImplementedError(f"{self.name} knows no regions")

    def key_points(self, index: int) -> Float[Tensor, "p 3"]:
        """Per key point x and y, from 0 (left, top) to 1 (right, bottom), and 1; or NaN, NaN, 0 if it is hidden."""
        raise NotImplementedError(f"{self.name} knows no key points")

    def true_effects(self, classifier: Classifier, count: int) -> dict[str, float]:
        """What setting an attribute adds to the log-odds of the second class, the mean over the first pictures."""
        raise NotImplementedError(f"{self.name} cannot set an attribute")

    def true_counterfactuals(self, indices: list[int], cause: str, more: Bool[Tensor, " b"]) -> Images:
        """The same pictures with only a cause changed: to more of it or to less."""
        raise NotImplementedError(f"{self.name} cannot change a cause")

    @final
    def find(self, ids: Iterable[str]) -> list[int]:
        """The indices of pictures by their ids; KeyError for an unknown id."""
        return [self._index_of[one] for one in ids]

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {self.id(index): index for index in range(len(self))}


@final
@dataclass(frozen=True, eq=False)
class InMemory(Source):
    """Pictures that are in memory already."""

    name: str
    classes: tuple[str, ...]
    images: Images
    labels: Sequence[int | None]
    ids: Sequence[str]

    @override
    def __len__(self) -> int:
        return len(self.images)

    @override
    def id(self, index: int) -> str:
        return self.ids[index]

    @override
    def label(self, index: int) -> int | None:
        return self.labels[index]

    @override
    def where(self, index: int) -> str:
        return f"{self.name}, {self.ids[index]}"

    @override
    def read(self, index: int) -> Float[Tensor, "c h w"]:
        return self.images[index]


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures to explain (`test`), and others of the same kind to train on and to take references from."""

    name: str
    test: Source
    train: Source | None = None  # a user's own folder has it if it has parts
    notes: tuple[str, ...] = ()  # what a user should know of how it was read

    def through(self, preprocess: Preprocess | None) -> Dataset:
        """The same pictures as a net takes them, whose preprocessing this is."""
        if preprocess is None:
            return self
        train = self.train and self.train.through(preprocess)
        return replace(self, test=self.test.through(preprocess), train=train)

    @property
    def references(self) -> Source:
        """Where reference images come from: `train`, or `test` where there is no `train`."""
        return self.test if self.train is None else self.train

    @property
    def images(self) -> Images:
        """All readable pictures of `test`, in memory from the first use on; 200 KB each at 3 x 128 x 128."""
        return self._readable[0]

    @property
    def ids(self) -> tuple[str, ...]:
        """The id of each of `images`."""
        return tuple(self.test.id(index) for index in self._readable[1])

    @cached_property
    def _readable(self) -> tuple[Images, list[int]]:
        return read_all(self.test)


def read_all(
    source: Source, indices: Iterable[int] | None = None, *, limit: int | None = None
) -> tuple[Images, list[int]]:
    """The pictures that can be read, at most `limit`, all of one shape, and their indices; the others are left out.

    Raises:
        RatherError: DATA-ALL-BAD if none can be read.
    """
    images: list[Tensor] = []
    readable: list[int] = []
    last = None
    for index in range(len(source)) if indices is None else indices:
        if len(images) == limit:
            break
        try:
            images.append(source.read(index))
            readable.append(index)
        except RatherError as error:
            last = error
    if not images:
        raise RatherError("DATA-ALL-BAD", where=source.name, why=str(last or "it is empty"))
    return torch.stack(images), readable
