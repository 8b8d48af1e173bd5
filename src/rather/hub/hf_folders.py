"""A net of transformers from a folder or the hub, whole: what is missing, cut off or of another net is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from rather.config.errors import RatherError, brief
from rather.io.file_kinds import damaged, file_kind, refuse_kind, tensors_fault

_WEIGHTS: Final = "model.safetensors"
_SAVE: Final = "Write the folder with net.save_pretrained(FOLDER)"
_FEW: Final = 3  # names in a message


def check_folder(folder: Path) -> None:
    """Refuse a folder without the description of a net and whole weights.

    Raises:
        RatherError: MODEL-FILE-MISSING, MODEL-FILE-DAMAGED, or what `file_kind` raises.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise RatherError("MODEL-FILE-MISSING", where=config, why="it says what net it is", do=_SAVE)
    _json(config)
    for file in _weights(folder):
        if not file.is_file():
            raise RatherError("MODEL-FILE-MISSING", where=file, why="the weights are in it", do=_missing(folder))
        if (kind := file_kind(file)) != "safetensors":
            raise refuse_kind(file, kind)
        try:
            with safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError, ValueError) as error:
            raise damaged(file, tensors_fault(error)) from None


def load(name: str, transformers: Any) -> Any:
    """The image classifier of a checked folder, or of a name on the hub.

    Raises:
        RatherError: MODEL-WEIGHTS if some of its numbers would be random.
    """
    with _silent(transformers):
        net, found = transformers.AutoModelForImageClassification.from_pretrained(
            name, trust_remote_code=False, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
    other = [str(key if isinstance(key, str) else key[0]) for key in found.get("mismatched_keys", ())]
    faults = {"it lacks": sorted(found["missing_keys"]), "of another shape are": sorted(other)}
    why = "; ".join(f"{what} {', '.join(keys[:_FEW])}" for what, keys in faults.items() if keys)
    if why:
        do = "Give a folder of a net that was trained to classify"
        raise RatherError("MODEL-WEIGHTS", where=f"hf:{name}", why=why, do=do)
    return net


def _weights(folder: Path) -> list[Path]:
    """The files that must hold weights: one, or those that an index names."""
    index = folder / f"{_WEIGHTS}.index.json"
    if not index.is_file():
        return [folder / _WEIGHTS]
    parts = _json(index).get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise damaged(index, "it names no files")
    return [folder / str(part) for part in sorted({*map(str, parts.values())})]


def _missing(folder: Path) -> str:
    pickled = folder / "pytorch_model.bin"
    return f"{_SAVE}: {pickled.name} is a pickle, and is not read" if pickled.is_file() else _SAVE


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(file, f"no JSON: {brief(error)}", _SAVE) from None
    if not isinstance(content, dict):
        raise damaged(file, "it describes nothing", _SAVE)
    return content


@contextmanager
def _silent(transformers: Any) -> Iterator[None]:
    """Without the library's bars and reports: what matters of them is checked here."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
