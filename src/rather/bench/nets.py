"""The nets that measure, and what else is known of the images: none of it is seen by a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from rather.classifiers import bring
from rather.core import Classifier
from rather.data import DataSet
from rather.data.faces import DrawnFaces, effects
from rather.errors import RatherError
from rather.generators import bring_generator
from rather.generators._file import expected
from rather.oracle import Oracle

_POPULATION: Final = 2_000  # training images whose labels say what goes along with what
_TWO: Final = 2  # classes: without an attribute and with it
_FACES: Final = 64  # of which each attribute is set, for its true effect


@final
@dataclass(frozen=True, kw_only=True)
class Nets:
    """What measures the answers of all methods about one classifier; None for what there is not."""

    classifier: Classifier  # that is explained
    judge: Classifier | None = None
    features: Classifier | None = None
    oracle: Oracle | None = None
    attribute: int | None = None  # of the oracle: what tells the second class from the first
    labels: Float[Tensor, "n a"] | None = None  # of a training population, the oracle's attributes
    effects: Float[Tensor, " a"] | None = None  # true ones, of the same attributes on the classifier

    def lacks(self, need: str) -> str:
        """Why a need cannot be met, or nothing if it can."""
        if getattr(self, need) is not None:
            return ""
        return {
            "judge": "no second classifier",
            "features": "no net whose features measure",
            "oracle": "no oracle of attributes",
            "attribute": "nobody says which attribute the classes are of",
            "labels": "the oracle's attributes are not known of these images",
            "effects": "the true effects of attributes are known of drawn faces only",
        }[need]

    def explaining(self, classifier: Classifier) -> Nets:
        """The same for another classifier: of which nobody has measured the true effects."""
        return self if classifier is self.classifier else replace(self, classifier=classifier, effects=None)

    def question(self) -> dict[str, Any]:
        """All of it that can change a score of a row, as plain data."""
        nets = {"judge": self.judge, "features": self.features, "oracle": self.oracle}
        return {name: net.fingerprint() for name, net in nets.items() if net is not None} | {
            "attribute": self.attribute
        }


def nets_of(
    classifier: Classifier,
    pictures: DataSet,
    *,
    judge: str | None = None,
    features: str | None = None,
    oracle: str | None = None,
    attribute: str | None = None,
) -> Nets:
    """The nets that a benchmark names for its data, see `spec.AskedData`.

    Raises:
        RatherError: for a net that is not there or is of other images, MODEL-CLASSES for a judge that knows
            not all classes, CFG-SETTING for an attribute that the oracle does not know.
    """
    reader = None if oracle is None else expected(bring_generator(oracle), Oracle)
    place = None if attribute is None else _attribute(attribute, reader, classifier)
    own = reader and _of_oracle(reader, place, classifier)
    second = _judge(judge, classifier) if judge else own if place is not None else None
    return Nets(
        classifier=classifier,
        judge=second,
        features=_same_images(bring(features), classifier) if features else second or own,
        oracle=reader,
        attribute=place,
        labels=reader and _labels(reader, pictures),
        effects=reader and _effects(reader, classifier, pictures),
    )


def _attribute(name: str, oracle: Oracle | None, classifier: Classifier) -> int:
    if oracle is None or name not in oracle.attributes or len(classifier.classes) != _TWO:
        why = f"known are {', '.join(oracle.attributes)}" if oracle else "there is no oracle"
        why = why if len(classifier.classes) == _TWO else "there are more than two classes"
        raise RatherError("CFG-SETTING", where=f"attribute {name}", why=why[:200])
    return oracle.attributes.index(name)


def _judge(spec: str, classifier: Classifier) -> Classifier:
    judge = _same_images(bring(spec), classifier)
    if not {*classifier.classes} <= {*judge.classes}:
        raise RatherError(
            "MODEL-CLASSES",
            where=f"judge {judge.name}: {', '.join(judge.classes)}"[:200],
            why=f"{classifier.name} knows {', '.join(classifier.classes)}"[:200],
        )
    return judge


def _same_images(net: Classifier, classifier: Classifier) -> Classifier:
    if net.shape != classifier.shape:
        raise RatherError(
            "DATA-SHAPE",
            where=f"{net.name} takes {net.shape}",
            why=f"{classifier.name} takes {classifier.shape}",
        )
    return net


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


def _labels(oracle: Oracle, pictures: DataSet) -> Tensor | None:
    source = pictures.references
    if source.attributes != oracle.attributes:
        return None
    return torch.stack([source.attribute_values(i) for i in range(min(len(source), _POPULATION))])


def _effects(oracle: Oracle, classifier: Classifier, pictures: DataSet) -> Tensor | None:
    """The mean over some faces of what setting an attribute adds to the log-odds of the second class."""
    source = pictures.test
    if (
        not isinstance(source, DrawnFaces)
        or source.attributes != oracle.attributes
        or len(classifier.classes) != _TWO
    ):
        return None
    found: Mapping[str, Any] = effects(classifier, source.faces[:_FACES], 1)
    return torch.stack([found[name].log_odds.mean() for name in oracle.attributes])
