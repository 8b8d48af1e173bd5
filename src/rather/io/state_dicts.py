"""Files of weights, read as data and never as code: safetensors, and state dicts of torch."""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rather.config.errors import RatherError, did_you_mean

_NESTED: Final = ("state_dict", "model_state_dict", "model", "net", "weights")  # where trainers put it
_TENSORS: Final = 20_000  # in one file; the largest image classifiers have a few thousand
_FEW: Final = 5  # names in a message
_AS_DATA: Final = "Save its state dict as safetensors, and say which net it is of: torchvision:NAME=FILE"
#: First bytes of files that are often saved in the place of weights -> what they are, and what to do.
_OTHERS: Final = {
    b"version https://git-lfs": ("it is a git-lfs pointer, not the file itself", "Run git lfs pull"),
    **dict.fromkeys((b"<!doctype", b"<html", b"<?xml"), ("it is a web page", "Download the file itself")),
}


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, without what trainers wrap around it.

    Raises:
        RatherError: MODEL-NOT-FOUND, MODEL-CODE for a file that would have to be run, MODEL-FILE-DAMAGED.
    """
    refuse_code(path)
    state: Any = _safetensors(path) if is_safetensors(path) else _pickled(path)
    for key in _NESTED:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state or not all(isinstance(t, Tensor) for t in state.values()):
        raise _damaged(path, "it holds no state dict", _AS_DATA)
    for name, tensor in state.items():
        # A view may claim to be larger than what it is a view of, and would be so once it is copied.
        if tensor.is_sparse or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise _damaged(path, f"{name} is no plain tensor")
    parallel = all(str(name).startswith("module.") for name in state)
    return {str(name).removeprefix("module.") if parallel else str(name): t for name, t in state.items()}


def refuse_code(path: Path) -> None:
    """Refuse what is no data, or whose kind is unclear, before any library opens it."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except IsADirectoryError:
        raise _damaged(path, "it is a folder") from None
    except OSError as error:
        raise RatherError("MODEL-NOT-FOUND", where=path, why=error.strerror or "cannot be read") from None
    if not start:
        raise _damaged(path, "it is empty")
    for other, (why, do) in _OTHERS.items():
        if start.lstrip().lower().startswith(other):
            raise _damaged(path, why, do)
    if start.startswith(b"PK"):
        _refuse_program(path)


def _refuse_program(path: Path) -> None:
    """Of zip files only torch's state dicts are data, and they are stored, not compressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _damaged(path, f"a broken zip file: {error}") from None
    if len(members) > _TENSORS or sum(member.file_size for member in members) > 2 * path.stat().st_size:
        raise _damaged(path, "it unpacks to far more than its size")
    names = {member.filename.partition("/")[2] for member in members}
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise _code(path, "a TorchScript program")
    if "data.pkl" not in names:
        raise _code(path, "an exported program, or a zip file of another kind")


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as they do: the length of a header in 8 bytes, and a header in JSON."""
    return _begins(path, b"{", at=8)


def _begins(path: Path, *starts: bytes, at: int = 0) -> bool:
    with path.open("rb") as file:
        return file.read(at + 8)[at:].startswith(starts)


def _safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, str(error)) from None


def _pickled(path: Path) -> Any:
    try:
        # An open file, because torch chooses the reader by a path's name. Its warnings are about protocols.
        with path.open("rb") as file, warnings.catch_warnings(action="ignore"):
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named or _begins(path, b"\x80", b"PK"):
            raise _code(path, f"a pickle that asks for {named[1]}" if named else "a pickle") from None
        raise _damaged(path, "it is no file of weights") from None
    except Exception as error:  # noqa: BLE001 - torch raises anything for bytes of another kind
        raise _damaged(path, f"it cannot be read as a state dict: {type(error).__name__}") from None


def load_state(net: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Put a state dict into a net that it must fit, name by name and shape by shape; MODEL-FILE-DAMAGED otherwise."""
    own = net.state_dict()
    faults = {
        # Batch normalisation counts its batches since 2018 only, and evaluation does not use the count.
        "it lacks": [name for name in own if name not in state and not name.endswith("num_batches_tracked")],
        "unknown are": [name for name in state if name not in own],
        "of another shape are": [name for name in own if name in state and state[name].shape != own[name].shape],
    }
    why = "; ".join(
        f"{what} {', '.join(names[:_FEW])}" + (f" and {len(names) - _FEW} more" if len(names) > _FEW else "")
        for what, names in faults.items()
        if names
    )
    if why:
        raise _damaged(path, why, "Give the file of this very net")
    net.load_state_dict(own | dict(state))


def outputs(net: nn.Module, state: Mapping[str, Tensor], path: Path) -> int:
    """How many classes the net of a state dict has, by the length of its last tensor; `net` is of its architecture."""
    *_, last = net.state_dict()
    if last not in state or not state[last].ndim:
        raise _damaged(path, f"it has no {last}", did_you_mean(last, state))
    return len(state[last])


def _damaged(path: Path, why: str, do: str = "Get the file again") -> RatherError:
    return RatherError("MODEL-FILE-DAMAGED", where=path, why=why[:400].rstrip("."), do=do)


def _code(path: Path, what: str) -> RatherError:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return RatherError("MODEL-CODE", where=path, why=f"{what}, sha256 {sha256}", do=_AS_DATA)
