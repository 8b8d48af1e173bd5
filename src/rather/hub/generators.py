"""The kinds of generators, one file each, and trained generators by name.

A new file in `generators/` with a `GeneratorRecipe` is a new kind, and no other file needs to know. Third
parties register theirs under the entry-point group `rather.generators` (`my_kind` -> the class `MyKindRecipe`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from rather.config.errors import RatherError, did_you_mean
from rather.hub.extensions import class_of, listed

if TYPE_CHECKING:
    from rather.generators.ddpm import Denoiser
    from rather.generators.frozen import FrozenNet
    from rather.generators.recipe import GeneratorRecipe

_PIPELINE: Final = "diffusers:"
_GUIDED: Final = "guided:"


def list_generators() -> dict[str, str]:
    """Name and first docstring line of every kind; read from the files, nothing is imported."""
    return listed("generators", holding="(GeneratorRecipe):")


def generator_class(name: str) -> type[GeneratorRecipe]:
    """The recipe class of a kind by its name.

    Raises:
        RatherError: CFG-UNKNOWN.
    """
    from rather.generators.recipe import GeneratorRecipe

    return class_of(name, "generators", GeneratorRecipe, list_generators())  # type: ignore[type-abstract] # to look for, not to make


def makers(product: type[FrozenNet]) -> list[str]:
    """The kinds whose training makes such a net."""
    return [name for name in list_generators() if issubclass(generator_class(name).makes, product)]


def generator_file(spec: str) -> Path:
    """The file of a bundled generator's name, or the file itself.

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
    """The frozen net of a bundled generator's name or of a file: an autoencoder, a semantic generator, ...

    Raises:
        RatherError: GEN-NOT-FOUND, or what `checkpoints.read_generator` raises.
    """
    from rather.hub.checkpoints import read_generator

    return read_generator(generator_file(spec))


def is_denoiser(spec: str) -> bool:
    """Whether `load_denoiser` takes this name."""
    return spec.startswith((_PIPELINE, _GUIDED)) or Path(spec).is_dir()


def load_denoiser(spec: str) -> Denoiser:
    """A denoiser of another library; nothing of it is run as code.

    Args:
        spec: a folder that a pipeline of `diffusers` was saved to; `diffusers:NAME` for one of its hub, which
            is downloaded unless it is in the hub's cache; `guided:NAME=FILE` for a checkpoint of
            guided-diffusion that was trained on NAME (`guided_diffusion.PUBLISHED`).

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
