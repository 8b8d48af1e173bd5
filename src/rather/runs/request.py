"""What `rather explain` and `rather audit` ask: one value, whose fields are the options of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, final

from cyclopts import Group, Parameter
from cyclopts.types import NonNegativeInt, PositiveInt
from cyclopts.validators import Number

from rather.config.output import Output
from rather.config.pictures import NO_OPTIONS, PictureOptions
from rather.hub.preprocessing import NOTHING_SAID, Preprocessing

_CLASSIFIER: Final = (
    "The classifier to explain: a bundled one (`rather list models`), a file that `rather train` wrote, "
    "torchvision:NAME[=FILE], timm:NAME[=FILE], hf:FOLDER, onnx:FILE, http://127.0.0.1:PORT; or code, which "
    "needs --trust: FILE.py:NAME, torchscript:FILE, export:FILE."
)
_METHOD: Final = (
    "The method or preset (`rather list methods`) that searches; by default goyal, which scores each edit on the "
    "picture (audit: attack, with few steps), or sedc for a classifier without a gradient. Compare several: "
    "METHOD[@CLASSIFIER],METHOD[@CLASSIFIER],..."
)
_TARGET: Final = (
    "A class, or a rule: nearest (the class of the most similar reference image; the default), runner-up (the second "
    "most probable class; audit's default), next (the class after the predicted one), random, confused (the class most "
    "often predicted for reference images of the predicted one), prototype (the same class, more confident). With "
    "--output multi-label: LABEL=no, LABEL=yes, or LABEL (the other way round). With --output value: 60, +5, -5 (from "
    "each image's own value), <30 or >70."
)
_GENERATOR: Final = (
    "The generator that the method makes pictures with: a bundled one (`rather list generators`), a file that "
    "`rather train` wrote, or a published diffusion model: a folder of diffusers, diffusers:NAME, or "
    "guided:celeba=FILE (celeba-hq, bdd, imagenet)."
)
_REGION: Final = (
    "The only part of each image that may change: the name of a region that the data knows, x,y,w,h in pixels of the "
    "classifier's image, or a mask picture that is bright there; outside:REGION for the rest. It searches one image "
    "at a time."
)
_REGIONS: Final = (
    "NAME,NAME,... or all: for each of these regions, whether a change in it is enough, and whether it is needed, "
    "that is, no change around it does. It takes two runs for each region."
)
#: The parts of `--help`.
WHAT, WHICH, HOW, RUN = (
    Group(title, sort_key=n)
    for n, title in enumerate(("What to explain", "The classifier", "How to search", "The run"), 1)
)
_NOT_PARSED: Final = Parameter(parse=False)  # the commands fill it in


@final
@dataclass(frozen=True, kw_only=True)
class Request:
    """Which images are explained, of which classifier, by which method, and where the result goes."""

    images: Annotated[tuple[Path, ...], _NOT_PARSED] = ()
    """Image files, or folders of them."""
    data: Annotated[str | None, Parameter(group=WHAT)] = None
    """A dataset (`rather list data`) or a folder, instead of images; the bundled digits if neither is given."""
    pictures: Annotated[PictureOptions, Parameter(name="*", group=WHAT)] = NO_OPTIONS
    classifier: Annotated[str | None, Parameter(group=WHICH, help=_CLASSIFIER)] = None
    method: Annotated[str | None, Parameter(group=HOW, help=_METHOD)] = None
    settings: Annotated[Mapping[str, Any], _NOT_PARSED] = field(default_factory=dict)
    """Settings of the method; of several methods, a table for each: see `hub.columns.columns`."""
    target: Annotated[str | None, Parameter(group=WHAT, help=_TARGET)] = None
    confidence: Annotated[float, Parameter(group=WHAT, validator=Number(gte=0, lte=1))] = 0.0
    """The least probability of the target, besides being the first choice."""
    tolerance: Annotated[float | None, Parameter(group=WHAT, validator=Number(gt=0))] = None
    """Of a net with --output value: how far from the number asked for counts as reached; by default 5 % of it."""
    labels: Annotated[tuple[str, ...], Parameter(group=WHAT, show_default=False)] = ()
    """FOLDER=CLASS: the class that a folder of your pictures holds, where its name is another; may be repeated."""
    count: Annotated[PositiveInt | None, Parameter(group=WHAT)] = None
    """How many images to take, evenly spaced; by default all of your own, 12 of a dataset (audit: 100)."""
    seed: Annotated[NonNegativeInt, Parameter(group=WHAT)] = 0
    """Seed of all random numbers."""
    region: Annotated[str | None, Parameter(group=WHAT, help=_REGION)] = None
    regions: Annotated[str | None, Parameter(group=WHAT, help=_REGIONS)] = None
    references: Annotated[str | None, Parameter(group=HOW)] = None
    """Where reference images come from: a dataset or a folder."""
    generator: Annotated[str | None, Parameter(group=HOW, help=_GENERATOR)] = None
    denoiser: Annotated[str | None, Parameter(group=HOW)] = None
    """A diffusion model, as --generator; needed by methods that refine the results of another method."""
    latent: Annotated[str | None, Parameter(group=HOW)] = None
    """Classifiers of latents, which clarity needs: bundled ones, or a file of `rather train latent-classifier`."""
    second_classifier: Annotated[str | None, Parameter(group=HOW)] = None
    """A second classifier, as --classifier; dive asks it whether a change is trivial."""
    batch_size: Annotated[PositiveInt, Parameter(group=RUN)] = 32
    """How many images are in memory at a time and stored together."""
    timeout: Annotated[float | None, Parameter(group=RUN, validator=Number(gt=0))] = None
    """Seconds for an image, at most; one that takes longer fails. It cannot interrupt compiled code."""
    layer: Annotated[str | None, Parameter(group=WHICH)] = None
    """The layer that cuts the classifier into features and decision."""
    shape: Annotated[tuple[PositiveInt, PositiveInt, PositiveInt] | None, Parameter(group=WHICH)] = None
    """Channels, height and width of the classifier's images; needed where the classifier does not say it."""
    preprocessing: Annotated[Preprocessing, Parameter(name="*", group=WHICH)] = NOTHING_SAID
    classes: Annotated[tuple[str, ...] | None, Parameter(group=WHICH)] = None
    """The name of an output, in their order; repeat it for each. Or a file of names (.txt, .json), or imagenet."""
    output: Annotated[Output, Parameter(group=WHICH)] = "logits"
    """What the outputs of the classifier are."""
    trust: Annotated[tuple[str, ...], Parameter(group=WHICH, show_default=False)] = ()
    """sha256:HASH of a file whose code may run, or http://HOST:PORT that may get the pictures; may be repeated."""
    out: Annotated[Path | None, Parameter(group=RUN)] = None
    """The folder of the run; by default one under runs/ whose name says what was asked."""
