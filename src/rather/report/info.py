"""The info of a row that the report draws; info of the same name and another form is listed as text instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, NotRequired, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

T = TypeVar("T")
Number = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Values = Annotated[list[Number], Field(min_length=2)]
_WHOLE: Final = 1.01  # shares are rounded, and so is their sum


class Ensemble(TypedDict):
    """A line, and the lines of the members that it is the mean of."""

    together: Values
    members: NotRequired[list[Values]]


@with_config(ConfigDict(extra="forbid"))
class Region(TypedDict):
    """How far the style of a region moved, and its share of the change."""

    style: Number
    change: Share


class Bins(TypedDict):
    """The probability of the target in each bin of `exaggeration`, and the bins of image and counterfactual."""

    confidence: Annotated[list[Share], Field(min_length=2)]
    bin: Annotated[int, Field(strict=True, ge=0)]
    counterfactual_bin: Annotated[int, Field(strict=True, ge=0)]


_LINES: Final = TypeAdapter[Ensemble | list[float]](Ensemble | Values)
_REGIONS: Final = TypeAdapter(dict[str, Region])
_ATTRIBUTES: Final = TypeAdapter(dict[str, Annotated[float, Field(strict=True, ge=-1, le=1)]])
_FREQUENCIES: Final = TypeAdapter(dict[str, Annotated[dict[str, Share], Field(min_length=1, max_length=4)]])
_BINS: Final = TypeAdapter(Bins)


def lines(info: Any) -> dict[str, Ensemble]:
    """The series of numbers in a mapping, by name."""
    each = {str(k): _valid(_LINES.validate_python, v) for k, v in info.items()} if isinstance(info, Mapping) else {}
    return {name: one if isinstance(one, dict) else {"together": one} for name, one in each.items() if one is not None}


def regions(info: Any) -> dict[str, Region]:
    """The regions, the largest share of the change first."""
    found = _valid(_REGIONS.validate_python, info) or {}
    whole = sum(each["change"] for each in found.values()) <= _WHOLE
    return dict(sorted(found.items(), key=lambda item: -item[1]["change"])) if whole else {}


def attributes(info: Any) -> dict[str, float]:
    """The signed change of each attribute, the largest first."""
    return dict(sorted((_valid(_ATTRIBUTES.validate_python, info) or {}).items(), key=lambda item: -abs(item[1])))


def frequencies(info: Any) -> dict[str, dict[str, float]]:
    """Of each attribute the share of the reference images of each class that have it."""
    return _valid(_FREQUENCIES.validate_python, info) or {}


def bins(info: Mapping[str, Any]) -> Bins | None:
    """The series of bins in a row's info, if it has one."""
    found = _valid(_BINS.validate_python, {key: info.get(key) for key in Bins.__annotations__})
    inside = found and max(found["bin"], found["counterfactual_bin"]) < len(found["confidence"])
    return found if inside else None


def _valid(validate: Callable[[Any], T], info: Any) -> T | None:
    try:
        return validate(info)
    except ValidationError:
        return None
