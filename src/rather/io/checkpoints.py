"""Files of trained nets: safetensors whose metadata says what to build, so that reading one runs no code.

The metadata has one entry, `rather`: JSON with the kind of net, its settings and its card. What is built of
it decides the names and shapes that the file's tensors must have.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from rather.config.errors import RatherError
from rather.io.writing import check_writable as refuse_folder
from rather.io.writing import write_whole, writing

#: How files begin that are code: pickles, and the zip files in which torch keeps them.
_CODE: Final = (b"\x80", b"PK\x03\x04")
#: Who makes which kind of file.
_MADE_BY: Final = {
    "classifier": "classifier",
    "generator": "vae, semantic or another generator",
    "latent-classifier": "latent-classifier",
}
LARGEST: Final = 1024  # pixels a side
Side = Annotated[int, Field(ge=1, le=LARGEST)]


class NetPlan(BaseModel):
    """What the metadata must say; the bounds keep a forged file from asking for a giant net."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal[1] = 1
    kind: str
    name: str
    shape: tuple[Annotated[int, Field(ge=1, le=4)], Side, Side]
    card: dict[str, Any]


Plan = TypeVar("Plan", bound=NetPlan)
Net = TypeVar("Net", bound=nn.Module)


def save_net(path: str | os.PathLike[str], plan: NetPlan, nets: Mapping[str, nn.Module]) -> None:
    """Write nets; a file that was there is replaced at once and as a whole.

    Args:
        path: of the new file.
        plan: what to build when reading.
        nets: by a prefix of their tensors' names.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    tensors = {
        f"{prefix}.{key}": tensor.contiguous()
        for prefix, net in nets.items()
        for key, tensor in net.state_dict().items()
    }
    with writing(Path(path).parent):
        write_whole(Path(path), save(tensors, {"rather": plan.model_dump_json()}))


def read_net(
    path: str | os.PathLike[str], plan: type[Plan], build: Callable[[Plan], Mapping[str, Net]]
) -> tuple[Plan, Mapping[str, Net]]:
    """The plan of a file that `save_net` has written, and its nets.

    Args:
        path: of the file.
        plan: the kind of plan that it must hold.
        build: makes the nets of a plan, by the prefixes of their names. It is called on the `meta` device:
            neither memory nor random numbers are spent on what the file replaces.

    Raises:
        RatherError: MODEL-NOT-FOUND, MODEL-CODE for a pickle, MODEL-KIND for a file of another kind of net,
            MODEL-FILE-DAMAGED for all else that is not such a file, whole and with finite weights.
    """
    path = Path(path)
    told = _told(path)
    wanted, kind = plan.model_fields["kind"].default, told.get("kind", "classifier")
    if kind != wanted:
        why = f"a {kind!s:.40}, where a {wanted} is asked for"
        raise RatherError("MODEL-KIND", where=path, why=why, do=f"Give a file of rather train {_MADE_BY[wanted]}")
    try:
        planned = plan.model_validate_json(json.dumps(told))
    except ValidationError as error:
        first = error.errors()[0]
        raise damaged(path, f"{'.'.join(map(str, first['loc'])) or 'metadata'}: {first['msg']}") from None
    try:
        with torch.device("meta"):
            nets = build(planned)
    except RatherError as error:
        raise damaged(path, error.why) from None
    expected = {f"{prefix}.{key}": t for prefix, net in nets.items() for key, t in net.state_dict().items()}
    tensors = _tensors(path, expected)
    for prefix, net in nets.items():
        mine = f"{prefix}."
        state = {key.removeprefix(mine): t for key, t in tensors.items() if key.startswith(mine)}
        net.load_state_dict(state, assign=True)
        net.requires_grad_(requires_grad=False)
    return planned, nets


def read_plan(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """What a file says of its net, as plain data: its kind, its name, its card.

    Raises:
        RatherError: MODEL-NOT-FOUND, MODEL-CODE or MODEL-FILE-DAMAGED.
    """
    return _told(Path(path))


def kind_of(path: str | os.PathLike[str]) -> str:
    """What kind of net a file holds: classifier, generator or latent-classifier."""
    return str(_told(Path(path)).get("kind", "classifier"))


def check_writable(path: Path) -> None:
    """Whether a file can be written there: to be asked before minutes of training, not after them.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    if path.is_dir():
        raise RatherError("STORE-NOT-WRITABLE", where=path, why="a folder", do="Name a file, NAME.safetensors")
    refuse_folder(path.parent)


def damaged(path: Path, why: str) -> RatherError:
    """What to say of a file that is not what it should be."""
    return RatherError("MODEL-FILE-DAMAGED", where=path, why=why[:200], do="Give a file that rather train has written")


def _told(path: Path) -> dict[str, Any]:
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
            text = (file.metadata() or {}).get("rather")
        told = None if text is None else json.loads(text)
    except (SafetensorError, OSError, OverflowError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from None
    if not isinstance(told, dict):
        raise damaged(path, "it does not say what net it is of")
    return told


def _tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of these names, shapes and types; nothing is copied before names and sizes fit."""
    try:
        with safe_open(path, "pt") as file:
            there = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - it is no mapping
            for key in sorted(expected.keys() | there.keys()):
                should = tuple(expected[key].shape) if key in expected else None
                if should != there.get(key):
                    raise damaged(path, f"{key[:60]} is {there.get(key)} and should be {should}")
            tensors = {key: file.get_tensor(key).clone() for key in expected}  # not a map of the file
    except (SafetensorError, OSError, OverflowError) as error:
        raise damaged(path, str(error)) from None
    for key, tensor in tensors.items():
        if tensor.dtype != expected[key].dtype:
            raise damaged(path, f"{key} is {tensor.dtype}")
        if not tensor.isfinite().all():
            raise damaged(path, f"{key} is not finite")
    return tensors
