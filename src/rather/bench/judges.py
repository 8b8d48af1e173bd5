"""The nets that measure, and what else is known of the images: none of it is seen by a method."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.bench.places import GROUND
from rather.config.errors import RatherError
from rather.core import Classifier, Images
from rather.data.source import Dataset, Source, read_all
from rather.generators.classwise import Classwise
from rather.generators.ddpm import Denoiser
from rather.generators.frozen import FrozenNet
from rather.generators.oracle import Oracle
from rather.generators.simsiam import Encoder
from rather.hub.checkpoints import require_kind
from rather.hub.classifiers import check_same_images, load_classifier
from rather.hub.generators import load_generator
from rather.hub.resources import evenly_spaced
from rather.io.writing import write_whole, writing
from rather.metrics.features import pooled
from rather.metrics.features.inception import Inception
from rather.metrics.features.squeezenet import SqueezeNet
from rather.worlds import WORLDS
from rather.worlds.faces import DrawnFaces
from rather.worlds.faces import effects as measured_effects
from rather.worlds.faces.attributes import HAIR_COLOURS

_POPULATION: Final = 2_000  # training images whose labels say what goes along with what
_TWO: Final = 2  # classes: without an attribute and with it
_DIFFERENT: Final = 64  # pictures, of whose pairs a hundredth are alike
_FACES: Final = 64  # of which each attribute is set, for its true effect
_F = TypeVar("_F", bound=FrozenNet)
Pair = tuple[Source, Source]  # of queries and of distractors


@final
@dataclass(frozen=True, eq=False)
class Truth:
    """The true counterfactual of a drawn face: the same face, with only the largest cause changed."""

    source: DrawnFaces
    cause: str  # the attribute with the largest true effect
    rises: bool  # with more of it, the second class is likelier

    def images(self, ids: Sequence[str], second: Bool[Tensor, " b"]) -> Images:
        """Of faces by their ids, towards the second class or the first."""
        some, world = self.source.faces[self.source.find(ids)], WORLDS["faces"]
        return world.draw(world.turn(some, self.cause, second == self.rises))


@final
@dataclass(frozen=True, kw_only=True)
class Nets:
    """What measures the answers of all methods about one classifier; None for what there is not."""

    classifier: Classifier  # that is explained
    judge: Classifier | None = None
    features: Classifier | SqueezeNet | Inception | None = None
    alike: float = math.nan  # the cosine of its features that hardly two different pictures exceed
    encoder: Encoder | None = None
    autoencoders: Classwise | None = None
    filter: Denoiser | None = None
    oracle: Oracle | None = None
    attribute: int | None = None  # of the oracle: what tells the second class from the first
    labels: Float[Tensor, "n a"] | None = None  # of a training population, the oracle's attributes
    effects: Float[Tensor, " a"] | None = None  # true ones, of the same attributes on the classifier
    truth: Truth | None = None  # what true counterfactuals are like
    key_points_of: Pair | None = None  # if both know key points
    objects_of: Pair | None = None  # if both know which pixels show the object
    reasons: Mapping[str, str] = field(default_factory=dict)  # why there is not what there could have been

    def lacks(self, need: str) -> str:
        """Why a need cannot be met, or nothing if it can."""
        if getattr(self, need) is not None:
            return ""
        return (
            self.reasons.get(need)
            or {
                "judge": "no second classifier",
                "features": "no net whose features measure",
                "encoder": "no encoder that was told no classes",
                "autoencoders": "no autoencoders of the classes",
                "filter": "no diffusion model to filter by",
                "oracle": "no oracle of attributes",
                "attribute": "nobody says which attribute the classes are of",
                "labels": "the oracle's attributes are not known of these images",
                "effects": "the true effects are known of drawn faces only",
                "truth": "true counterfactuals are known of drawn faces only",
                "key_points_of": "no key points are known of queries and distractors",
                "objects_of": "nobody knows which pixels of queries and distractors show the object",
            }[need]
        )

    def named(self, need: str) -> str:
        """What the net that meets a need is called; nothing of what is no net."""
        return getattr(getattr(self, need), "name", None) or ""  # a tensor's name is None

    def explaining(self, classifier: Classifier) -> Nets:
        """The same for another classifier: of which nobody has measured the true effects.

        Whoever is explained measures nothing: it believes all that has been made to deceive it.
        """
        other = {} if classifier is self.classifier else {"effects": None, "truth": None}
        measures = {"judge": "the judge", "features": "the net whose features measure"}
        mine = {
            name: f"{told} is the one that is explained"
            for name, told in measures.items()
            if isinstance(net := getattr(self, name), Classifier) and _same(net, classifier)
        }
        return replace(self, classifier=classifier, reasons={**self.reasons, **mine}, **(other | dict.fromkeys(mine)))

    def question(self) -> dict[str, Any]:
        """All of it that can change a score of a row, as plain data.

        But for the files of key points and masks, of which it tells the data set alone: to read them takes
        too long. Whoever edits such a file must delete the scores that are kept, a run's `scores-*.parquet`.
        """
        named = ("judge", "oracle", "features", "encoder", "autoencoders", "filter")
        nets = {name: getattr(self, name) for name in named}
        return {
            name: net.name if isinstance(net, SqueezeNet | Inception) else net.fingerprint()
            for name, net in nets.items()
            if net is not None
        } | {
            "attribute": self.attribute,
            "truth": self.truth and [self.truth.cause, self.truth.rises],
            "key_points_of": self.key_points_of and [one.name for one in self.key_points_of],
            "objects_of": self.objects_of and [one.name for one in self.objects_of],
        }


def nets_of(
    classifier: Classifier,
    pictures: Dataset,
    *,
    kept: Path,
    judge: str | None = None,
    features: str | None = None,
    oracle: str | None = None,
    attribute: str | None = None,
    encoder: str | None = None,
    autoencoders: str | None = None,
    filter: str | None = None,  # noqa: A002 - as the spec has it
    references: str | None = None,
    trust: Sequence[str] = (),
) -> Nets:
    """The nets that a benchmark names for its data, see `spec.AskedData`.

    Args:
        classifier: that is explained.
        pictures: on which.
        kept: a folder for true effects, which take a while to measure.
        judge: as the spec has it, and so are the others.
        features: by default the judge; `squeezenet`, `inception:FILE` or a classifier.
        oracle: of attributes.
        attribute: of the classes.
        encoder: that was told no classes.
        autoencoders: of the classes, and of all of them.
        filter: a diffusion model.
        references: where distractors are from, if not from `artifacts`: no places are looked up there.
        trust: sha256 sums of code that may be run.

    Raises:
        RatherError: for a net that is not there or is of other images, MODEL-CLASSES for a judge that knows
            not all classes, or for such autoencoders; CFG-SETTING for an attribute that the oracle does not
            know.
    """
    reader = None if oracle is None else _of_images(oracle, Oracle, classifier)
    place = None if attribute is None else _attribute(attribute, reader, classifier)
    own = reader and _of_oracle(reader, place, classifier)
    second = _judge(judge, classifier, trust) if judge else own if place is not None else None
    effects = reader and _effects(reader, classifier, pictures, kept)
    net = _features(features, classifier, trust) if features else second or own
    known, reasons = _places(pictures, references)
    nets = Nets(
        classifier=classifier,
        judge=second,
        features=net,
        alike=math.nan if net is None else _alike(net, pictures),
        encoder=None if encoder is None else _of_images(encoder, Encoder, classifier),
        autoencoders=None if autoencoders is None else _classwise(autoencoders, classifier),
        filter=None if filter is None else _of_images(filter, Denoiser, classifier),
        oracle=reader,
        attribute=place,
        labels=reader and _labels(reader, pictures),
        effects=effects,
        truth=None if effects is None or reader is None else _truth(reader, effects, pictures),
        key_points_of=known.get("key_points_of"),
        objects_of=known.get("objects_of"),
        reasons=reasons,
    )
    return nets.explaining(classifier)


def _places(pictures: Dataset, references: str | None) -> tuple[dict[str, Pair], dict[str, str]]:
    """Where key points and objects are looked up; or why they are not, though the data know them."""
    both = (pictures.test, pictures.references)
    knows = {
        "key_points_of": all(one.point_names for one in both),
        "objects_of": all(GROUND in one.regions for one in both),
    }
    known = {name: both for name, some in knows.items() if some}
    if references is None:
        return known, {}
    return {}, dict.fromkeys(known, f"distractors are of {references}, where no places are looked up")


def _of_images(name: str, kind: type[_F], classifier: Classifier) -> _F:
    """A net of a kind, of the same images as the classifier."""
    net = require_kind(load_generator(name), kind)
    net.check_images(classifier)
    return net


def _classwise(name: str, classifier: Classifier) -> Classwise:
    net = _of_images(name, Classwise, classifier)
    net.of(classifier.classes)  # it knows all of them
    return net


def _same(one: Classifier, other: Classifier) -> bool:
    return one is other or one.fingerprint() == other.fingerprint()


def _attribute(name: str, oracle: Oracle | None, classifier: Classifier) -> int:
    if oracle is None or name not in oracle.attributes or len(classifier.classes) != _TWO:
        why = f"known are {', '.join(oracle.attributes)}" if oracle else "there is no oracle"
        why = why if len(classifier.classes) == _TWO else "there are more than two classes"
        raise RatherError("CFG-SETTING", where=f"attribute {name}", why=why[:200])
    return oracle.attributes.index(name)


def _judge(spec: str, classifier: Classifier, trust: Sequence[str]) -> Classifier:
    judge = load_classifier(spec, trust=trust)
    check_same_images(classifier, judge)  # the judge is what is wrong
    if not {*classifier.classes} <= {*judge.classes}:
        raise RatherError(
            "MODEL-CLASSES",
            where=f"judge {judge.name}: {', '.join(judge.classes)}"[:200],
            why=f"{classifier.name} knows {', '.join(classifier.classes)}"[:200],
        )
    return judge


def _of_oracle(oracle: Oracle, attribute: int | None, classifier: Classifier) -> Classifier:
    """The oracle as a classifier: of its attribute, with the features that its last layer sees."""
    body: nn.Module = nn.Identity()
    rest: nn.Module = oracle.net
    if isinstance(oracle.net, nn.Sequential):
        cut = next((n for n, part in enumerate(oracle.net) if isinstance(part, nn.Flatten)), 0)
        body, rest = oracle.net[:cut], oracle.net[cut:]
    return Classifier(
        body,
        nn.Sequential(rest, _TwoClasses(attribute or 0)),
        classes=classifier.classes if attribute is not None else ("without", "with"),
        shape=oracle.shape,
        name=oracle.name,
    )


@final
class _TwoClasses(nn.Module):
    """The logit of one attribute as those of two classes."""

    def __init__(self, attribute: int) -> None:
        super().__init__()
        self.attribute = attribute

    @override
    def forward(self, logits: Float[Tensor, "b a"]) -> Float[Tensor, "b 2"]:
        mine = logits[:, self.attribute]
        return torch.stack([torch.zeros_like(mine), mine], 1)


def _labels(oracle: Oracle, pictures: Dataset) -> Tensor | None:
    source = pictures.references
    if source.attributes != oracle.attributes:
        return None
    return torch.stack([source.attribute_values(i) for i in range(min(len(source), _POPULATION))])


def _features(spec: str, classifier: Classifier, trust: Sequence[str]) -> Classifier | SqueezeNet | Inception:
    kind, _, file = spec.partition(":")
    if spec == "squeezenet":
        return SqueezeNet()
    if kind == "inception":
        return Inception(file)
    net = load_classifier(spec, trust=trust)
    check_same_images(classifier, net)
    return net


def _alike(net: Classifier | SqueezeNet | Inception, pictures: Dataset) -> float:
    """The cosine of the features that one in a hundred pairs of different pictures exceeds."""
    x, _ = read_all(pictures.references, evenly_spaced(len(pictures.references), _DIFFERENT))
    features = F.normalize(pooled(net, x), dim=1)
    first, second = torch.triu_indices(len(x), len(x), 1)
    return float((features[first] * features[second]).sum(1).quantile(0.99))


def _effects(oracle: Oracle, classifier: Classifier, pictures: Dataset, kept: Path) -> Tensor | None:
    """The mean over some faces of what setting an attribute adds to the log-odds of the second class."""
    source = pictures.test
    if not isinstance(source, DrawnFaces) or source.attributes != oracle.attributes:
        return None
    if len(classifier.classes) != _TWO:
        return None
    first = source.read(0).numpy().tobytes()  # changes with the code that draws
    told = f"{classifier.fingerprint()} {source.name} {_FACES}".encode() + first
    file = kept / f"effects-{hashlib.sha256(told).hexdigest()[:16]}.json"
    if not file.exists():
        found = measured_effects(classifier, source.faces[:_FACES], 1)
        with writing(kept):
            means = {name: float(effect.log_odds.mean()) for name, effect in found.items()}
            write_whole(file, json.dumps(means).encode())
    means = json.loads(file.read_text("utf-8"))
    return torch.tensor([means[name] for name in oracle.attributes], dtype=torch.float64)


def _truth(oracle: Oracle, effects: Tensor, pictures: Dataset) -> Truth | None:
    cause = int(effects.abs().argmax())
    name = oracle.attributes[cause]
    if not isinstance(pictures.test, DrawnFaces) or name in HAIR_COLOURS:
        return None  # taking a hair colour away is giving another: there is no one truth
    return Truth(pictures.test, name, bool(effects[cause] > 0))
