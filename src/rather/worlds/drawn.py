"""Pictures that are drawn when they are read: picture n of a seed is always the same."""

from __future__ import annotations

from typing import Literal

from typing_extensions import override

from rather.data.source import Source

Part = Literal["train", "test"]


class DrawnSource(Source):
    """Numbered pictures with labels; how one is drawn is for a subclass to say.

    Args:
        name: of the dataset.
        part: of which the pictures are.
        labels: the class of each, as an index into `classes`.
    """

    def __init__(self, name: str, part: Part, labels: list[int]) -> None:
        self.name, self.part = name, part
        self._labels = labels

    @override
    def __len__(self) -> int:
        return len(self._labels)

    @override
    def id(self, index: int) -> str:
        return f"{self.part}-{index:05d}"

    @override
    def label(self, index: int) -> int | None:
        return self._labels[index]

    @override
    def where(self, index: int) -> str:
        return f"{self.name}, {self.id(index)}"
