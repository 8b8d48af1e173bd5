"""Files of trained nets: classifiers, generators and classifiers of latents are saved and loaded here.

A file is safetensors whose metadata has one entry, `rather`: JSON with the kind of net, its settings and its
card. They decide what is built, and so which names and shapes the tensors must have: loading runs no code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from rather.classifiers import architectures
from rather.config.errors import RatherError
from rather.core import Classifier
from rather.generators.autoencoder import Autoencoder
from rather.generators.frozen import FrozenNet
from rather.generators.recipe import GeneratorRecipe
from rather.hub.generators import generator_class, makers
from rather.io.arrays import MAX_CHANNELS
from rather.io.file_kinds import refuse_kind, tensors_fault
from rather.io.writing import check_writable as check_folder
from rather.io.writing import write_whole, writing
from rather.latents.classifiers import LatentClassifiers, LatentHeads

Kind = Literal["classifier", "generator", "latent-classifier"]
#: Which commands write which kind of file.
_COMMANDS: Final[Mapping[Kind, str]] = {
    "classifier": "classifier",
    "generator": "vae, semantic or another generator",
    "latent-classifier": "latent-classifier",
}
#: How files begin that are code: pickles, and the zip files in which torch keeps them.
_CODE: Final = (b"\x80", b"PK\x03\x04")
LARGEST: Final = 1024  # pixels a side
Side = Annotated[int, Field(ge=1, le=LARGEST)]
Classes = Annotated[tuple[str, ...], Field(min_length=2, max_length=100_000)]
Members = Annotated[int, Field(ge=1, le=1000)]


class _Plan(BaseModel):
    """What the metadata says; the bounds keep a forged file from asking for a giant net."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal[1] = 1
    kind: Kind
    name: str
    shape: tuple[Annotated[int, Field(ge=1, le=MAX_CHANNELS)], Side, Side]
    card: dict[str, Any]


class _ClassifierPlan(_Plan):
    kind: Literal["classifier"] = "classifier"
    architecture: str
    classes: Classes
    members: Members


class _GeneratorPlan(_Plan):
    kind: Literal["generator"] = "generator"
    generator: dict[str, Any]


class _LatentPlan(_Plan):
    kind: Literal["latent-classifier"] = "latent-classifier"
    generator: dict[str, Any]
    generator_name: str
    classes: Classes
    members: Members
    hidden: Annotated[int, Field(ge=1, le=4096)]


P = TypeVar("P", bound=_Plan)
Net = TypeVar("Net", bound=nn.Module)
Product = TypeVar("Product", bound=FrozenNet)
File = str | os.PathLike[str]


def save_classifier(path: File, classifier: Classifier, *, architecture: str, card: Mapping[str, Any]) -> None:
    """Write a classifier that `classifiers.architectures` has built, or an ensemble of them.

    Args:
        path: of the new file; a file that exists is replaced at once and as a whole.
        classifier: one, or an ensemble of members of one architecture; their tensors are named 0.body.0.weight
            and so on.
        architecture: a key of `architectures.ARCHITECTURES`.
        card: plain data (JSON) on its origin: data, seed, accuracy, licence.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    plan = _ClassifierPlan(
        architecture=architecture,
        name=classifier.name,
        shape=classifier.shape,
        classes=classifier.classes,
        members=len(classifier.members),
        card=dict(card),
    )
    _save(path, plan, {str(number): member for number, member in enumerate(classifier.members)})


def read_classifier(path: File) -> Classifier:
    """The classifier of a file that `save_classifier` has written.

    Raises:
        RatherError: MODEL-NOT-FOUND, MODEL-CODE for a pickle, MODEL-KIND for a file of another kind of net,
            MODEL-FILE-DAMAGED for all else that is not such a file, whole and with finite weights.
    """
    plan, members = _read(path, _ClassifierPlan, _members)
    for member in members.values():
        member.to(memory_format=torch.channels_last)  # faster on a processor
    if plan.members == 1:
        return members["0"]
    from rather.core import ensemble

    return ensemble([*members.values()], plan.name)


def _members(plan: _ClassifierPlan) -> dict[str, Classifier]:
    names = [plan.name] if plan.members == 1 else [f"{plan.name}-{n}" for n in range(plan.members)]
    members = {}
    for number, name in enumerate(names):
        body, head = architectures.build(plan.architecture, plan.shape, len(plan.classes))
        members[str(number)] = Classifier(body, head, classes=plan.classes, shape=plan.shape, name=name)
    return members


def save_generator(path: File, recipe: GeneratorRecipe, product: FrozenNet, card: Mapping[str, Any]) -> None:
    """Write a trained generator.

    Args:
        path: of the new file.
        recipe: how it was built and trained.
        product: the frozen net.
        card: plain data (JSON) on its origin: data, seed, figures, licence.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    plan = _GeneratorPlan(name=product.name, shape=product.shape, generator=recipe.settings(), card=dict(card))
    _save(path, plan, {product.kind: product})


