"""Populations of faces: which rule labels them, and what goes with the label without being its cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, final

from jaxtyping import Bool, Float
from torch import Tensor

from rather.config.errors import RatherError, did_you_mean
from rather.worlds.faces.attributes import ATTRIBUTES

#: How often each attribute that is not graded holds; of the hair colours each is as frequent as the others.
FREQUENCIES: Final[Mapping[str, float]] = MappingProxyType(
    {"glasses": 0.4, "beard": 0.3, "hat": 0.2, "fringe": 0.4, "long_hair": 0.4, "dark_skin": 0.4}
)

_COLUMN: Final = {name: column for column, name in enumerate(ATTRIBUTES)}


@final
@dataclass(frozen=True)
class Rule:
    """The label as a known function of attributes.

    Args:
        name: what to call it.
        classes: what False and True are called.
        causes: the attributes that it looks at.
        of: from the values of `causes`, each (n,), to whether the second class holds.
    """

    name: str
    classes: tuple[str, str]
    causes: tuple[str, ...]
    of: Callable[..., Bool[Tensor, " n"]]

    def label(self, attributes: Float[Tensor, "n 12"]) -> Bool[Tensor, " n"]:
        """Whether the second class holds."""
        return self.of(*(attributes[:, _COLUMN[name]] for name in self.causes))


def _more_than_half(value: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    return value > 0.5  # noqa: PLR2004 - graded attributes avoid it


def _either(smile: Float[Tensor, " n"], hat: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    return _more_than_half(smile) ^ _more_than_half(hat)


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            Rule("smile", ("not smiling", "smiling"), ("smile",), _more_than_half),
            Rule("age", ("young", "old"), ("age",), _more_than_half),
            Rule("smile-xor-hat", ("both or neither", "smile or hat"), ("smile", "hat"), _either),
        )
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
