"""The generators, one file each: nets that know what images of a kind look like, and how they are trained."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rather.config.errors import RatherError, did_you_mean

if TYPE_CHECKING:
    from rather.generators._denoiser import Denoiser
    from rather.generators.frozen import FrozenNet
    from rather.generators.training import Generator

_HERE = Path(__file__).parent.parent / "generators"
_PIPELINE: Final = "diffusers:"
_GUIDED: Final = "guided:"


def list_generators() -> dict[str, str]:
    """Name and first docstring line of every kind; read from the files, nothing is imported."""
    texts = {file.stem: file.read_text("utf-8") for file in sorted(_HERE.glob("[a-z]*.py"))}
    return {
        name: (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        for name, text in texts.items()
        if "(Generator):" in text
    }


def generator_class(name: str) -> type[Generator]:
    """The class of a kind by its name.

    Raises:
        RatherError: CFG-UNKNOWN.
    """
    from rather.config.settings import class_in
    from rather.generators.training import Generator

    if name not in list_generators():
        raise RatherError("CFG-UNKNOWN", where=f"generator {name}", do=did_you_mean(name, list_generators()))
    return class_in(import_module(f"rather.generators.{name}"), Generator)  # type: ignore[type-abstract] # to look for, not to make


def generator_file(spec: str) -> Path:
    """The file of a name, as the command line takes it: of a bundled generator, or a file itself.

    Raises:
        RatherError: GEN-NOT-FOUND.
    """
    from rather.io.bundled import list_weights, weights_file

    bundled = list_weights("generator")
    if spec in bundled:
        return weights_file(spec, "generator")
    if not Path(spec).exists():
        raise RatherError("GEN-NOT-FOUND", where=spec, do=did_you_mean(spec, [*bundled, "FILE.safetensors"]))
    return Path(spec)


def load_generator(spec: str) -> FrozenNet:
    """What a name, or a file, holds: an autoencoder, a semantic generator, ..., see `generator_file`.

    Raises:
        RatherError: GEN-NOT-FOUND, or what `nets.file.read_net` raises of a file.
    """
    from rather.hub.generator_files import read_generator

    return read_generator(generator_file(spec))


def is_denoiser(spec: str) -> bool:
    """Whether a name, as the command line takes it, is one of these."""
    return spec.startswith((_PIPELINE, _GUIDED)) or Path(spec).is_dir()


def load_denoiser(spec: str) -> Denoiser:
    """The denoiser of a name, as the command line takes it; nothing of it is run as code.

    Args:
        spec: a folder that a pipeline of `diffusers` was saved to; `diffusers:NAME` for one of its hub, which
            is downloaded if it is not in the hub's cache; `guided:NAME=FILE` for a checkpoint of
            guided-diffusion, NAME being what it was trained on (`guided.PUBLISHED`).

    Raises:
        RatherError: GEN-NOT-FOUND, GEN-SIZE for a net of something else than images, CFG-UNKNOWN,
            MODEL-NOT-FOUND, MODEL-CODE or MODEL-FILE-DAMAGED.
    """
    from rather.hub.diffusers import load_pipeline
    from rather.hub.guided_diffusion import published

    if spec.startswith(_GUIDED):
        name, _, file = spec.removeprefix(_GUIDED).partition("=")
        return published(name, file)
    return load_pipeline(spec.removeprefix(_PIPELINE))
