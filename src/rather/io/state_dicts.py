"""Files of weights, read as data and never as code: safetensors, and state dicts of torch."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rather.config.errors import RatherError, did_you_mean
from rather.io.file_kinds import damaged, file_kind, refuse_kind, tensors_fault

_DEPTH: Final = 4  # of mappings within mappings; a pickle may hold one that holds itself
_FEW: Final = 5  # names in a message
_AS_DATA: Final = "Save only the weights, torch.save(net.state_dict(), FILE), and name their net: torchvision:NAME=FILE"
#: Counters that tools leave among the weights.
_COUNTERS: Final = {"total_ops", "total_params", "n_averaged"}


@final
class _Ignored:
    """Stands for a value that is no weight, whatever it was."""

    def __init__(self, *_arguments: object) -> None: ...

    def __setstate__(self, _state: object) -> None: ...


#: What trainers keep next to the weights: none of it is made, called or imported.
_IGNORED: Final[list[Callable[..., Any] | tuple[Callable[..., Any], str]]] = [
    (_Ignored, name)
    for name in (
        "argparse.Namespace",
        "types.SimpleNamespace",
        "datetime.datetime",
        "datetime.timedelta",
        *(
            f"{place}.{kind}Path"
            for place in ("pathlib", "pathlib._local")
            for kind in ("Posix", "PurePosix", "Windows")
        ),
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
        "numpy.dtype",
        "numpy.ndarray",
        *(f"numpy.dtypes.{kind}DType" for kind in ("Float16", "Float32", "Float64", "Int32", "Int64", "Bool", "UInt8")),
    )
]


def read_state(path: Path) -> dict[str, Tensor]:
    """All tensors in a file by their names; of mappings within mappings the names are joined by dots.

    Raises:
        RatherError: MODEL-NOT-FOUND, MODEL-CODE for a file that would have to be run, MODEL-FILE-SPEC and
            MODEL-FILE-KIND for another kind of file, MODEL-FILE-DAMAGED.
    """
    kind = file_kind(path)
    if kind == "safetensors":
        content: Any = _safetensors(path)
    elif kind in {"pickle", "state dict"}:
        content = _pickled(path)
    else:
        raise refuse_kind(path, kind)
    state = dict(_tensors(content, _DEPTH))
    if not state:
        raise RatherError("MODEL-FILE-KIND", where=path, why="it holds no state dict", do=_AS_DATA)
    for name, tensor in state.items():
        # A view may claim to be larger than what it is a view of, and would be so once it is copied.
        if tensor.is_sparse or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise damaged(path, f"{name} is no plain tensor")
    return state


def _tensors(content: object, depth: int, start: str = "") -> Iterator[tuple[str, Tensor]]:
    if not isinstance(content, Mapping) or not depth:
        return
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{start}{key}", value
        else:
            yield from _tensors(value, depth - 1, f"{start}{key}.")


def _safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise damaged(path, tensors_fault(error)) from None


def _pickled(path: Path) -> Any:
    try:
        # An open file, because torch chooses the reader by a path's name. Its warnings are about protocols.
        with (
            path.open("rb") as file,
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals(_IGNORED),
        ):
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise _code(path, f"a pickle that asks for {named[1]}" if named else "a pickle") from None
    except Exception as error:  # noqa: BLE001 - torch raises anything for bytes of another kind
        if isinstance(error, EOFError) or "unexpected EOF" in str(error):
            raise damaged(path, "it ends early: it is cut off") from None
        raise damaged(path, f"it cannot be read as a state dict: {type(error).__name__}") from None


def weights_of(
    names: Collection[str], state: Mapping[str, Tensor], path: Path, part: str = ""
) -> tuple[dict[str, Tensor], str]:
    """The tensors of a net in a file, without the prefix that a trainer has put before their names.

    Torch's compile and DataParallel, Lightning, moving averages and the keys of checkpoints are all prefixes here.
    The prefix with most of the net's names is taken; of several such, the first in the file.

    Args:
        names: of the net's tensors.
        state: of `read_state`.
        path: of the file, for messages.
        part: a word of the prefix, where a file holds several nets, such as "ema".

    Returns:
        the tensors after the prefix, and a note on what else could have been taken.

    Raises:
        RatherError: MODEL-WEIGHTS if nothing has this word before it.
    """
    found = Counter(key[:n] for key in state for n in _starts(key) if key[n:] in names)
    if part:
        words = [word for prefix in found for word in prefix.split(".") if word]
        if part not in words:
            where, do = f"{path}#{part}", did_you_mean(part, words)
            raise RatherError("MODEL-WEIGHTS", where=where, why="no weights of this net are called so", do=do)
        found = Counter({prefix: n for prefix, n in found.items() if part in prefix.split(".")})
    prefix = next((prefix for prefix, _ in found.most_common(1)), "")
    others = [other.rstrip(".") for other, n in found.items() if other != prefix and n == found[prefix]]
    note = ""
    if others:
        mine, other = prefix.rstrip(".") or "the first", others[0].rpartition(".")[2]
        note = f"of the nets in {path.name}, {mine} is taken, not {', '.join(others)}; {path.name}#{other} takes that"
    taken = {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}
    return {key: t for key, t in taken.items() if key.split(".")[-1] not in _COUNTERS}, note


def _starts(key: str) -> Iterator[int]:
    """Where the name of a tensor may begin: at the front, and after each dot."""
    yield 0
    yield from (n + 1 for n, letter in enumerate(key) if letter == ".")


def load_state(net: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Put a state dict into a net that it must fit, name by name and shape by shape; MODEL-WEIGHTS otherwise.

    The net takes the tensors themselves, so that it may be without memory (on `meta`) before.
    """
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
        raise RatherError("MODEL-WEIGHTS", where=path, why=why[:400], do="Give the file of this very net")
    net.load_state_dict(own | {name: tensor.to(own[name].dtype) for name, tensor in state.items()}, assign=True)


def outputs(net: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """How many classes the net of a state dict has, where it has another number of them than this one.

    What differs are the tensors of the last layer: in their length alone, or that a net of features has none.
    """
    own = net.state_dict()
    longer = {
        name for name, tensor in state.items() if tensor.ndim and (name not in own or tensor.shape != own[name].shape)
    }
    lengths = {len(state[name]) for name in longer if name not in own or state[name].shape[1:] == own[name].shape[1:]}
    return lengths.pop() if len(lengths) == 1 else None


def _code(path: Path, what: str) -> RatherError:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return RatherError("MODEL-CODE", where=path, why=f"{what}, sha256 {sha256}", do=_AS_DATA)
