"""What faces_figures.py asks and whom: nets of a folder, queries, and answers that are kept once found."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from estimate import Estimate
from rather.classifiers import bring
from rather.core import Classifier, Goal, Images, Labels, Method, Resource
from rather.data import faces, load
from rather.data.faces import DrawnFaces
from rather.frozen_net import FrozenNet
from rather.generators import bring_generator
from rather.latent import LatentClassifiers
from rather.oracle import Oracle
from rather.references import References
from rather.resources import take_references

TOGETHER = 32  # rows in a batch; a batch that is done is kept
#: The classifiers of faces, and where each takes its pictures from.
DATA = {
    "faces-smile": "faces",
    "faces-age": "faces/age",
    "faces-age-glasses": "faces/age-glasses",
    "faces-age-top": "faces/age",
    "faces-age-middle": "faces/age",
    "faces-age-bottom": "faces/age",
}


class MissingError(Exception):
    """A net that is not trained yet."""


@dataclass(frozen=True)
class Nets:
    """The trained nets of a folder, each read once."""

    folder: Path
    known: dict[str, Any] = field(default_factory=dict)

    def classifier(self, name: str) -> Classifier:
        """One that sees pictures, if need be through latents."""
        return self._take(name, bring)

    def generator(self, name: str) -> Any:
        """A product of whatever kind."""
        return self._take(name, bring_generator)

    def latent(self, name: str) -> LatentClassifiers:
        """Classifiers of latents as such."""
        found = LatentClassifiers.of(self.classifier(name))
        assert found is not None
        return found

    def _take(self, name: str, how: Any) -> Any:
        file = self.folder / f"{name}.safetensors"
        if name not in self.known:
            if not file.is_file():
                raise MissingError(name)
            self.known[name] = how(str(file))
        return self.known[name]

    def read(self) -> dict[str, str]:
        """The sha256 of those that were asked for."""
        files = {name: self.folder / f"{name}.safetensors" for name in sorted(self.known)}
        return {name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for name, file in files.items()}


@dataclass(frozen=True)
class Queries:
    """Test faces, each to become what the classifier does not call it."""

    images: Images
    ids: tuple[str, ...]
    layouts: Tensor  # (n, h, w): the region that each pixel was drawn for
    target: Labels

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def of(cls, nets: Nets, classifier: str, rows: int) -> Queries:
        """The first of the test faces, whatever they are."""
        source = test_faces(classifier)
        at = range(min(rows, len(source)))
        images = torch.stack([source.read(i) for i in at])
        said = nets.classifier(classifier).probabilities(images).argmax(1)
        layouts = torch.stack([source.layout(i) for i in at])
        return cls(images, tuple(source.id(i) for i in at), layouts, 1 - said)

    def __getitem__(self, rows: slice) -> Queries:
        return Queries(self.images[rows], self.ids[rows], self.layouts[rows], self.target[rows])


@cache  # for it keeps what it has drawn
def test_faces(classifier: str) -> DrawnFaces:
    source = load(DATA[classifier]).test
    assert isinstance(source, DrawnFaces)
    return source


def train_faces(classifier: str) -> DrawnFaces:
    source = load(DATA[classifier]).train
    assert isinstance(source, DrawnFaces)
    return source


def references(nets: Nets, classifier: str) -> References:
    return take_references(train_faces(classifier), nets.classifier(classifier))


@dataclass(frozen=True)
class Answers:
    """Counterfactuals of queries, as far as the figures need them."""

    queries: Queries
    images: Images
    found: Tensor
    seconds: Tensor  # of processor time, of each row
    facts: Mapping[str, Sequence[Any]]
    pictures: Mapping[str, Tensor]  # reconstruction, path

    def __len__(self) -> int:
        return len(self.images)

    @property
    def start(self) -> Images:
        """Where the method began: its reconstruction of the queries, or the queries themselves."""
        return self.pictures.get("reconstruction", self.queries.images)


def explain(work: Path, method: Method, classifier: Classifier, queries: Queries) -> Answers:
    """Answers, batch by batch from the folder where they are there already, else found and put there."""
    parts = []
    whom = f"{method.name()} of {classifier.name}"
    key = _key(method, classifier)
    for start in range(0, len(queries), TOGETHER):
        some = queries[start : start + TOGETHER]
        told = _digest(key, some.ids, some.target.tolist(), eight_bits(some.images).numpy().tobytes())
        file = work / f"{method.name()}-{told}.pt"
        if not file.exists():
            _write(file, _explained(method, classifier, some))
        parts.append(torch.load(file, weights_only=True))
        done = torch.cat([part["found"] for part in parts])
        seconds = parts[-1]["seconds"].mean().item()
        print(
            f"  {whom}: {len(done)}/{len(queries)}, {int(done.sum())} at the goal, {seconds:.2f} s a row",
            flush=True,
        )
    return Answers(
        queries,
        torch.cat([part["images"] for part in parts]).float() / 255,
        torch.cat([part["found"] for part in parts]),
        torch.cat([part["seconds"] for part in parts]),
        {name: [row for part in parts for row in part["facts"][name]] for name in parts[0]["facts"]},
        {
            name: torch.cat([part["pictures"][name] for part in parts]).float() / 255
            for name in parts[0]["pictures"]
        },
    )


def _explained(method: Method, classifier: Classifier, queries: Queries) -> dict[str, Any]:
    began = time.process_time()
    c = method(classifier, queries.images, Goal.criticism(queries.target), ids=queries.ids)
    seconds = (time.process_time() - began) / len(queries)
    pictures = {name: torch.stack([*c.pictures[name]]) for name in kept_of(method) if name in c.pictures}
    return {
        "images": eight_bits(c.images),
        "found": c.found,
        "seconds": torch.full((len(queries),), seconds),
        "facts": {name: list(rows) for name, rows in c.facts.items()},
        "pictures": {name: eight_bits(images) for name, images in pictures.items()},
    }


def kept_of(method: Method) -> tuple[str, ...]:
    """Of the pictures that a method gives beside its answer; paths would fill the disk."""
    return ("path",) if method.name() == "exaggeration" else ("reconstruction",)


def eight_bits(images: Tensor) -> Tensor:
    return (images * 255).round().byte()


def _digest(*told: object) -> str:
    return hashlib.sha256(repr(told).encode()).hexdigest()[:20]


def _write(file: Path, what: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.with_suffix(".part")
    torch.save(what, whole)
    whole.replace(file)


def _key(method: Method, classifier: Classifier) -> str:
    """All that an answer depends on, but for the code outside of the method's own file."""
    source = Path(inspect.getfile(type(method))).read_text("utf-8")
    nets = [_told(value) for _, value in method if isinstance(value, Resource)]
    return json.dumps([method.settings(), classifier.fingerprint(), nets, source])


