"""What a benchmark computes: a TOML file of methods, data and seeds, as a model that refuses mistakes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
)

from rather.bench import bench_file, list_benches
from rather.config.errors import RatherError, did_you_mean
from rather.config.output import Output
from rather.config.settings import Seed, format_error
from rather.hub.columns import Column
from rather.hub.extensions import is_code, theirs
from rather.hub.preprocessing import NOTHING_SAID, Preprocessing
from rather.hub.presets import expand
from rather.metrics import METRICS, list_metrics

_PLACE: Final = re.compile(r"\{([\w-]+)\}")  # `celeba:{celeba}`: what only the user has

#: Names that earlier specs have.
_FORMER: Final = {
    "judge": "second_classifier",
    "measures": "metrics",
    "telling": "sce",
    "survives_jpeg": "robustness_jpeg",
    "survives_filter": "robustness_filter",
}


def _each_once(where: str, names_of: Callable[[Any], Iterable[object]] = lambda one: [one], do: str = "") -> Any:
    """Refuses a name that a tuple has twice."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [name for one in values for name in names_of(one)]
        for name in names:
            if names.count(name) > 1:
                raise RatherError("CFG-SETTING", where=f"{where} {name}", why="named twice", do=do)
        return values

    return AfterValidator(check)


def _instead(name: str, known: Iterable[str]) -> str:
    return f"It is called {_FORMER[name]}" if name in _FORMER else did_you_mean(name, known)


_LABEL: Final = "Give each a label of its own"
Words = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]


class Part(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, strict=False
    )


@final
class AskedMethod(Part):
    """A method, or a preset, with settings of its own."""

    method: str
    """METHOD or METHOD@CLASSIFIER, as of `rather explain --method`."""
    label: str = ""
    """What to call it; by default METHOD."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """As of `rather explain --set`."""
    only: Words = ()
    """Labels of the data that it is for; by default all."""

    @field_validator("settings")
    @classmethod
    def _of_this_method(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if "name" in settings:
            raise RatherError("CFG-SETTING", where="settings name", why="the method is not a setting", do="Say method")
        return settings

    @property
    def name(self) -> str:
        """What it is called in the tables."""
        return self.label or self.method

    @property
    def column(self) -> Column:
        """The method with its settings, and the classifier that it explains, if not the data's.

        Raises:
            RatherError: CFG-UNKNOWN for a name, CFG-SETTING for a setting.
        """
        name, _, classifier = self.method.partition("@")
        return Column(name, classifier or None, expand({"name": name} | self.settings))


Asked = Annotated[AskedMethod, BeforeValidator(lambda given: {"method": given} if isinstance(given, str) else given)]


@final
class AskedData(Part):
    """Images, the classifiers that are explained on them, and the nets that measure."""

    data: str
    """As of `rather explain --data`."""
    label: str = ""
    """What to call it; by default the data's name, and of several classifiers theirs as well."""
    classifier: Annotated[Words, _each_once("classifier")] = ()
    """The classifier that is explained; by default the bundled one of the data. Each is a task of its own."""
    layer: str | None = None
    """Where to cut the classifier into body and head, as of `rather explain`, and so are the next four."""
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    preprocessing: Preprocessing = NOTHING_SAID
    classes: tuple[str, ...] | None = None
    output: Output = "logits"
    second_classifier: str | None = None
    """Another classifier of the same images, which neither is explained nor takes part, for `transfer` and flips."""
    oracle: str | None = None
    """A net that predicts attributes of images."""
    attribute: str | None = None
    """The attribute that separates the classifier's second class from its first, by the oracle's name for it. With it
    the oracle is the second classifier, if none is named."""
    features: str | None = None
    """The net in whose features realism is measured: `squeezenet`, `inception:FILE` with the weights of FID's net, or
    a classifier; by default the second classifier, or the oracle's net."""
    encoder: str | None = None
    """A net that was trained without classes, in which S3 compares pictures."""
    autoencoders: str | None = None
    """An autoencoder of each class and one of all, for IM1 and IM2."""
    filter: str | None = None
    """A diffusion model, for `robustness_filter`."""
    references: str | None = None
    """As of `rather explain`, and so are all below."""
    generator: Words = ()
    """Several, of which each method takes the first that is of its kind."""
    denoiser: str | None = None
    latent: str | None = None
    target: str | None = None
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    count: PositiveInt | None = None

    @property
    def name(self) -> str:
        """What it is called, by the methods that are only for it."""
        return self.label or self.data

    @property
    def tasks(self) -> dict[str, str | None]:
        """The classifier of each task, by the task's name; None for the bundled one."""
        if len(self.classifier) > 1:
            return {f"{self.name}, {one}": one for one in self.classifier}
        return {self.name: next(iter(self.classifier), None)}

    def as_far_as_given(self) -> AskedData:
        """Without the nets whose `{NAME}` is not given: whatever needs them is skipped."""
        kept = {
            name: tuple(one for one in value if not missing(one)) if isinstance(value, tuple) else None
            for name, value in self
            if name not in {"data", "label", "classifier", "classes"} and missing(str(value))
        }
        return self.model_copy(update=kept)


