"""The judges: the nets that measure answers, and what else is known about the images. No method sees any of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from rather.bench.spec import AskedData
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
from rather.metrics.features import FeatureNet, pooled
from rather.metrics.features.inception import Inception
from rather.metrics.features.squeezenet import SqueezeNet

GROUND: Final = "background"  # what a region that is no object is called
_POPULATION: Final = 2_000  # training images whose labels say what goes along with what
_TWO: Final = 2  # classes: without an attribute and with it
_DIFFERENT: Final = 64  # pictures, of whose pairs a hundredth are alike
_EFFECT_IMAGES: Final = 64  # of which each attribute is set, for its true effect
_F = TypeVar("_F", bound=FrozenNet)
_T = TypeVar("_T")
Pair = tuple[Source, Source]  # of queries and of distractors

#: Why there is no such judge, where nothing more can be said.
_MISSING: Final[Mapping[str, str]] = {
    "second_classifier": "no second classifier",
    "feature_net": "no net whose features measure",
    "alike": "it is not measured how alike different pictures are in these features",
    "encoder": "no encoder that was trained without classes",
    "autoencoders": "no autoencoders of the classes",
    "filter": "no diffusion model to filter by",
    "oracle": "no oracle of attributes",
    "queried": "the spec does not name the attribute that the classes are of",
    "labels": "the oracle's attributes are not known of these images",
    "effects": "the true effects are known of drawn faces only",
    "truth": "true counterfactuals are known of drawn faces only",
    "key_points_of": "no key points are known of queries and distractors",
    "objects_of": "it is not known which pixels of queries and distractors show the object",
}


def known(one: _T | None) -> _T:
    """A judge that is not missing."""
    if one is None:
        raise TypeError("a metric was asked for a judge that is missing")
    return one


@final
@dataclass(frozen=True, eq=False)
class Truth:
    """The true counterfactual: the same scene, with only the largest cause changed."""

    source: Source
    cause: str  # the attribute with the largest true effect
    rises: bool  # with more of it, the second class is likelier

    def images(self, ids: Sequence[str], second: Bool[Tensor, " b"]) -> Images:
        """Of scenes by their ids, towards the second class or the first."""
        return self.source.true_counterfactuals(self.source.find(ids), self.cause, second == self.rises)


@final
@dataclass(frozen=True, kw_only=True)
class Judges:
    """What measures the answers of all methods about one classifier; None for what is missing."""

    classifier: Classifier  # that is explained
    second_classifier: Classifier | None = None
    feature_net: FeatureNet | None = None
    alike: float | None = None  # the cosine of its features that hardly two different pictures exceed
    encoder: Encoder | None = None
    autoencoders: Classwise | None = None
    filter: Denoiser | None = None
    oracle: Oracle | None = None
    queried: int | None = None  # the oracle's attribute that tells the second class from the first
    labels: Float[Tensor, "n a"] | None = None  # of a training population, the oracle's attributes
    effects: Float[Tensor, " a"] | None = None  # true ones, of the same attributes on the classifier
    truth: Truth | None = None
    key_points_of: Pair | None = None  # if both know key points
    objects_of: Pair | None = None  # if both know which pixels show the object
    reasons: Mapping[str, str] = field(default_factory=dict)  # why something is missing that could have been here

    def lacks(self, need: str) -> str:
        """Why a need cannot be met, or nothing if it can."""
        return "" if getattr(self, need) is not None else self.reasons.get(need) or _MISSING[need]

    def named(self, need: str) -> str:
        """The name of the net that meets a need; nothing for what is no net."""
        return getattr(getattr(self, need), "name", None) or ""  # a tensor's name is None

    def for_classifier(self, classifier: Classifier) -> Judges:
        """The same for another classifier, whose true effects are not measured.

        A classifier that is explained measures nothing: whatever was made to deceive it does deceive it.
        """
        other = {} if classifier is self.classifier else {"effects": None, "truth": None}
        measures = {"second_classifier": "the second classifier", "feature_net": "the net whose features measure"}
        same = {
            name: f"{what} is the one that is explained"
            for name, what in measures.items()
            if isinstance(net := getattr(self, name), Classifier) and _same(net, classifier)
        }
        return replace(self, classifier=classifier, reasons={**self.reasons, **same}, **(other | dict.fromkeys(same)))

    def question(self) -> dict[str, Any]:
        """All of it that can change a score of a row, as plain data.

        Of the files of key points and masks it has the name of the data set alone: reading them takes too long. After
        an edit of such a file delete the scores that are kept, a run's `scores-*.parquet`.
        """
        named = ("second_classifier", "oracle", "feature_net", "encoder", "autoencoders", "filter")
        nets = {name: net for name in named if (net := getattr(self, name)) is not None}
        return {
            name: net.name if isinstance(net, SqueezeNet | Inception) else net.fingerprint()
            for name, net in nets.items()
        } | {
            "queried": self.queried,
            "alike": None if self.alike is None else round(self.alike, 6),
            "effects": None if self.effects is None else self.effects.tolist(),
            "truth": self.truth and [self.truth.cause, self.truth.rises],
            "key_points_of": self.key_points_of and [one.name for one in self.key_points_of],
            "objects_of": self.objects_of and [one.name for one in self.objects_of],
        }


def build_judges(
    classifier: Classifier, pictures: Dataset, asked: AskedData, *, kept: Path, trust: Sequence[str] = ()
) -> Judges:
    """The judges that a benchmark names for its data.

    Args:
        classifier: that is explained.
        pictures: on which.
        asked: the names of the judges.
        kept: a folder for true effects, which take a while to measure.
        trust: sha256 sums of code that may be run.

    Raises:
        RatherError: for a net that is missing or is of other images, MODEL-CLASSES for a second classifier that does
            not know all classes, or for such autoencoders; CFG-SETTING for an attribute that the oracle does not know.
    """
    oracle = asked.oracle and _of_images(asked.oracle, Oracle, classifier)
    queried = None if asked.attribute is None else _queried(asked.attribute, oracle or None, classifier)
    own = _of_oracle(oracle, queried, classifier) if oracle else None
    second = _second(asked.second_classifier, classifier, trust) if asked.second_classifier else None
    second = second or (None if queried is None else own)
    effects = _effects(oracle, classifier, pictures, kept) if oracle else None
    net = features_of(asked.features, classifier, trust) if asked.features else second or own
    places, reasons = _places(pictures, asked.references)
    judges = Judges(
        classifier=classifier,
        second_classifier=second,
        feature_net=net,
        alike=None if net is None else _alike(net, pictures),
        encoder=None if asked.encoder is None else _of_images(asked.encoder, Encoder, classifier),
        autoencoders=None if asked.autoencoders is None else _classwise(asked.autoencoders, classifier),
        filter=None if asked.filter is None else _of_images(asked.filter, Denoiser, classifier),
        oracle=oracle or None,
        queried=queried,
        labels=_labels(oracle, pictures) if oracle else None,
        effects=effects,
        truth=None if effects is None or not oracle else _truth(oracle, effects, pictures.test),
        key_points_of=places.get("key_points_of"),
        objects_of=places.get("objects_of"),
        reasons=reasons,
    )
    return judges.for_classifier(classifier)


def _places(pictures: Dataset, references: str | None) -> tuple[dict[str, Pair], dict[str, str]]:
    """Where key points and objects are looked up; or why they are not, though the data know them."""
    both = (pictures.test, pictures.references)
    knows = {
        "key_points_of": all(one.point_names for one in both),
        "objects_of": all(GROUND in one.regions for one in both),
    }
    places = {name: both for name, some in knows.items() if some}
    if references is None:
        return places, {}
    return {}, dict.fromkeys(places, f"distractors are of {references}, where no places are looked up")


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


def _queried(name: str, oracle: Oracle | None, classifier: Classifier) -> int:
    if oracle is None or name not in oracle.attributes or len(classifier.classes) != _TWO:
        why = f"known are {', '.join(oracle.attributes)}" if oracle else "there is no oracle"
        why = why if len(classifier.classes) == _TWO else "there are more than two classes"
        raise RatherError("CFG-SETTING", where=f"attribute {name}", why=why[:200])
    return oracle.attributes.index(name)


def _second(spec: str, classifier: Classifier, trust: Sequence[str]) -> Classifier:
    second = load_classifier(spec, trust=trust)
    check_same_images(classifier, second)  # the second classifier is what is wrong
    if not {*classifier.classes} <= {*second.classes}:
        raise RatherError(
            "MODEL-CLASSES",
            where=f"second classifier {second.name}: {', '.join(second.classes)}"[:200],
            why=f"{classifier.name} knows {', '.join(classifier.classes)}"[:200],
        )
    return second


def _of_oracle(oracle: Oracle, queried: int | None, classifier: Classifier) -> Classifier:
    """The oracle as a classifier: of its attribute, with the features that its last layer sees."""
    body: nn.Module = nn.Identity()
    rest: nn.Module = oracle.net
    if isinstance(oracle.net, nn.Sequential):
        cut = next((n for n, part in enumerate(oracle.net) if isinstance(part, nn.Flatten)), 0)
        body, rest = oracle.net[:cut], oracle.net[cut:]
    return Classifier(
        body,
        nn.Sequential(rest, _TwoClasses(queried or 0)),
        classes=classifier.classes if queried is not None else ("without", "with"),
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
        own = logits[:, self.attribute]
        return torch.stack([torch.zeros_like(own), own], 1)


def _labels(oracle: Oracle, pictures: Dataset) -> Tensor | None:
    source = pictures.references
    if source.attributes != oracle.attributes:
        return None
    return torch.stack([source.attribute_values(i) for i in range(min(len(source), _POPULATION))])


def features_of(spec: str, classifier: Classifier, trust: Sequence[str] = ()) -> FeatureNet:
    """The net of features of this name: `squeezenet`, `inception:FILE`, or a classifier of the same images."""
    kind, _, file = spec.partition(":")
    if spec == "squeezenet":
        return SqueezeNet()
    if kind == "inception":
        return Inception(file)
    net = load_classifier(spec, trust=trust)
    check_same_images(classifier, net)
    return net


def _alike(net: FeatureNet, pictures: Dataset) -> float:
    """The cosine of the features that one in a hundred pairs of different pictures exceeds."""
    x, _ = read_all(pictures.references, evenly_spaced(len(pictures.references), _DIFFERENT))
    features = F.normalize(pooled(net, x), dim=1)
    first, second = torch.triu_indices(len(x), len(x), 1)
    return float((features[first] * features[second]).sum(1).quantile(0.99))


def _effects(oracle: Oracle, classifier: Classifier, pictures: Dataset, kept: Path) -> Tensor | None:
    """The mean over some scenes of what setting an attribute adds to the log-odds of the second class."""
    source = pictures.test
    if not source.causes or source.attributes != oracle.attributes or len(classifier.classes) != _TWO:
        return None
    first = source.read(0).numpy().tobytes()  # changes with the code that draws
    question = f"{classifier.fingerprint()} {source.name} {_EFFECT_IMAGES}".encode() + first
    file = kept / f"effects-{hashlib.sha256(question).hexdigest()[:16]}.json"
    if not file.exists():
        with writing(kept):
            write_whole(file, json.dumps(source.true_effects(classifier, _EFFECT_IMAGES)).encode())
    means = json.loads(file.read_text("utf-8"))
    return torch.tensor([means[name] for name in oracle.attributes], dtype=torch.float64)


def _truth(oracle: Oracle, effects: Tensor, source: Source) -> Truth | None:
    largest = int(effects.abs().argmax())
    name = oracle.attributes[largest]
    return Truth(source, name, bool(effects[largest] > 0)) if name in source.causes else None
