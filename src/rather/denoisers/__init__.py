"""Denoisers that others have trained: pipelines of `diffusers`, and the checkpoints of the papers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rather.diffusion.denoiser import Denoiser

_PIPELINE: Final = "diffusers:"
_GUIDED: Final = "guided:"


def is_denoiser(spec: str) -> bool:
    """Whether a name, as the command line takes it, is one of these."""
    return spec.startswith((_PIPELINE, _GUIDED)) or Path(spec).is_dir()


def bring_denoiser(spec: str) -> Denoiser:
    """The denoiser of a name, as the command line takes it; nothing of it is run as code.

    Args:
        spec: a folder that a pipeline of `diffusers` was saved to; `diffusers:NAME` for one of its hub, which
            is downloaded if it is not in the hub's cache; `guided:NAME=FILE` for a checkpoint of
            guided-diffusion, NAME being what it was trained on (`guided.PUBLISHED`).

    Raises:
        RatherError: GEN-NOT-FOUND, GEN-SIZE for a net of something else than images, CFG-UNKNOWN,
            MODEL-NOT-FOUND, MODEL-CODE or MODEL-FILE-DAMAGED.
    """
    from rather.denoisers.guided import published
    from rather.denoisers.pipeline import load_pipeline

    if spec.startswith(_GUIDED):
        name, _, file = spec.removeprefix(_GUIDED).partition("=")
        return published(name, file)
    return load_pipeline(spec.removeprefix(_PIPELINE))
