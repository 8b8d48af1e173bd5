"""Several classifiers as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rather.classifiers.checks import noise
from rather.classifiers.maps import is_uncut, uncut
from rather.config.errors import RatherError
from rather.core.classifier import Classifier
from rather.types import Features, Images, Logits


def ensemble(members: Sequence[Classifier], name: str = "ensemble") -> Classifier:
    """The classifier whose logits are the mean of its members' log-probabilities; members are shared, not copied.

    Its map is its members' maps, concatenated in channels, if they are of one size; else the image, in
    patches if it is large.

    Raises:
        RatherError: MODEL-MEMBERS if there are none, or if they differ in shape or classes.
    """
    if not members:
        raise RatherError("MODEL-MEMBERS", where=name, why="it has none")
    first = members[0]
    for member in members:
        if member.kind != "classes":
            do = "Make an ensemble of what .ask(TARGET) gives of each"
            raise RatherError("MODEL-MEMBERS", where=member.name, why=f"it gives {member.kind}", do=do)
        if member.classes != first.classes or member.shape != first.shape:
            raise RatherError(
                "MODEL-MEMBERS",
                where=f"{first.name} and {member.name}",
                why=f"{len(first.classes)} classes of images {first.shape}, "
                f"{len(member.classes)} classes of images {member.shape}",
                do="Give all of them the same classes, in one order, and one shape",
            )
    body, head = _parts(members)
    return Classifier(body, head, classes=first.classes, shape=first.shape, name=name, members=members)


def _parts(members: Sequence[Classifier]) -> tuple[nn.Module, nn.Module]:
    image = noise(1, members[0].shape).to(members[0].get_buffer("mean").device)
    with torch.no_grad():
        maps = [member.features(image) for member in members]
    grids = {tuple(part.shape[2:]) for part in maps}
    whole = all(is_uncut(member.body) for member in members)
    if whole or len(grids) > 1 or any(part.ndim != 4 for part in maps):  # noqa: PLR2004 - b, d, u, v
        return uncut(_Together(members), (image.shape[2], image.shape[3]))
    return _Maps(members), _Heads(members, [part.shape[1] for part in maps])


@final
class _Together(nn.Module):
    """The mean of the members' log-probabilities."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Images) -> Logits:
        """Of images."""
        return _mean_log_probability([member(x) for member in self.members])


@final
class _Maps(nn.Module):
    """The members' maps, concatenated in channels."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Images) -> Features:
        """Of images; each member normalises them itself."""
        return torch.cat([member.features(x) for member in self.members], 1)  # type: ignore[operator] # a ModuleList forgets what its modules are


@final
class _Heads(nn.Module):
    """The mean of the members' log-probabilities, from their maps."""

    def __init__(self, members: Sequence[Classifier], channels: Sequence[int]) -> None:
        super().__init__()
        self._members = tuple(members)  # a tuple, so that they are not registered twice
        self.channels = list(channels)

    def forward(self, features: Float[Tensor, "b d u v"]) -> Logits:
        """Each head gets its own channels."""
        parts = features.split(self.channels, 1)
        return _mean_log_probability([member.head(part) for member, part in zip(self._members, parts, strict=True)])


def _mean_log_probability(logits: Sequence[Logits]) -> Logits:
    return torch.stack([each.log_softmax(1) for each in logits]).mean(0)
