"""Classifiers, as everything else sees them: images in [0, 1] to logits, by way of a map of features."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from rather.config.errors import RatherError, did_you_mean
from rather.types import Features, Images, Logits, Resource


@final
class Classifier(Resource, nn.Module):
    """Logits of images in [0, 1]: `head(body((x - mean) / std))`.

    `body` gives a map of features (b, d, u, v), `head` its logits (b, k). A net that nobody has cut has the
    image itself as its map. A classifier is for asking, not for training: it stays in evaluation mode, and
    its parameters are frozen.

    Args:
        body: images, normalised, to features.
        head: features to logits.
        classes: a name for each of the k classes, no two alike.
        shape: (c, h, w) of the images that it takes.
        mean: per channel, subtracted from the images; None for 0.
        std: per channel, divides the images; None for 1.
        name: what to call it in a report.
        members: the classifiers of which this one is the ensemble, if it is one.

    Raises:
        RatherError: two classes of one name, or means or deviations that are not one for each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        head: nn.Module,
        *,
        classes: Sequence[str],
        shape: tuple[int, int, int],
        mean: Sequence[float] | Tensor | np.ndarray | None = None,
        std: Sequence[float] | Tensor | np.ndarray | None = None,
        name: str = "classifier",
        members: Sequence[Classifier] = (),
    ) -> None:
        super().__init__()
        self.body, self.head = body, head
        self.classes, self.shape, self.name = tuple(classes), shape, name
        self._members = tuple(members)  # a tuple, so that they are not registered twice
        twice = [one for one, count in Counter(self.classes).items() if count > 1]
        if twice:
            raise RatherError("MODEL-CLASSES", where=twice[0], why="two classes have this name")
        self.register_buffer("mean", _per_channel("mean", 0.0 if mean is None else mean, shape[0]))
        self.register_buffer("std", _per_channel("std", 1.0 if std is None else std, shape[0]))
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, x: Images) -> Logits:
        """The logits of images."""
        given: Tensor = self.head(self.features(x))
        return given

    def features(self, x: Images) -> Features:
        """The map that the head sees."""
        given: Tensor = self.body((x - self.mean) / self.std)
        return given

    @torch.no_grad()
    def probabilities(self, x: Images, batch_size: int = 256) -> Float[Tensor, "b k"]:
        """Class probabilities of images, `batch_size` of them in memory at a time, without gradients."""
        return torch.cat([self(part).softmax(1) for part in x.split(batch_size)])

    @property
    def members(self) -> tuple[Classifier, ...]:
        """The classifiers of an ensemble; of a single one, itself."""
        return self._members or (self,)

    def train(self, mode: bool = True) -> Classifier:
        """Stays in evaluation mode, whatever `mode` says: dropout would make every answer another."""
        del mode
        return super().train(mode=False)

    def fingerprint(self) -> str:
        """A sha256 of its classes and of all that `fingerprint` looks at."""
        return fingerprint(self, self.shape, self.classes, self.get_buffer("mean").device)

    def class_index(self, name: str) -> int:
        """The index of a class given by name or by number; a wrong one is answered with the nearest names."""
        if name not in self.classes and name.isdecimal() and int(name) < len(self.classes):
            return int(name)
        return self.class_named(name)

    def class_named(self, name: str) -> int:
        """The index of a class by its name alone: what another classifier calls "7" is no number here."""
        if name in self.classes:
            return self.classes.index(name)
        raise RatherError(
            "CFG-CLASS",
            where=name,
            why=f"{self.name} knows {len(self.classes)} classes",
            do=did_you_mean(name, self.classes),
        )


@torch.no_grad()
def fingerprint(net: nn.Module, shape: tuple[int, ...], told: object, device: torch.device) -> str:
    """A sha256 of what a net takes, its structure, its numbers and its answers, and of what is told beside.

    The answers are to four inputs of noise, for code can differ where structure and numbers do not. Of each
    answer one weighted sum counts, to 3 decimals, which leaves room for the rounding errors of another
    processor or number of threads. A difference that no such sum shows stays unseen.

    Args:
        net: that takes (b, *shape) in [0, 1] and gives (b, k).
        shape: of one input.
        told: what else makes it what it is; its `repr` counts.
        device: where the net is.
    """
    digest = hashlib.sha256(repr((shape, told, net)).encode())
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    noise = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    answers = net(noise.to(device)).double().cpu()
    weights = torch.linspace(1, 2, answers.shape[1], dtype=torch.float64) / answers.shape[1] ** 0.5
    sums = (answers * weights).sum(1).round(decimals=3) + 0.0  # and not -0.0
    digest.update(repr(sums.tolist()).encode())
    return digest.hexdigest()


def _per_channel(name: str, values: float | Sequence[float] | Tensor | np.ndarray, count: int) -> Tensor:
    numbers = torch.as_tensor(values, dtype=torch.float32).flatten()
    if isinstance(values, float):
        numbers = numbers.expand(count)
    if len(numbers) != count:
        raise RatherError("CFG-SETTING", where=f"{name} of {len(numbers)}", why=f"there are {count} channels")
    return numbers.clone().view(-1, 1, 1)
