"""Nets of torchvision, timm and transformers: with their published weights, or with those of a file."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import torch
from accelerate import init_empty_weights
from PIL import Image
from torch import Tensor, nn

from rather.classifiers.names import with_numbers
from rather.config.errors import RatherError, brief, did_you_mean
from rather.hub.hf_folders import check_folder, load
from rather.io.file_kinds import damaged, file_kind
from rather.io.images import Shape
from rather.io.state_dicts import load_state, outputs, read_state, weights_of

_IMAGENET: Final = 1_000  # classes of the nets that torchvision builds
_AGAIN: Final = "Delete it, and it is downloaded again"


@final
@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A net, and what its source knows about its images and classes."""

    name: str
    net: nn.Module | Callable[[Tensor], object]
    shape: Shape | None = None  # of a net that takes no other
    preprocess: Callable[[Image.Image], object] | None = None  # the library's own, whole
    steps: str = ""  # of it, for the message of a refusal
    lacks: str = ""  # why there is none, where there should be one
    channels: int = 3
    classes: Sequence[str] | None = None
    note: str = ""  # what a user should know of how it was loaded
    reference: nn.Module | None = None  # that gives the same answers, if the net was made of it


def torchvision(name: str, file: str) -> Loaded:
    """A classifier of torchvision; its published weights are downloaded if they are not in torch's cache."""
    from torchvision import models

    spec, known = f"torchvision:{name}", models.list_models(module=models)
    if name not in known:
        raise RatherError("MODEL-NOT-FOUND", where=spec, do=did_you_mean(name, known))
    published = models.get_model_weights(name).DEFAULT
    net, count, note = _build(
        partial(models.get_model, name, weights=None), file or str(_download(spec, published.url))
    )
    if not file and hasattr(net, "transform_input"):
        net.transform_input = True  # as two of them were trained, which a new net leaves out
    return Loaded(
        name=name,
        net=net,
        preprocess=published.transforms(),
        classes=_distinct(published.meta["categories"], count or _IMAGENET),
        note=note,
    )


def timm(name: str, file: str) -> Loaded:
    """A classifier of timm; its published weights are downloaded if they are not in the hub's cache."""
    with extra("timm"):
        import timm as library
    spec = f"timm:{name}"
    if not library.is_model(name):
        do = did_you_mean(name, library.list_models(include_tags=False))
        raise RatherError("MODEL-NOT-FOUND", where=spec, do=do)
    if file:
        net, _, note = _build(partial(library.create_model, name), file)
    else:
        with _published(spec):
            net = library.create_model(name, pretrained=True)
        note = ""
    config = library.data.resolve_model_data_config(net)
    subset = library.data.infer_imagenet_subset(net)
    names = library.data.ImageNetInfo(subset).label_descriptions() if subset else []
    return Loaded(
        name=Path(name).name,
        net=net,
        preprocess=library.data.create_transform(**config),
        channels=config["input_size"][0],
        classes=_distinct(names, net.num_classes),
        note=note,
    )


def hugging_face(name: str, file: str) -> Loaded:
    """An image classifier of transformers, from a folder or the hub; safetensors only, no code."""
    with extra("hf"):
        import transformers
    if file:
        raise RatherError("CFG-OPTIONS", where=f"hf:{name}={file}", why="the folder holds the weights")
    if Path(name).is_dir():
        check_folder(Path(name))
    with _published(f"hf:{name}", do="Give a folder of an image classifier that save_pretrained has written"):
        net = load(name, transformers)
    processor, lacks = _processor(name)
    count = net.config.num_labels
    return Loaded(
        name=Path(name).name,
        net=net,
        preprocess=processor,
        steps="" if processor is None else processor.steps,
        lacks=lacks,
        channels=getattr(net.config, "num_channels", 3),
        classes=_distinct([net.config.id2label[n] for n in range(count)], count),
    )


