"""Faces as numbers: drawn at random from a population, and changed in one attribute at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rather.config.errors import RatherError
from rather.worlds.faces.attributes import ATTRIBUTES, HAIR_COLOURS
from rather.worlds.faces.nuisances import NUISANCES
from rather.worlds.faces.population import FREQUENCIES, Population

Given = Float[Tensor, "*n"] | float | int  # for all faces, or for each
Value = Given | None  # None leaves it as it is

_GAP: Final = 0.4  # the width between the low and the high values of a graded attribute


@final
@dataclass(frozen=True, eq=False)
class Faces:
    """All that is needed to draw n faces.

    Args:
        attributes: a column for each of `ATTRIBUTES`, in [0, 1].
        nuisances: n values for each of `NUISANCES`.
    """

    attributes: Float[Tensor, "n 12"]
    nuisances: Mapping[str, Float[Tensor, "n ..."]]

    def __len__(self) -> int:
        return len(self.attributes)

    def __getitem__(self, rows: slice | Int[Tensor, " m"] | list[int]) -> Faces:
        """Some of the faces."""
        return Faces(self.attributes[rows], {name: value[rows] for name, value in self.nuisances.items()})

    def attribute(self, name: str) -> Float[Tensor, " n"]:
        """The values of one attribute."""
        return self.attributes[:, list(ATTRIBUTES).index(name)]


def sample(count: int, seed: int | tuple[int, ...] = 0, population: Population | None = None) -> Faces:
    """Faces at random: face n of a seed is the same for every count, and looks alike in every population.

    Args:
        count: how many.
        seed: of NumPy's generator; each quantity has a stream of its own.
        population: how the attributes are distributed; by default that of the rule "smile", nothing planted.
    """
    population = population or Population()
    key = (seed,) if isinstance(seed, int) else seed
    nuisances = {
        name: _uniform(count, (*key, 0, stream), nuisance.shape) * (nuisance.high - nuisance.low) + nuisance.low
        for stream, (name, nuisance) in enumerate(NUISANCES.items())
    }
    columns: dict[str, Tensor] = {}
    colour = (_uniform(count, (*key, 1, len(ATTRIBUTES))) * len(HAIR_COLOURS)).long()
    for stream, (name, attribute) in enumerate(ATTRIBUTES.items()):
        chance = _uniform(count, (*key, 1, stream))
        if attribute.graded:
            contrast = population.contrast if name in population.rule.causes else 1.0
            wide = (1 - _GAP) * chance + _GAP * (chance > 0.5)  # noqa: PLR2004 - half of them are high
            columns[name] = 0.5 + contrast * (wide - 0.5)
        elif name in HAIR_COLOURS:
            columns[name] = (colour == HAIR_COLOURS.index(name)).float()
        else:
            columns[name] = (chance < FREQUENCIES[name]).float()
    label = population.rule.label(torch.stack(list(columns.values()), 1)).float()
    for name, strength in population.planted.items():
        planted = _uniform(count, (*key, 2, list(ATTRIBUTES).index(name))) < strength
        columns[name] = torch.where(planted, label, columns[name])
    return Faces(torch.stack(list(columns.values()), 1), nuisances)


def set(  # noqa: A001 - to be read as faces.set
    faces: Faces,
    *,
    smile: Value = None,
    age: Value = None,
    glasses: Value = None,
    beard: Value = None,
    hat: Value = None,
    fringe: Value = None,
    black_hair: Value = None,
    brown_hair: Value = None,
    blond_hair: Value = None,
    red_hair: Value = None,
    long_hair: Value = None,
    dark_skin: Value = None,
) -> Faces:
    """The same faces with only these attributes changed: an intervention.

    A value is a number for all faces or a tensor with one for each, through which gradients pass. Giving a
    face one hair colour takes the other three from it.

    Raises:
        RatherError: CFG-SETTING for a value out of range, and for a face left without a hair colour or with
            two.
    """
    asked = {
        "smile": smile,
        "age": age,
        "glasses": glasses,
        "beard": beard,
        "hat": hat,
        "fringe": fringe,
        "black_hair": black_hair,
        "brown_hair": brown_hair,
        "blond_hair": blond_hair,
        "red_hair": red_hair,
        "long_hair": long_hair,
        "dark_skin": dark_skin,
    }
    new = {name: _checked(name, value, len(faces)) for name, value in asked.items() if value is not None}
    given = sum((new[name] for name in HAIR_COLOURS if name in new), torch.zeros(len(faces)))
    columns = []
    for name in ATTRIBUTES:
        column = faces.attribute(name)
        if name in HAIR_COLOURS:
            column = torch.where(given > 0, 0.0, column)
        columns.append(new.get(name, column))
    colours = sum(columns[list(ATTRIBUTES).index(name)] for name in HAIR_COLOURS)
    if not isinstance(colours, Tensor) or (colours != 1).any():
        raise RatherError(
            "CFG-SETTING",
            where=", ".join(name for name in HAIR_COLOURS if name in new),
            why="a face has exactly one hair colour",
            do="Set the one that it shall have to 1",
        )
    return replace(faces, attributes=torch.stack(columns, 1))


def values(faces: Faces) -> Float[Tensor, "n 12"]:
    """How much each face has of each of `ATTRIBUTES`, from 0 to 1."""
    return faces.attributes


def _uniform(count: int, key: tuple[int, ...], shape: tuple[int, ...] = ()) -> Float[Tensor, "n ..."]:
    """Numbers in [0, 1); the first ones do not depend on how many there are."""
    return torch.from_numpy(np.random.default_rng(key).random((count, *shape), dtype=np.float32))


def _checked(name: str, value: Given, count: int) -> Float[Tensor, " n"]:
    """The value of each face."""
    column = torch.as_tensor(value, dtype=torch.float32)
    if column.shape not in {(), (count,)}:
        why = f"shape {tuple(column.shape)}, there are {count} faces"
        raise RatherError("CFG-SETTING", where=name, why=why)
    graded = ATTRIBUTES[name].graded
    good = (column >= 0) & (column <= 1) if graded else (column == 0) | (column == 1)
    if not good.all():
        raise RatherError("CFG-SETTING", where=name, why="must be in [0, 1]" if graded else "must be 0 or 1")
    return column.expand(count)
