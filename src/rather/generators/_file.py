"""The file of a trained generator: its settings, and the tensors of its autoencoder; see `net_file`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from rather.autoencoder import Autoencoder
from rather.generator import Generator
from rather.generators import generator_class
from rather.net_file import NetPlan, read_net, save_net


class _Plan(NetPlan):
    kind: Literal["generator"] = "generator"
    generator: dict[str, Any]


def save_generator(
    path: str | os.PathLike[str], generator: Generator, autoencoder: Autoencoder, card: Mapping[str, Any]
) -> None:
    """Write what a generator was trained to be.

    Args:
        path: of the new file.
        generator: how it was built and trained.
        autoencoder: that came of it.
        card: plain data (JSON) on where it comes from: data, seed, figures, licence.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    plan = _Plan(
        name=autoencoder.name, shape=autoencoder.shape, generator=generator.settings(), card=dict(card)
    )
    save_net(path, plan, {"autoencoder": autoencoder})


def load_generator(path: str | os.PathLike[str]) -> Autoencoder:
    """The autoencoder of a file that `save_generator` has written.

    Raises:
        RatherError: what `net_file.read_net` raises.
    """
    _, nets = read_net(
        path, _Plan, lambda plan: {"autoencoder": autoencoder_of(plan.generator, plan.shape, plan.name)}
    )
    return nets["autoencoder"]


def autoencoder_of(settings: Mapping[str, Any], shape: tuple[int, int, int], name: str) -> Autoencoder:
    """The autoencoder of a generator with these settings, with whatever weights it is built with.

    Raises:
        RatherError: no such generator or settings.
    """
    rest = dict(settings)
    return generator_class(str(rest.pop("name", ""))).of(rest).build(shape).autoencoder(name)