def read_generator(path: File) -> FrozenNet:
    """The frozen net of a file that `save_generator` has written.

    Raises:
        RatherError: as `read_classifier`.
    """
    _, nets = _read(path, _GeneratorPlan, _generator)
    (product,) = nets.values()
    return product


def read_autoencoder(path: File) -> Autoencoder:
    """The autoencoder of a file that `save_generator` has written.

    Raises:
        RatherError: MODEL-KIND for another generator, or as `read_classifier`.
    """
    return require_kind(read_generator(path), Autoencoder)


def require_kind(product: FrozenNet, kind: type[Product]) -> Product:
    """The frozen net, if it is of this kind.

    Raises:
        RatherError: MODEL-KIND.
    """
    if isinstance(product, kind):
        return product
    raise RatherError(
        "MODEL-KIND",
        where=product.name,
        why=f"of kind {product.kind}, where one of kind {kind.kind} is needed",
        do=f"Give a file of rather train {' or '.join(makers(kind))}",
    )


def _built(settings: Mapping[str, Any], shape: tuple[int, int, int], name: str) -> FrozenNet:
    rest = dict(settings)
    return generator_class(str(rest.pop("name", ""))).of(rest).build(shape).product(name)


def _generator(plan: _GeneratorPlan) -> dict[str, FrozenNet]:
    product = _built(plan.generator, plan.shape, plan.name)
    return {product.kind: product}


