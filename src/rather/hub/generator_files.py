"""The file of a trained generator: its settings, and the tensors of its autoencoder; see `nets.file`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar

from rather.config.errors import RatherError
from rather.generators.autoencoder import Autoencoder
from rather.generators.frozen import FrozenNet
from rather.generators.training import Generator
from rather.hub.generators import generator_class
from rather.io.checkpoints import NetPlan, read_net, save_net

Product = TypeVar("Product", bound=FrozenNet)
#: Which generators make which kind of product.
MAKERS: Final = {
    "autoencoder": ("vae", "tcvae", "gan"),
    "semantic": ("semantic",),
    "editor": ("editor", "paired"),
    "exaggerator": ("exaggerator",),
    "oracle": ("oracle",),
    "denoiser": ("ddpm",),
    "encoder": ("simsiam",),
    "classwise": ("classwise",),
}


class _Plan(NetPlan):
    kind: Literal["generator"] = "generator"
    generator: dict[str, Any]


def save_generator(
    path: str | os.PathLike[str], generator: Generator, product: FrozenNet, card: Mapping[str, Any]
) -> None:
    """Write what a generator was trained to be.

    Args:
        path: of the new file.
        generator: how it was built and trained.
        product: that came of it.
        card: plain data (JSON) on where it comes from: data, seed, figures, licence.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    plan = _Plan(name=product.name, shape=product.shape, generator=generator.settings(), card=dict(card))
    save_net(path, plan, {_prefix(product): product})


def read_generator(path: str | os.PathLike[str]) -> FrozenNet:
    """What a file that `save_generator` has written holds.

    Raises:
        RatherError: what `nets.file.read_net` raises.
    """
    _, nets = read_net(path, _Plan, _built)
    (product,) = nets.values()
    return product


def load_autoencoder(path: str | os.PathLike[str]) -> Autoencoder:
    """The autoencoder of a file that `save_generator` has written.

    Raises:
        RatherError: MODEL-KIND if it is something else, and what `nets.file.read_net` raises.
    """
    return expected(read_generator(path), Autoencoder)


def expected(product: FrozenNet, kind: type[Product]) -> Product:
    """The product, if it is of this kind.

    Raises:
        RatherError: MODEL-KIND.
    """
    if isinstance(product, kind):
        return product
    raise RatherError(
        "MODEL-KIND",
        where=product.name,
        why=f"of kind {_prefix(product)}, where one of kind {kind.__name__.lower()} is asked for",
        do=f"Give a file of rather train {' or '.join(MAKERS[kind.__name__.lower()])}",
    )


def product_of(settings: Mapping[str, Any], shape: tuple[int, int, int], name: str) -> FrozenNet:
    """The product of a generator with these settings, with whatever weights it is built with.

    Raises:
        RatherError: no such generator or settings.
    """
    rest = dict(settings)
    return generator_class(str(rest.pop("name", ""))).of(rest).build(shape).product(name)


def _built(plan: _Plan) -> dict[str, FrozenNet]:
    product = product_of(plan.generator, plan.shape, plan.name)
    return {_prefix(product): product}


def _prefix(product: FrozenNet) -> str:
    return type(product).__name__.lower()
