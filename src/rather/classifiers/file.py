"""The file of a trained classifier: safetensors, so that reading one runs no code.

Its tensors are the members' state dicts, named `0.body.0.weight` and so on, mean and std among them; its
metadata says under `rather` what to build.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from rather.classifiers import nets
from rather.core import Classifier
from rather.errors import RatherError
from rather.writing import refuse_unwritable as refuse_folder
from rather.writing import write_whole, writing

#: How files begin that are code: pickles, and the zip files in which torch keeps them.
_CODE: Final = (b"\x80", b"PK\x03\x04")


class _Plan(BaseModel):
    """What the metadata must say; the bounds keep a forged file from asking for a giant net."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal[1] = 1
    architecture: str
    name: str
    shape: tuple[
        Annotated[int, Field(ge=1, le=4)],
        Annotated[int, Field(ge=1, le=1024)],
        Annotated[int, Field(ge=1, le=1024)],
    ]
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=100_000)]
    members: Annotated[int, Field(ge=1, le=1000)]
    card: dict[str, Any]


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
    tensors = {
        f"{number}.{key}": tensor.contiguous()
        for number, member in enumerate(classifier.members)
        for key, tensor in member.state_dict().items()
    }
    with writing(Path(path).parent):
        write_whole(Path(path), save(tensors, {"rather": plan.model_dump_json()}))


def load_classifier(path: str | os.PathLike[str]) -> Classifier:
    """The classifier of a file that `save_classifier` has written.

    Raises:
        RatherError: MODEL-NOT-FOUND, MODEL-CODE for a pickle, MODEL-FILE-DAMAGED for all else that is not
            such a file, whole and with finite weights.
    """
    plan, tensors = _read(Path(path))
    members = []
    for number in range(plan.members):
        member = _classifier(plan, number)
        mine = f"{number}."
        state = {key.removeprefix(mine): t for key, t in tensors.items() if key.startswith(mine)}
        member.load_state_dict(state, assign=True)
        members.append(member)
    if plan.members == 1:
        return members[0]
    from rather.classifiers.adapters import ensemble

    return ensemble(members, plan.name)


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a classifier's file says on where it comes from."""
    return _read(Path(path))[0].card


def refuse_unwritable(path: Path) -> None:
    """Whether a file can be written there: to be asked before minutes of training, not after them.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    if path.is_dir():
        raise RatherError(
            "STORE-NOT-WRITABLE", where=path, why="a folder", do="Name a file, NAME.safetensors"
        )
    refuse_folder(path.parent)


def _read(path: Path) -> tuple[_Plan, dict[str, Tensor]]:
    """What the file says to build, and its tensors; nothing is copied before their names and sizes fit."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise RatherError(
            "MODEL-NOT-FOUND", where=path, why=error.strerror or "", do="See rather list models"
        ) from None
    # The length of safetensors' header, in front of it, may begin like a pickle; the header is JSON.
    if start.startswith(_CODE) and not start.endswith(b"{"):
        raise RatherError("MODEL-CODE", where=path, why="a pickle can run anything", do="Save safetensors")
    try:
        with safe_open(path, "pt") as file:
            plan = _plan(path, (file.metadata() or {}).get("rather"))
            expected = _expected(path, plan)
            _compare(path, expected, {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()})  # noqa: SIM118 - it is no mapping
            tensors = {key: file.get_tensor(key).clone() for key in expected}  # not a map of the file
    except (SafetensorError, OSError, OverflowError) as error:
        raise _damaged(path, str(error)) from None
    for key, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            raise _damaged(path, f"{key} is {tensor.dtype}")
        if not tensor.isfinite().all():
            raise _damaged(path, f"{key} is not finite")
    return plan, tensors


def _plan(path: Path, text: str | None) -> _Plan:
    if text is None:
        raise _damaged(path, "it does not say what net it is of")
    try:
        plan = _Plan.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, f"{'.'.join(map(str, first['loc'])) or 'metadata'}: {first['msg']}") from None
    if plan.architecture not in nets.ARCHITECTURES:
        raise _damaged(path, f"unknown architecture {plan.architecture!r:.40}")
    return plan


def _expected(path: Path, plan: _Plan) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the tensors that a net of this plan has."""
    try:
        state = _classifier(plan, 0).state_dict()
    except RatherError as error:
        raise _damaged(path, error.why) from None
    return {f"{n}.{key}": tuple(t.shape) for n in range(plan.members) for key, t in state.items()}


def _compare(path: Path, expected: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    for key in sorted(expected.keys() | there.keys()):
        if expected.get(key) != there.get(key):
            raise _damaged(path, f"{key[:60]} is {there.get(key)} and should be {expected.get(key)}")


def _classifier(plan: _Plan, member: int) -> Classifier:
    """One member without weights: neither memory nor random numbers are spent on what the file replaces."""
    name = plan.name if plan.members == 1 else f"{plan.name}-{member}"
    with torch.device("meta"):
        body, head = nets.build(plan.architecture, plan.shape, len(plan.classes))
        return Classifier(body, head, classes=plan.classes, shape=plan.shape, name=name)


def _damaged(path: Path, why: str) -> RatherError:
    return RatherError(
        "MODEL-FILE-DAMAGED", where=path, why=why[:200], do="Give a file that rather train has written"
    )
