"""Settings as a model with bounds: a wrong one is refused in one line, and `help` shows what each means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from inspect import cleandoc
from types import ModuleType
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from rather.config.errors import RatherError, did_you_mean

#: What torch takes for one.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
#: `mouth,lips`, as one writes it on a command line, is two names.
NameList = Annotated[
    tuple[str, ...],
    BeforeValidator(
        lambda text: tuple(name.strip() for name in text.split(",") if name.strip()) if isinstance(text, str) else text
    ),
]
#: Names of settings before version 0.1: using one is an error that says the name of today.
RENAMED: Final[Mapping[str, str]] = {
    "answer": "select",
    "closeness": "distance_weight",
    "edits": "max_edits",
    "falling": "lr_schedule",
    "frames": "num_path_frames",
    "halvings": "mask_search_steps",
    "inner": "guided_share",
    "iterations": "steps",
    "judge": "score_on second_classifier",  # of Goyal, and of a benchmark
    "last_respacing": "refine_inference_steps",
    "measures": "metrics",
    "oracle": "second_classifier",
    "points": "num_fisher_samples",
    "respacing": "num_inference_steps",
    "screen": "prescreen",
    "share": "mask_share",
    "spread": "init_noise_std",
    "weight": "class_weight",
}
Model = TypeVar("Model", bound=BaseModel)
_S = TypeVar("_S", bound="Settings")


class Settings(BaseModel):
    """A frozen value whose fields are its settings. Within the package, its name is that of its file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def __init__(self, /, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise format_error(error, type(self), self.name()) from None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Adds the settings to the docstring, so that `help` and editors show them."""
        super().__pydantic_init_subclass__(**kwargs)
        lines = [_documented(name, field) for name, field in cls.model_fields.items()]
        cls.__doc__ = "\n".join([cls.summary(), "", "Args:", *lines]) if lines else cls.summary()

    @classmethod
    def summary(cls) -> str:
        """The docstring without its settings."""
        return cleandoc(cls.__doc__ or "").partition("\n\nArgs:\n")[0]

    @classmethod
    def name(cls) -> str:
        """What the command line calls it: the name of its file in the package, else its class in snake case."""
        if cls.__module__.startswith("rather."):
            return cls.__module__.rpartition(".")[2]
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()

    @classmethod
    def of(cls: type[_S], settings: Mapping[str, Any]) -> _S:  # noqa: PYI019 - the tests cannot check Self
        """The value with these settings; a wrong name or value is refused in one line."""
        return validate(cls, settings, cls.name())

    def having(self: _S, setting: str, value: object) -> _S:  # noqa: PYI019 - see above
        """The same with another value of one setting; a wrong one is refused in one line."""
        return type(self).of({**dict(self), setting: value})

    def __repr__(self) -> str:
        """Its resources, and the settings that are not the defaults, in a line."""
        fields = type(self).model_fields
        shown = [f"{key}={brief(value)}" for key, value in self if value is not fields[key].default]
        return f"{type(self).__name__}({', '.join(shown)})"

    __str__ = __repr__


def brief(value: object) -> str:
    """A value in a few words: of a net or a dataset its name, never its numbers."""
    if isinstance(value, str | int | float | bool | tuple | list | dict | BaseModel | type(None)):
        return repr(value)[:200]
    return str(getattr(value, "name", None) or f"<{type(value).__name__}>")


def kind_of(annotation: Any) -> str:
    """A type as a person reads it: `exhaustive | relaxed`, `int > 0 | none`."""
    if annotation is type(None):
        return "none"
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return " ".join([kind_of(parts[0]), *bounds(parts[1:])])
    if parts and get_origin(annotation) is Literal:
        return " | ".join(map(str, parts))
    if get_origin(annotation) is tuple:
        return f"list of {kind_of(parts[0])}"
    return " | ".join(map(kind_of, parts)) if parts else getattr(annotation, "__name__", str(annotation))


def bounds(metadata: Sequence[Any]) -> list[str]:
    """The bounds of a number: `> 0`."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    every = ((name, sign, bound) for bound in metadata for name, sign in signs.items())
    return [f"{sign} {getattr(bound, name)}" for name, sign, bound in every if hasattr(bound, name)]


def _documented(name: str, field: FieldInfo) -> str:
    kind = " ".join([kind_of(field.annotation), *bounds(field.metadata)])
    default = "required" if field.is_required() else f"default {brief(field.default)}"
    return f"    {name} ({kind}; {default}): {' '.join((field.description or '').split())}"


def indices(names: Sequence[str], known: Sequence[str], setting: str) -> list[int]:
    """The places of names among those that are known.

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


def validate(model: type[Model], settings: Mapping[str, Any], name: str) -> Model:
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
        raise format_error(error, model, name) from None


def format_error(error: ValidationError, model: type[BaseModel], name: str) -> RatherError:
    """The first of a model's complaints, in one line."""
    complaints = error.errors()
    # A misspelt name is unknown, and the one that was meant is missing: the misspelt one says more.
    first = next((one for one in complaints if one["type"] == "extra_forbidden"), complaints[0])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, RatherError):  # of a validator that knows more
        return cause
    key = ".".join(str(part) for part in first["loc"])
    where = f"{name}.{key}" if key else name
    if first["type"] == "extra_forbidden":
        renamed = next((name for name in RENAMED.get(key, "").split() if name in model.model_fields), None)
        if renamed:
            return RatherError("CFG-SETTING", where=where, why="renamed", do=f"Say {renamed}")
        return RatherError("CFG-SETTING", where=where, why="unknown", do=did_you_mean(key, model.model_fields))
    why = first["msg"].removeprefix("Value error, ")
    if key and first["type"] != "missing":
        why = f"{why}, got {brief(first['input'])}"
    return RatherError("CFG-SETTING", where=where, why=why[:200])