def save_latent(path: File, latent: LatentClassifiers, generator: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Write classifiers of latents together with their autoencoder.

    Args:
        path: of the new file.
        latent: the classifiers.
        generator: the settings of the generator whose autoencoder they use.
        card: plain data (JSON) on their origin: data, seed, accuracy, licence.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    plan = _LatentPlan(
        name=latent.name,
        shape=latent.autoencoder.shape,
        generator=dict(generator),
        generator_name=latent.autoencoder.name,
        classes=latent.classes,
        members=latent.heads.members,
        hidden=latent.heads.weights[0].shape[2],
        card=dict(card),
    )
    _save(path, plan, {"autoencoder": latent.autoencoder, "heads": latent.heads})


def read_latent(path: File) -> LatentClassifiers:
    """The classifiers of a file that `save_latent` has written.

    Raises:
        RatherError: as `read_classifier`.
    """
    plan, nets = _read(path, _LatentPlan, _latent)
    autoencoder, heads = nets["autoencoder"], nets["heads"]
    assert isinstance(autoencoder, Autoencoder)  # noqa: S101 - `_latent` makes them
    assert isinstance(heads, LatentHeads)  # noqa: S101
    return LatentClassifiers(autoencoder, heads, plan.classes, plan.name)


def _latent(plan: _LatentPlan) -> dict[str, nn.Module]:
    autoencoder = require_kind(_built(plan.generator, plan.shape, plan.generator_name), Autoencoder)
    heads = LatentHeads(plan.members, autoencoder.size, plan.hidden, len(plan.classes))
    return {"autoencoder": autoencoder, "heads": heads}


def read_metadata(path: File) -> Mapping[str, Any]:
    """What a file says of its net, as plain data: its kind, its name, its card.

    Raises:
        RatherError: MODEL-NOT-FOUND, MODEL-CODE, MODEL-FILE-SPEC for weights alone, or MODEL-FILE-DAMAGED.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        why = error.strerror or ""
        raise RatherError("MODEL-NOT-FOUND", where=path, why=why, do="See rather list models") from None
    # The length of safetensors' header, in front of it, may begin like a pickle; the header is JSON.
    if start.startswith(_CODE) and not start.endswith(b"{"):
        raise RatherError("MODEL-CODE", where=path, why="a pickle can run anything", do="Save safetensors")
    try:
        with safe_open(path, "pt") as opened:
            text = (opened.metadata() or {}).get("rather")
        metadata = None if text is None else json.loads(text)
    except (SafetensorError, OSError, OverflowError, ValueError, RecursionError) as error:
        raise _damaged(path, tensors_fault(error)) from None
    if metadata is None:
        raise refuse_kind(path, "safetensors")
    if not isinstance(metadata, dict):
        raise _damaged(path, "it does not say what net it is of")
    return metadata


def kind_of(path: File) -> str:
    """The kind of net in a file: classifier, generator or latent-classifier."""
    return str(read_metadata(path).get("kind", "classifier"))


def check_writable(path: Path) -> None:
    """Check that a file can be written there, before minutes of training and not after them.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    if path.is_dir():
        raise RatherError("STORE-NOT-WRITABLE", where=path, why="a folder", do="Name a file, NAME.safetensors")
    check_folder(path.parent)


def _save(path: File, plan: _Plan, nets: Mapping[str, nn.Module]) -> None:
    """Write nets, each with a prefix for its tensors' names."""
    tensors = {
        f"{prefix}.{key}": tensor.contiguous()
        for prefix, net in nets.items()
        for key, tensor in net.state_dict().items()
    }
    with writing(Path(path).parent):
        write_whole(Path(path), save(tensors, {"rather": plan.model_dump_json()}))


def _read(path: File, plan: type[P], build: Callable[[P], Mapping[str, Net]]) -> tuple[P, Mapping[str, Net]]:
    """The plan of a file, and the nets that `build` makes of it, by prefix, with the file's tensors."""
    path, wanted = Path(path), plan.model_fields["kind"].default
    metadata, kind = read_metadata(path), kind_of(path)
    if kind != wanted:
        why = f"a {kind:.40}, where a {wanted} is needed"
        raise RatherError("MODEL-KIND", where=path, why=why, do=f"Give a file of rather train {_COMMANDS[wanted]}")
    try:
        known = plan.model_validate_json(json.dumps(metadata))
        with torch.device("meta"):  # neither memory nor random numbers are spent on what the file replaces
            nets = build(known)
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, f"{'.'.join(map(str, first['loc'])) or 'metadata'}: {first['msg']}") from None
    except RatherError as error:
        raise _damaged(path, error.why or str(error.where)) from None
    expected = {f"{prefix}.{key}": t for prefix, net in nets.items() for key, t in net.state_dict().items()}
    tensors = _tensors(path, expected)
    for prefix, net in nets.items():
        start = f"{prefix}."
        net.load_state_dict(
            {key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}, assign=True
        )
        net.requires_grad_(requires_grad=False)
    return known, nets


def _tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of these names, shapes and types; nothing is copied before names and sizes fit."""
    try:
        with safe_open(path, "pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - it is no mapping
            for key in sorted(expected.keys() | shapes.keys()):
                should = tuple(expected[key].shape) if key in expected else None
                if should != shapes.get(key):
                    raise _damaged(path, f"{key[:60]} is {shapes.get(key)} and should be {should}")
            tensors = {key: file.get_tensor(key).clone() for key in expected}  # not a map of the file
    except (SafetensorError, OSError, OverflowError) as error:
        raise _damaged(path, str(error)) from None
    for key, tensor in tensors.items():
        if tensor.dtype != expected[key].dtype:
            raise _damaged(path, f"{key} is {tensor.dtype}")
        if not tensor.isfinite().all():
            raise _damaged(path, f"{key} is not finite")
    return tensors


def _damaged(path: Path, why: str) -> RatherError:
    return RatherError("MODEL-FILE-DAMAGED", where=path, why=why[:200], do="Give a file that rather train has written")