@final
@dataclass(frozen=True)
class _Processor:
    """An image processor of transformers as a function of one picture."""

    processor: Any

    def __call__(self, image: Image.Image) -> object:
        return self.processor(image, return_tensors="pt")["pixel_values"]

    def __repr__(self) -> str:
        return f"{type(self.processor).__name__} {json.dumps(self.processor.to_dict(), sort_keys=True, default=str)}"

    @property
    def steps(self) -> str:
        """What it does, by the names of its settings."""
        settings = self.processor.to_dict()
        sizes = {name: settings[name] for name in ("size", "crop_size", "crop_pct", "pad_size") if settings.get(name)}
        done = [name for name, value in settings.items() if name.startswith("do_") and value]
        return f"{', '.join(done)}; {sizes}"


def _processor(name: str) -> tuple[_Processor | None, str]:
    """The image processor in a folder or on the hub, or why there is none."""
    from transformers import AutoImageProcessor

    try:
        return _Processor(AutoImageProcessor.from_pretrained(name, trust_remote_code=False)), ""
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it: the net is there, and a user can say the rest
        return None, f"its preprocessor_config.json is missing or of no use: {brief(error)[:90]}"


#: What stands before the colon of a name.
LIBRARIES: Final[Mapping[str, Callable[[str, str], Loaded]]] = {
    "torchvision": torchvision,
    "timm": timm,
    "hf": hugging_face,
}


def _distinct(names: Sequence[str], count: int) -> list[str] | None:
    """The names, if they are `count`, no two alike."""
    if len(names) != count:
        return None
    return with_numbers(names)


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Imports of a library that comes with one of the package's extras."""
    try:
        yield
    except ImportError as error:
        raise RatherError(
            "MODEL-MISSING-LIBRARY", where=error.name or "", why=brief(error), do=f"pip install 'rather[{name}]'"
        ) from None


@contextmanager
def _published(spec: str, do: str = "Give a file of its weights: {}=FILE") -> Iterator[None]:
    """What a library gets from its cache, or from its own address."""
    try:
        yield
    except RatherError:
        raise
    except Exception as error:
        raise RatherError("MODEL-NOT-FOUND", where=spec, why=brief(error), do=do.format(spec)) from error


def _download(spec: str, url: str) -> Path:
    """Published weights in torch's cache, where their name ends in the beginning of their sha256."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not file.is_file():
        with _published(spec):
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), progress=False)
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    if not sha256.startswith(file.stem.rpartition("-")[2]):
        raise damaged(file, _fault(file) or f"it is another file: its sha256 begins with {sha256[:8]}", _AGAIN)
    return file


def _fault(file: Path) -> str:
    """Why a file cannot be of weights at all, if its content says so."""
    try:
        file_kind(file)
    except RatherError as error:
        return error.why
    return ""


def _build(build: Callable[..., Any], given: str) -> tuple[Any, int | None, str]:
    """The net with the weights of a file; see `build_for`."""
    file, part = _part(given)
    return build_for(read_state(file), build, file, part)


def build_for(
    state: Mapping[str, Tensor], build: Callable[..., Any], file: Path, part: str = ""
) -> tuple[Any, int | None, str]:
    """A net with these weights, its number of classes if `build` makes another, and a note on the file.

    Args:
        state: of `read_state`.
        build: makes a net with random weights; takes `num_classes`.
        file: where the weights come from, for messages.
        part: see `weights_of`.

    Raises:
        RatherError: MODEL-WEIGHTS.
    """
    empty = partial(init_empty_weights, include_buffers=False)
    net = _built(build, empty, partial(torch.device, "meta"))
    state, note = weights_of(net.state_dict(), state, file, part)
    count = outputs(net, state)
    net = _built(build if count is None else partial(build, num_classes=count), empty, nullcontext)
    load_state(net, state, file)
    return net, count, note


def _built(build: Callable[..., Any], *ways: Callable[[], AbstractContextManager[Any]]) -> Any:
    """A new net, in the first of these ways in which it can be built; the last may raise.

    Parameters without memory cost no time and no random numbers, but some nets compute with them while they are
    built; others compute with numbers that are none of their parameters, which `meta` takes away as well.
    """
    *first, last = ways
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        for way in first:
            with suppress(NotImplementedError, RuntimeError), way():
                return build()
        with last():
            return build()


def _part(given: str) -> tuple[Path, str]:
    """The file, and the part of it, in `FILE#PART`."""
    file, mark, part = given.rpartition("#")
    return (Path(file), part) if mark and not Path(given).exists() else (Path(given), "")
