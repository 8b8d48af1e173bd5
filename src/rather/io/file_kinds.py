"""What a file of a net is, by its content and never by its name; nothing of it is run."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final, Literal

from rather.config.errors import RatherError

FileKind = Literal["safetensors", "state dict", "pickle", "torchscript", "export", "onnx", "unknown"]

_NAME_THE_NET: Final = "Name the net that they are of: torchvision:NAME={0}, timm:NAME={0}, or FILE.py:NAME"
#: Kinds that a net is loaded from -> what one is, and how it is named as a classifier.
_SPECS: Final[dict[FileKind, tuple[str, str]]] = {
    **dict.fromkeys(("safetensors", "state dict", "pickle"), ("it holds weights, and no net", _NAME_THE_NET)),
    "torchscript": ("a TorchScript program", "Say torchscript:{0}"),
    "export": ("a program of torch.export", "Say export:{0}"),
    "onnx": ("an ONNX file", "Say onnx:{0}"),
}
_TO_ONNX: Final = "Convert it to ONNX, and say onnx:FILE"
_KERAS: Final = ("a Keras model", _TO_ONNX)
_PICTURE: Final = ("a picture", "Give the file of a net")
_ARCHIVE: Final = ("an archive", "Unpack it, and give the file of the net in it")
_UNKNOWN: Final = (
    "its first bytes are of no kind that is known",
    "Give safetensors, a state dict, ONNX or TorchScript",
)
#: First bytes of what is often saved in the place of a file -> what it is, and what to do.
_NOT_THE_FILE: Final = {
    b"version https://git-lfs": ("it is a git-lfs pointer, not the file itself", "Run git lfs pull"),
    **dict.fromkeys((b"<!doctype html", b"<html"), ("it is a web page", "Download the file itself")),
}
#: Where kinds that are not read here show what they are, and by which bytes -> what one is, and what to do.
_UNREAD: Final = {
    (0, b"\x89HDF\r\n"): _KERAS,
    (4, b"TFL3"): ("a TensorFlow Lite model", _TO_ONNX),
    (0, b"\x08\x01\x12"): ("a saved model of TensorFlow", _TO_ONNX),
    (0, b"GGUF"): ("a GGUF file, which holds a language model", "Give an image classifier"),
    (0, b"\x93NUMPY"): ("an array of NumPy", "Give the state dict of a net: torch.save(net.state_dict(), FILE)"),
    (0, b"<?xml"): ("XML, as OpenVINO writes it", _TO_ONNX),
    (0, b"\x89PNG"): _PICTURE,
    (0, b"\xff\xd8\xff"): _PICTURE,
    (0, b"\x1f\x8b"): _ARCHIVE,
    (257, b"ustar"): _ARCHIVE,
}
#: The fields that may follow the version of an ONNX model, by their first byte.
_AFTER_VERSION: Final = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42")
_VERSIONS: Final = range(3, 64)  # of ONNX; a saved model of TensorFlow has 1
_TENSORS: Final = 20_000  # in one file; the largest image classifiers have a few thousand


def file_kind(path: Path) -> FileKind:
    """The kind of a file, by its first bytes; of a zip file, by the names of its members.

    Raises:
        RatherError: MODEL-NOT-FOUND, MODEL-FILE-KIND for a folder, MODEL-FILE-DAMAGED for a file that is cut off,
            or what was saved in its place.
    """
    start = _start(path)
    if not start:
        raise damaged(path, "it is empty")
    for other, (why, do) in _NOT_THE_FILE.items():
        if start.lstrip().lower().startswith(other):
            raise damaged(path, why, do)
    if start.startswith(b"PK"):
        return _zip_kind(path)
    if start[8:9] == b"{":
        return "safetensors"
    if start[0] == 0x80:  # noqa: PLR2004 - the version of a pickle
        return "pickle"
    versioned = len(start) > 2 and start[0] == 8 and start[1] in _VERSIONS and start[2] in _AFTER_VERSION  # noqa: PLR2004
    return "onnx" if versioned else "unknown"


def refuse_kind(path: Path, kind: FileKind) -> RatherError:
    """What to say where a file is of another kind than is read there."""
    if kind in _SPECS:
        what, do = _SPECS[kind]
        return RatherError("MODEL-FILE-SPEC", where=path, why=what, do=do.format(path))
    start = _start(path)
    shown = (known for (place, first), known in _UNREAD.items() if start[place:].startswith(first))
    what, do = _ARCHIVE if start.startswith(b"PK") else next(shown, _UNKNOWN)
    return RatherError("MODEL-FILE-KIND", where=path, why=what, do=do)


def tensors_fault(error: Exception) -> str:
    """What is wrong with a file that safetensors cannot read."""
    cut = any(sign in str(error) for sign in ("not fully covered", "invalid header length", "too small"))
    return "it does not end after its last tensor: it is cut off" if cut else str(error)


def damaged(path: Path, why: str, do: str = "Get the file again") -> RatherError:
    """MODEL-FILE-DAMAGED."""
    return RatherError("MODEL-FILE-DAMAGED", where=path, why=why[:400].rstrip("."), do=do)


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except IsADirectoryError:
        do = "Give the file in it, or hf:FOLDER for a net of transformers"
        raise RatherError("MODEL-FILE-KIND", where=path, why="a folder", do=do) from None
    except OSError as error:
        raise RatherError("MODEL-NOT-FOUND", where=path, why=error.strerror or "cannot be read") from None


def _zip_kind(path: Path) -> FileKind:
    """Torch's own files are zip files whose members are stored in one folder, and not compressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile:
        raise damaged(path, "a zip file without its end: it is cut off") from None
    except (OSError, ValueError, NotImplementedError) as error:
        raise damaged(path, f"a broken zip file: {error}") from None
    names = {member.filename.partition("/")[2] for member in members}
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return "torchscript"
    if names & {"archive_format", "models/model.json"} or "serialized_exported_program.json" in {
        member.filename for member in members
    }:
        return "export"
    if "data.pkl" not in names:
        return "unknown"
    if len(members) > _TENSORS or sum(member.file_size for member in members) > 2 * path.stat().st_size:
        raise damaged(path, "it unpacks to far more than its size")
    return "state dict"
