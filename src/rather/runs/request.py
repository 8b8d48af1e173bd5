"""What `rather explain` and `rather audit` ask: one value, whose fields are the options of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, final

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt
from cyclopts.validators import Number

from rather.config.settings import Output

_CLASSIFIER: Final = (
    "The classifier to explain: a bundled one (`rather list models`), a file that `rather train` wrote, "
    "torchvision:NAME[=FILE], timm:NAME[=FILE], hf:FOLDER, or FILE.py:FUNCTION (needs --trust)."
)
_METHOD: Final = (
    "The method or preset (`rather list methods`) that searches; by default goyal, which scores each edit on the "
    "picture (audit: attack, with few steps). Compare several: METHOD[@CLASSIFIER],METHOD[@CLASSIFIER],..."
)
_GENERATOR: Final = (
    "The generator that the method makes pictures with: a bundled one (`rather list generators`), a file that "
    "`rather train` wrote, or a published diffusion model: a folder of diffusers, diffusers:NAME, or "
    "guided:celeba=FILE (celeba-hq, bdd, imagenet)."
)
_NOT_PARSED: Final = Parameter(parse=False)  # the commands fill it in


@final
@dataclass(frozen=True, kw_only=True)
class Request:
    """Which images are explained, of which classifier, by which method, and where the result goes."""

    images: Annotated[tuple[Path, ...], _NOT_PARSED] = ()
    """Image files, or folders of them."""
    data: str | None = None
    """A dataset (`rather list data`) or a folder, instead of images; the bundled digits if neither is given."""
    classifier: Annotated[str | None, Parameter(help=_CLASSIFIER)] = None
    method: Annotated[str | None, Parameter(help=_METHOD)] = None
    settings: Annotated[Mapping[str, Any], _NOT_PARSED] = field(default_factory=dict)
    """Settings of the method; of several methods, a table for each: see `hub.columns.columns`."""
    target: str | None = None
    """A class, or: next, random, nearest (the default), runner-up (audit's default), confused, prototype."""
    confidence: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.0
    """The least probability of the target, besides being the first choice."""
    count: PositiveInt | None = None
    """How many images to take, evenly spaced; by default all of your own, 12 of a dataset (audit: 100)."""
    seed: NonNegativeInt = 0
    """Seed of all random numbers."""
    references: str | None = None
    """Where reference images come from: a dataset or a folder."""
    generator: Annotated[str | None, Parameter(help=_GENERATOR)] = None
    denoiser: str | None = None
    """A diffusion model, as --generator; needed by methods that refine the results of another method."""
    latent: str | None = None
    """Classifiers of latents, which clarity needs: bundled ones, or a file of `rather train latent-classifier`."""
    second_classifier: str | None = None
    """A second classifier, as --classifier; dive asks it whether a change is trivial."""
    batch_size: PositiveInt = 32
    """How many images are in memory at a time and stored together."""
    layer: str | None = None
    """The layer that cuts the classifier into features and decision."""
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """Channels, height and width of the classifier's images; needed where the classifier does not say it."""
    classes: tuple[str, ...] | None = None
    """The name of an output, in their order; repeat it for each."""
    output: Output = "logits"
    """What the outputs of the classifier are."""
    trust: tuple[str, ...] = ()
    """sha256:HASH of a file whose code may run; may be repeated."""
    out: Path | None = None
    """The folder of the run; by default one under runs/ whose name says what was asked."""