@final
class Spec(Part):
    """A benchmark."""

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    """Letters, digits, `.`, `_` and `-`: it names a folder."""
    what: str = ""
    """A line on what it shows."""
    methods: Annotated[tuple[Asked, ...], _each_once("methods", lambda one: [one.name], _LABEL)] = Field(min_length=1)
    data: Annotated[tuple[AskedData, ...], _each_once("data", lambda one: one.tasks, _LABEL)] = Field(min_length=1)
    seeds: Annotated[tuple[Seed, ...], _each_once("seeds")] = Field((0,), min_length=1)
    """Of the methods' random numbers; images and targets are the same for all seeds."""
    target: str = "nearest"
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    count: PositiveInt = 12
    """Images of each data set, evenly spread."""
    batch_size: PositiveInt = 32
    metrics: Annotated[tuple[str, ...], _each_once("metrics")] = ()
    """Names of metrics, see `rather list metrics`, or FILE.py:FUNCTION; by default all that can be computed."""

    @field_validator("metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = list_metrics() | METRICS | theirs("rather.metrics")
        for name in names:
            if name not in known and not is_code(name):
                raise RatherError("CFG-SETTING", where=f"metrics {name}", why="unknown", do=_instead(name, known))
        return names


def read_spec(name: str, given: Mapping[str, str] | None = None) -> Spec:
    """The benchmark of a file, or of the package.

    Args:
        name: of a benchmark of the package (`list_benches`), or a file's path.
        given: what stands for each `{NAME}` of the file, such as folders of data; what is not given stays,
            and whatever needs it is skipped.

    Raises:
        RatherError: CFG-FILE, CFG-SETTING with the nearest name, or CFG-UNKNOWN for a method.
    """
    file = bench_file(name)
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise RatherError(
            "CFG-UNKNOWN", where=f"benchmark {name}", do=did_you_mean(name, [*list_benches(), "SPEC.toml"])
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RatherError("CFG-FILE", where=file, why=str(error)) from None
    given = dict(given or {})
    unused = given.keys() - set(_places(content))
    if unused:
        name = min(unused)
        raise RatherError("CFG-OPTIONS", where=f"--with {name}", why=f"{file.name} has no {{{name}}}")
    try:
        spec = Spec(**_filled(content, given))
    except ValidationError as error:
        raise _refusal(error, file) from None
    known = {asked.name for asked in spec.data}
    for method in spec.methods:
        _ = method.column  # a name that does not exist is refused before anything is computed
        for label in method.only:
            if label not in known:
                raise RatherError(
                    "CFG-SETTING", where=f"methods {method.name}: only {label}", do=did_you_mean(label, known)
                )
    return spec


def missing(text: str) -> list[str]:
    """The names that are still to be given.

    >>> missing("celeba:{celeba}")
    ['celeba']
    """
    return _PLACE.findall(text)


def _places(content: object) -> list[str]:
    match content:
        case str():
            return missing(content)
        case dict():
            return [name for value in content.values() for name in _places(value)]
        case list():
            return [name for value in content for name in _places(value)]
        case _:
            return []


def _filled(content: Any, given: Mapping[str, str]) -> Any:
    match content:
        case str():
            return _PLACE.sub(lambda place: given.get(place[1], place[0]), content)
        case dict():
            return {key: _filled(value, given) for key, value in content.items()}
        case list():
            return [_filled(value, given) for value in content]
        case _:
            return content


def _refusal(error: ValidationError, file: Path) -> RatherError:
    """The first complaint, with the nearest name of the table that it is about."""
    place = error.errors()[0]["loc"]
    parts: dict[str, type[BaseModel]] = {"methods": AskedMethod, "data": AskedData}
    model = parts.get(str(place[0]), Spec) if len(place) > 1 else Spec
    refused = format_error(error, model, file.name)
    if error.errors()[0]["type"] != "extra_forbidden":
        return refused
    do = _instead(str(place[-1]), model.model_fields)
    return RatherError(refused.code, where=refused.where, why=refused.why, do=do)
