"""The file of a trained classifier, or of an ensemble of them; see `nets.file`.

Its tensors are the members' state dicts, named `0.body.0.weight` and so on, mean and std among them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from rather.classifiers import architectures as nets
from rather.core import Classifier
from rather.io.checkpoints import NetPlan, read_net, save_net


class _Plan(NetPlan):
    kind: Literal["classifier"] = "classifier"
    architecture: str
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=100_000)]
    members: Annotated[int, Field(ge=1, le=1000)]


def save_classifier(
    path: str | os.PathLike[str], classifier: Classifier, *, architecture: str, card: Mapping[str, Any]
) -> None:
    """Write a classifier that `nets` has built; a file that was there is replaced at once and as a whole.

    Args:
        path: of the new file.
        classifier: one, or an ensemble of members of the same architecture.
        architecture: a key of `nets.ARCHITECTURES`.
        card: plain data (JSON) on where it comes from: data, seed, accuracy, licence.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    plan = _Plan(
        architecture=architecture,
        name=classifier.name,
        shape=classifier.shape,
        classes=classifier.classes,
        members=len(classifier.members),
        card=dict(card),
    )
    save_net(path, plan, {str(number): member for number, member in enumerate(classifier.members)})


def read_classifier(path: str | os.PathLike[str]) -> Classifier:
    """The classifier of a file that `save_classifier` has written.

    Raises:
        RatherError: what `nets.file.read_net` raises.
    """
    plan, members = read_net(path, _Plan, _members)
    for member in members.values():
        member.to(memory_format=torch.channels_last)  # faster on a processor
    if plan.members == 1:
        return members["0"]
    from rather.classifiers.adapters import ensemble

    return ensemble([*members.values()], plan.name)


def _members(plan: _Plan) -> dict[str, Classifier]:
    names = [plan.name] if plan.members == 1 else [f"{plan.name}-{n}" for n in range(plan.members)]
    members = {}
    for number, name in enumerate(names):
        body, head = nets.build(plan.architecture, plan.shape, len(plan.classes))
        members[str(number)] = Classifier(body, head, classes=plan.classes, shape=plan.shape, name=name)
    return members
