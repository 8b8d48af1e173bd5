"""Nets that are saved with their code: programs of TorchScript and of torch.export, and a user's Python files."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from rather.classifiers.copies import exported_shape
from rather.config.errors import RatherError, brief
from rather.core import Classifier
from rather.hub.libraries import Loaded
from rather.hub.trusted import run_factory, trusted, trusted_bytes
from rather.io.file_kinds import FileKind, damaged, file_kind, refuse_kind

_UNREAD: Final = "Save it again with this version of torch"


def torchscript(file: str, trust: Sequence[str]) -> Loaded:
    """A program that `torch.jit.save` has written; it runs only with consent.

    Raises:
        RatherError: MODEL-CODE without consent, and what `file_kind` raises.
    """
    return Loaded(name=Path(file).stem, net=_opened(Path(file), "torchscript", trust, torch.jit.load))


def exported(file: str, trust: Sequence[str]) -> Loaded:
    """A program that `torch.export.save` has written; it says the shape of its images, and runs only with consent.

    Raises:
        RatherError: as `torchscript`.
    """
    net = _opened(Path(file), "export", trust, lambda opened: torch.export.load(opened).module())
    shape = exported_shape(net)
    size = shape[1:] if shape and len(shape) == 4 and all(isinstance(n, int) for n in shape[1:]) else None  # noqa: PLR2004 - b, c, h, w
    return Loaded(name=Path(file).stem, net=net, shape=size)


def _opened(path: Path, wanted: FileKind, trust: Sequence[str], load: Callable[[io.BytesIO], Any]) -> nn.Module:
    kind = file_kind(path)
    if kind != wanted:
        raise refuse_kind(path, kind)
    content = trusted_bytes(path, trust)
    try:
        with warnings.catch_warnings(action="ignore"):  # of formats that will end
            net: nn.Module = load(io.BytesIO(content))
    except Exception as error:
        raise damaged(path, brief(error), _UNREAD) from error
    return net


def from_python(spec: str, trust: Sequence[str]) -> Classifier | Loaded:
    """What `FILE.py:NAME` names: a net, a class of nets, a function that makes one, or a function of images.

    A function that needs an argument is the classifier itself, a black box. One that needs none makes it.

    Raises:
        RatherError: see `trusted`; MODEL-FACTORY for what is no net.
    """
    found = trusted(spec, trust)
    if isinstance(found, nn.Module) or (callable(found) and not isinstance(found, type) and _takes_images(found)):
        made = found
    else:
        made = run_factory(spec, trust, {})
    if isinstance(made, Classifier):
        return made
    if not callable(made) and type(made).__name__ != "ExportedProgram":
        raise RatherError("MODEL-FACTORY", where=spec, why=f"it gives {type(made).__name__}, neither net nor function")
    return Loaded(name=spec.rpartition(":")[2], net=made)


def _takes_images(function: Callable[..., object]) -> bool:
    """Whether it cannot be called without an argument."""
    empty = inspect.Parameter.empty
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in kinds and p.default is empty for p in inspect.signature(function).parameters.values())
