"""The file of trained classifiers of latents: they and the autoencoder that they see through."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn

from rather.generators.autoencoder import Autoencoder
from rather.hub.generator_files import expected, product_of
from rather.io.checkpoints import NetPlan, read_net, save_net
from rather.latents.classifiers import LatentClassifiers, LatentHeads


class _Plan(NetPlan):
    kind: Literal["latent-classifier"] = "latent-classifier"
    generator: dict[str, Any]
    generator_name: str
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=100_000)]
    members: Annotated[int, Field(ge=1, le=1000)]
    hidden: Annotated[int, Field(ge=1, le=4096)]


def save_latent(
    path: str | os.PathLike[str], latent: LatentClassifiers, generator: Mapping[str, Any], card: Mapping[str, Any]
) -> None:
    """Write classifiers of latents; their file needs no other beside it.

    Args:
        path: of the new file.
        latent: to be written.
        generator: settings of the generator whose autoencoder they see through.
        card: plain data (JSON) on where they come from: data, seed, accuracy, licence.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    plan = _Plan(
        name=latent.name,
        shape=latent.autoencoder.shape,
        generator=dict(generator),
        generator_name=latent.autoencoder.name,
        classes=latent.classes,
        members=latent.heads.members,
        hidden=latent.heads.weights[0].shape[2],
        card=dict(card),
    )
    save_net(path, plan, {"autoencoder": latent.autoencoder, "heads": latent.heads})


def load_latent(path: str | os.PathLike[str]) -> LatentClassifiers:
    """The classifiers of a file that `save_latent` has written.

    Raises:
        RatherError: what `nets.file.read_net` raises.
    """
    plan, nets = read_net(path, _Plan, _build)
    autoencoder, heads = nets["autoencoder"], nets["heads"]
    assert isinstance(autoencoder, Autoencoder)  # noqa: S101 - `_build` makes them
    assert isinstance(heads, LatentHeads)  # noqa: S101
    return LatentClassifiers(autoencoder, heads, plan.classes, plan.name)


def _build(plan: _Plan) -> dict[str, nn.Module]:
    autoencoder = expected(product_of(plan.generator, plan.shape, plan.generator_name), Autoencoder)
    heads = LatentHeads(plan.members, autoencoder.size, plan.hidden, len(plan.classes))
    return {"autoencoder": autoencoder, "heads": heads}
