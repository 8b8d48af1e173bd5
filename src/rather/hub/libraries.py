"""Nets of torchvision, timm and transformers: with the weights that they publish, or with those of a file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import Tensor, nn

from rather.classifiers.preflight import brief
from rather.config.errors import RatherError, did_you_mean
from rather.io.state_dicts import load_state, outputs, read_state


@final
@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A net of a library, and what the library knows about its images and classes."""

    net: nn.Module
    shape: tuple[int, int, int]
    mean: Sequence[float] | None
    std: Sequence[float] | None
    classes: Sequence[str] | None  # None where only their number is known


def torchvision(name: str, file: Path | None) -> Loaded:
    """A classifier of torchvision; its published weights are downloaded, if they are not in torch's cache."""
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise RatherError("MODEL-NOT-FOUND", where=f"torchvision:{name}", do=did_you_mean(name, known))
    published = models.get_model_weights(name).DEFAULT
    recipe = published.transforms()  # ends in a normalisation, which belongs inside the classifier
    state: Mapping[str, Tensor] = (
        read_state(file)
        if file
        else _published(
            lambda: published.get_state_dict(progress=False, check_hash=True, weights_only=True), f"torchvision:{name}"
        )
    )

    build = partial(models.get_model, name, weights=None)
    net, count = _loaded(build, state, file or Path(published.url))
    names = published.meta["categories"]
    if file is None and hasattr(net, "transform_input"):
        net.transform_input = True  # what two of them were trained with, and is off in a new net
    return Loaded(
        net=net,
        shape=(3, recipe.crop_size[0], recipe.crop_size[0]),
        mean=recipe.mean,
        std=recipe.std,
        classes=_distinct(names) if len(names) == count else None,
    )


def timm(name: str, file: Path | None) -> Loaded:
    """A classifier of timm; its published weights are downloaded, if they are not in the hub's cache."""
    with _extra("timm"):
        import timm as library
    if not library.is_model(name):
        raise RatherError(
            "MODEL-NOT-FOUND", where=f"timm:{name}", do=did_you_mean(name, library.list_models(include_tags=False))
        )
    if file is None:
        net = _published(lambda: library.create_model(name, pretrained=True), f"timm:{name}")
        count = net.num_classes
    else:
        net, count = _loaded(lambda **options: library.create_model(name, **options), read_state(file), file)
    recipe = net.pretrained_cfg
    subset = library.data.infer_imagenet_subset(net)
    names = library.data.ImageNetInfo(subset).label_descriptions() if subset else []
    return Loaded(
        net=net,
        shape=tuple(recipe["input_size"]),
        mean=recipe["mean"],
        std=recipe["std"],
        classes=_distinct(names) if len(names) == count else None,
    )


def hugging_face(name: str, file: Path | None) -> Loaded:
    """An image classifier of transformers, from a folder or the hub; safetensors only, no code."""
    with _extra("hf"):
        import transformers
        from transformers.utils import cached_file
    if file is not None:
        raise RatherError("CFG-OPTIONS", where=f"hf:{name}={file}", why="the folder holds the weights")

    def load() -> tuple[Any, dict[str, Any]]:
        recipe = cached_file(name, "preprocessor_config.json")
        net = transformers.AutoModelForImageClassification.from_pretrained(
            name, trust_remote_code=False, use_safetensors=True
        )
        return net, json.loads(Path(recipe).read_text("utf-8"))

    net, recipe = _published(load, f"hf:{name}", do="Give a folder that save_pretrained has written")
    size = recipe.get("crop_size" if recipe.get("do_center_crop") else "size") or {}
    if isinstance(size, int):
        size = {"shortest_edge": size}
    height, width = (size.get(side, size.get("shortest_edge")) for side in ("height", "width"))
    normalises = recipe.get("do_normalize", True)
    if not height or not width or (normalises and "image_mean" not in recipe):
        raise RatherError(
            "MODEL-INPUT",
            where=f"hf:{name}",
            why="its preprocessor_config.json does not say the images' size, mean and deviation",
        )
    return Loaded(
        net=net,
        shape=(getattr(net.config, "num_channels", 3), height, width),
        mean=recipe["image_mean"] if normalises else None,
        std=recipe["image_std"] if normalises else None,
        classes=_distinct([net.config.id2label[n] for n in range(net.config.num_labels)]),
    )


#: What stands before the colon of a name.
LIBRARIES: Final[Mapping[str, Callable[[str, Path | None], Loaded]]] = {
    "torchvision": torchvision,
    "timm": timm,
    "hf": hugging_face,
}


def _distinct(names: Sequence[str]) -> list[str]:
    """Names that are there twice get their numbers: ImageNet's crane is a bird, and a machine."""
    return [f"{name} ({n})" if names.count(name) > 1 else name for n, name in enumerate(names)]


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Imports of what comes with one of the package's extras."""
    try:
        yield
    except ImportError as error:
        raise RatherError(
            "MODEL-MISSING-LIBRARY", where=error.name or "", why=brief(error), do=f"pip install 'rather[{name}]'"
        ) from None


def _published(get: Callable[[], Any], where: str, do: str = "Give a file of its weights: {}=FILE") -> Any:
    """What a library gets from its cache, or from its own address."""
    try:
        return get()
    except Exception as error:
        raise RatherError("MODEL-NOT-FOUND", where=where, why=brief(error), do=do.format(where)) from error


def _loaded(build: Callable[..., Any], state: Mapping[str, Tensor], where: Path) -> tuple[Any, int]:
    """The net with these weights, and the number of classes that they are for.

    Args:
        build: makes it; takes `num_classes`.
        state: see `checkpoints.read_state`.
        where: it is from.
    """
    # New nets draw their weights, and some warn of how slowly; nobody's random numbers may move for that.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        with torch.device("meta"):
            count = outputs(build(), state, where)
        net = build(num_classes=count)
    load_state(net, state, where)
    return net, count
