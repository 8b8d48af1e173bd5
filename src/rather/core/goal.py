"""What is asked of each row, and its random numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rather.config.errors import RatherError
from rather.types import Labels, Logits


@final
@dataclass(frozen=True)
class Goal:
    """A class and a confidence for each row.

    It is reached when the class is the classifier's first choice and has at least that probability.
    """

    target: Labels
    confidence: Float[Tensor, " b"]
    kept: Float[Tensor, "b k"] | None = None  # of labels that do not exclude each other: their probabilities before

    @classmethod
    def change(cls, target: Labels, confidence: float = 0.0) -> Goal:
        """Another class, with at least `confidence`; 0 asks only that it be the first choice."""
        _check_confidence(confidence)
        return cls(target.long(), torch.full(target.shape, confidence, device=target.device))

    @classmethod
    def strengthen(cls, logits: Logits, confidence: float = 0.0) -> Goal:
        """More confidence in the class that it is: `confidence`, and half of the remaining doubt gone."""
        _check_confidence(confidence)
        top = logits.softmax(1).max(1)
        return cls(top.indices, (1 - (1 - top.values) / 2).clamp(min=confidence))

    criticism, prototype = change, strengthen  # as Liu et al. (2019) call them

    def reached(self, logits: Logits) -> Bool[Tensor, " b"]:
        """Which rows of logits are at their goal. NaN never is."""
        p = logits.softmax(1)
        mine = p.gather(1, self.target[:, None])[:, 0]
        return (p.argmax(1) == self.target) & (mine >= self.confidence)

    def __getitem__(self, rows: Tensor) -> Goal:
        """The goals of some rows."""
        return Goal(self.target[rows], self.confidence[rows], None if self.kept is None else self.kept[rows])

    def __len__(self) -> int:
        return len(self.target)


def _check_confidence(confidence: float) -> None:
    if not 0 <= confidence <= 1:
        raise RatherError("CFG-SETTING", where=f"confidence {confidence}", why="it is not in [0, 1]")


@final
class Noise:
    """One stream of random numbers per row, seeded by (seed, the row's id).

    So neither the batch that a row is in, nor its place there, nor an interruption can change its numbers.
    (torch's own generator on a CPU keeps 32 bits of its seed, and would be one stream for all.)
    """

    def __init__(self, seed: int, ids: Sequence[str], *, branch: Sequence[int] = ()) -> None:
        if seed < 0:
            raise RatherError("CFG-SETTING", where=f"seed {seed}", why="it is negative")
        self.seed, self.ids, self.branch = seed, tuple(ids), tuple(branch)
        self.streams = [
            np.random.default_rng(np.random.SeedSequence([seed, *_words(row)], spawn_key=self.branch))
            for row in self.ids
        ]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Tensor) -> Noise:
        """The streams of some rows, by their places or by a mask; they go on where they are."""
        part = Noise(self.seed, (), branch=self.branch)
        places = torch.arange(len(self))[rows.cpu()].tolist()
        part.ids = tuple(self.ids[i] for i in places)
        part.streams = [self.streams[i] for i in places]
        return part

    def split(self, count: int) -> list[Noise]:
        """`count` new, independent noises for the same rows."""
        return [Noise(self.seed, self.ids, branch=(*self.branch, n)) for n in range(count)]

    def normal(self, *shape: int) -> Float[Tensor, "b *shape"]:
        """Standard normal numbers, `shape` of them for each row."""
        return self._stack([s.standard_normal(shape, dtype=np.float32) for s in self.streams], shape)

    def uniform(self, *shape: int) -> Float[Tensor, "b *shape"]:
        """Uniform numbers in [0, 1), `shape` of them for each row."""
        return self._stack([s.random(shape, dtype=np.float32) for s in self.streams], shape)

    def choice(self, counts: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """For each row a whole number from 0 to below its count."""
        return torch.tensor(
            [int(s.integers(n)) for s, n in zip(self.streams, counts.tolist(), strict=True)], dtype=torch.long
        )

    @staticmethod
    def _stack(rows: list[np.ndarray], shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, *shape)


def _words(text: str) -> list[int]:
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
