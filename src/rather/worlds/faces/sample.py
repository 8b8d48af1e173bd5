"""Faces as numbers: drawn at random from a population, and changed in one attribute at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rather.config.errors import RatherError, did_you_mean
from rather.worlds.faces.attributes import ATTRIBUTES, GRADED, HAIR_COLOURS, NUISANCES

Value = Float[Tensor, "*n"] | float | int  # for all faces, or for each

#: How often each attribute that is not graded holds; of the hair colours each is as frequent as the others.
FREQUENCIES: Final[Mapping[str, float]] = MappingProxyType(
    {"glasses": 0.4, "beard": 0.3, "hat": 0.2, "fringe": 0.4, "long_hair": 0.4, "dark_skin": 0.4}
)

_GAP: Final = 0.4  # the width between the low and the high values of a graded attribute
_COLUMN: Final = {name: column for column, name in enumerate(ATTRIBUTES)}


class Rule(NamedTuple):
    """A label that is a known function of attributes: whether an odd number of its causes is above a half."""

    name: str
    classes: tuple[str, str]  # what False and True are called
    causes: tuple[str, ...]

    def label(self, attributes: Float[Tensor, "n 12"]) -> Bool[Tensor, " n"]:
        """Whether the second class holds; graded attributes avoid a half."""
        present = attributes[:, [_COLUMN[name] for name in self.causes]] > 0.5  # noqa: PLR2004 - a half
        return present.sum(1) % 2 == 1


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "smile": Rule("smile", ("not smiling", "smiling"), ("smile",)),
        "age": Rule("age", ("young", "old"), ("age",)),
        "smile-xor-hat": Rule("smile-xor-hat", ("both or neither", "smile or hat"), ("smile", "hat")),
    }
)


@final
@dataclass(frozen=True)
class Population:
    """How the attributes of faces are distributed.

    Attributes are independent of each other but for those that are planted. A graded one lies in [0, 0.3] or
    in [0.7, 1], so that no label is in doubt.

    Args:
        rule: labels the faces.
        planted: with this probability an attribute is the label, else it is drawn as usual.
        contrast: 1, or less to bring the rule's own graded attributes nearer to 0.5: 0.2 puts them into
            [0.4, 0.46] and [0.54, 0.6]. A net has no use for a planted cue where the true one is plain.

    Raises:
        RatherError: CFG-SETTING for a planted attribute that does not exist, is graded, is a hair colour or a
            cause of the label, and for numbers out of range.
    """

    rule: Rule = RULES["smile"]
    planted: Mapping[str, float] = field(default_factory=dict)
    contrast: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.contrast <= 1:
            raise RatherError("CFG-SETTING", where="contrast", why=f"{self.contrast} is not in (0, 1]")
        for name, strength in self.planted.items():
            where = f"planted.{name}"
            if name in self.rule.causes:
                raise RatherError("CFG-SETTING", where=where, why=f"it is a cause of {self.rule.name}")
            if name not in FREQUENCIES:
                why = "graded or a hair colour" if name in ATTRIBUTES else "unknown"
                raise RatherError("CFG-SETTING", where=where, why=why, do=did_you_mean(name, FREQUENCIES))
            if not 0 <= strength <= 1:
                raise RatherError("CFG-SETTING", where=where, why=f"{strength} is not a probability")


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
        return self.attributes[:, _COLUMN[name]]


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
    for stream, name in enumerate(ATTRIBUTES):
        chance = _uniform(count, (*key, 1, stream))
        if name in GRADED:
            contrast = population.contrast if name in population.rule.causes else 1.0
            wide = (1 - _GAP) * chance + _GAP * (chance > 0.5)  # noqa: PLR2004 - half of them are high
            columns[name] = 0.5 + contrast * (wide - 0.5)
        elif name in HAIR_COLOURS:
            columns[name] = (colour == HAIR_COLOURS.index(name)).float()
        else:
            columns[name] = (chance < FREQUENCIES[name]).float()
    label = population.rule.label(torch.stack(list(columns.values()), 1)).float()
    for name, strength in population.planted.items():
        planted = _uniform(count, (*key, 2, _COLUMN[name])) < strength
        columns[name] = torch.where(planted, label, columns[name])
    return Faces(torch.stack(list(columns.values()), 1), nuisances)


def set_attributes(faces: Faces, changes: Mapping[str, Value]) -> Faces:
    """The same faces with only some attributes changed: an intervention.

    A value is a number for all faces or a tensor with one for each, through which gradients pass. Giving a
    face one hair colour takes the other three from it.

    Raises:
        RatherError: CFG-SETTING for an unknown attribute, for a value out of range, and for a face left without a hair
            colour or with two.
    """
    new = {name: _checked(name, value, len(faces)) for name, value in changes.items()}
    colours = [name for name in HAIR_COLOURS if name in new]
    coloured = sum((new[name] for name in colours), torch.zeros(len(faces))) > 0
    columns = [
        new.get(name, faces.attribute(name).where(~coloured, 0.0) if name in HAIR_COLOURS else faces.attribute(name))
        for name in ATTRIBUTES
    ]
    attributes = torch.stack(columns, 1)
    if (attributes[:, [_COLUMN[name] for name in HAIR_COLOURS]].sum(1) != 1).any():
        why, do = "a face has exactly one hair colour", "Set the one that it shall have to 1"
        raise RatherError("CFG-SETTING", where=", ".join(colours), why=why, do=do)
    return replace(faces, attributes=attributes)


def _uniform(count: int, key: tuple[int, ...], shape: tuple[int, ...] = ()) -> Float[Tensor, "n ..."]:
    """Numbers in [0, 1); the first ones do not depend on how many there are."""
    return torch.from_numpy(np.random.default_rng(key).random((count, *shape), dtype=np.float32))


def _checked(name: str, value: Value, count: int) -> Float[Tensor, " n"]:
    """The value of each face."""
    if name not in ATTRIBUTES:
        raise RatherError("CFG-SETTING", where=name, why="unknown", do=did_you_mean(name, ATTRIBUTES))
    column = torch.as_tensor(value, dtype=torch.float32)
    if column.shape not in {(), (count,)}:
        why = f"shape {tuple(column.shape)}, there are {count} faces"
        raise RatherError("CFG-SETTING", where=name, why=why)
    good, why = (column == 0) | (column == 1), "must be 0 or 1"
    if name in GRADED:
        good, why = (column >= 0) & (column <= 1), "must be in [0, 1]"
    if not good.all():
        raise RatherError("CFG-SETTING", where=name, why=why)
    return column.expand(count)
