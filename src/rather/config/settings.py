"""Settings that somebody typed, as a model with bounds: what is wrong is said in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rather.config.errors import RatherError, did_you_mean

#: What torch takes for one.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
#: `mouth,lips`, as one writes it on a command line, is two names.
NameList = Annotated[
    tuple[str, ...],
    BeforeValidator(
        lambda told: tuple(name.strip() for name in told.split(",") if name.strip()) if isinstance(told, str) else told
    ),
]
Model = TypeVar("Model", bound=BaseModel)
_S = TypeVar("_S", bound="Settings")


class Settings(BaseModel):
    """A frozen value that is named by the file that it is in; its fields are its settings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def __init__(self, /, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise refusal(error, type(self), self.name()) from None

    @classmethod
    def name(cls) -> str:
        """The name of the file that it is in: what the command line calls it."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def of(cls: type[_S], settings: Mapping[str, Any]) -> _S:  # noqa: PYI019 - the tests cannot check Self
        """The value with these settings; a wrong name or value is refused in one line."""
        return checked(cls, settings, cls.name())

    def having(self: _S, setting: str, value: object) -> _S:  # noqa: PYI019 - see above
        """The same with another value of one setting; a wrong one is refused in one line."""
        return type(self).of({**dict(self), setting: value})


def indices(names: Sequence[str], known: Sequence[str], setting: str) -> list[int]:
    """The places of names that somebody typed among those that are known.

    Raises:
        RatherError: CFG-SETTING for one that is not.
    """
    for name in names:
        if name not in known:
            why = f"known are {', '.join(known)}"[:200]
            raise RatherError("CFG-SETTING", where=f"{setting} {name}", why=why, do=did_you_mean(name, known))
    return [[*known].index(name) for name in names]


def class_in(module: ModuleType, base: type[_S]) -> type[_S]:
    """The one class of a file of methods or of generators."""
    (found,) = (
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, base) and thing.__module__ == module.__name__
    )
    return found


def checked(model: type[Model], settings: Mapping[str, Any], name: str) -> Model:
    """The model with these settings; a wrong name or value is refused.

    Args:
        model: knows the names, the types and the bounds.
        settings: plain data.
        name: what to call the model in the line.

    Raises:
        RatherError: CFG-SETTING, with the nearest name for one that does not exist.
    """
    try:
        return model(**settings)
    except ValidationError as error:
        raise refusal(error, model, name) from None


def refusal(error: ValidationError, model: type[BaseModel], name: str) -> RatherError:
    """The first of a model's complaints, in one line."""
    found = error.errors()
    # A name with a slip is unknown, and the one that was meant is missing: the slip says more.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, RatherError):  # of a validator that knows more
        return cause
    key = ".".join(str(part) for part in first["loc"])
    unknown = first["type"] == "extra_forbidden"
    said = first["msg"].removeprefix("Value error, ")
    if key and first["type"] != "missing":
        said = f"{said}, got {first['input']!r}"
    return RatherError(
        "CFG-SETTING",
        where=f"{name}.{key}" if key else name,
        why="unknown" if unknown else said[:200],
        do=did_you_mean(key, model.model_fields) if unknown else "",
    )