def _told(resource: Resource) -> str:
    match resource:
        case References():
            return resource.sha256
        case LatentClassifiers():
            return resource.classifier().fingerprint()
        case FrozenNet() | Classifier():
            return resource.fingerprint()
        case _:
            raise TypeError(type(resource))


def effects_of(work: Path, nets: Nets, name: str, rows: int) -> dict[str, faces.Effect]:
    """The true effects of every attribute on the second class, measured on test faces once."""
    classifier = nets.classifier(name)
    first = eight_bits(test_faces(name).read(0)).numpy().tobytes()  # changes with the code that draws
    told = _digest(classifier.fingerprint(), DATA[name], rows, first)
    file = work / f"effects-{told}.pt"
    if not file.exists():
        found = faces.effects(classifier, test_faces(name).faces[:rows], 1)
        _write(file, {key: tuple(effect) for key, effect in found.items()})
    return {key: faces.Effect(*each) for key, each in torch.load(file, weights_only=True).items()}


def oracle_features(oracle: Oracle, x: Images) -> Tensor:
    """What the oracle's last layer sees."""
    assert isinstance(oracle.net, torch.nn.Sequential)
    with torch.no_grad():
        return torch.cat([oracle.net[:-1](part).flatten(1) for part in x.split(256)])


def pack(values: Tensor) -> list[float] | None:
    """Mean, both ends of its interval and the number of rows, as JSON; of no rows None."""
    return _packed(Estimate.of(values)) if len(values) else None


def pack_resampled(count: int, statistic: Any) -> list[float] | None:
    """The same of a statistic of all rows; None where it is not defined."""
    return _packed(Estimate.resampled(count, statistic)) if count else None


def pack_jackknifed(count: int, statistic: Any) -> list[float] | None:
    """The same of a statistic of all rows that is biased in few."""
    return _packed(Estimate.jackknifed(count, statistic))


def _packed(e: Estimate) -> list[float] | None:
    return None if math.isnan(e.mean) else [e.mean, e.low, e.high, e.rows]
