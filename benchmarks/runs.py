"""What scripts of figures ask and whom: nets of a folder, queries, and answers that are kept once found."""

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
from typing import Any, Literal

import torch
from torch import Tensor

from estimate import Estimate
from rather.core import Classifier, Goal, Images, Labels, Method, Resource
from rather.data.source import Source
from rather.generators.ddpm import Denoiser
from rather.generators.frozen import FrozenNet
from rather.generators.oracle import Oracle
from rather.hub.checkpoints import read_classifier, save_classifier
from rather.hub.classifiers import load_classifier
from rather.hub.datasets import load_dataset
from rather.hub.generators import load_generator
from rather.hub.methods import build_method
from rather.hub.presets import expand, list_presets
from rather.hub.resources import resolve_references
from rather.latents.classifiers import LatentClassifiers
from rather.search.references import References
from rather.train import ClassifierRecipe, train_classifier
from rather.worlds import faces
from rather.worlds.faces import ATTRIBUTES, DrawnFaces

JUDGE = ClassifierRecipe(architecture="small", seed=1000)  # of digits
FEWEST = 8  # rows of which some can be left out
TOGETHER = 32  # rows in a batch; a batch that is done is kept
#: The classifiers of faces, and where each takes its pictures from; others are called as their data.
FACES = {
    "faces-smile": "faces",
    "faces-age": "faces/age",
    "faces-age-glasses": "faces/age-glasses",
    "faces-age-top": "faces/age",
    "faces-age-middle": "faces/age",
    "faces-age-bottom": "faces/age",
}
#: Of digits and of drawn faces, for whom the values of the papers are too small or too large.
TUNED = {"digits": "digits", **dict.fromkeys(FACES, "faces")}

Part = Literal["train", "test"]


class MissingError(Exception):
    """A net that is not trained yet."""


@dataclass(frozen=True)
class Nets:
    """The trained nets of a folder, each read once."""

    folder: Path
    known: dict[str, Any] = field(default_factory=dict)

    def classifier(self, name: str) -> Classifier:
        """One that sees pictures, if need be through latents."""
        return self._take(name, load_classifier)

    def generator(self, name: str) -> Any:
        """A product of whatever kind."""
        return self._take(name, load_generator)

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
    """Test images, each to become a class that the classifier does not see in it; of many a random one."""

    images: Images
    ids: tuple[str, ...]
    predicted: Labels
    target: Labels
    layouts: Tensor  # (n, h, w): the region that each pixel was drawn for; of what is not drawn all 0

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def of(cls, nets: Nets, classifier: str, rows: int, part: Part = "test") -> Queries:
        """The first images, whatever they are."""
        net, source = nets.classifier(classifier), images_of(classifier, part)
        at = range(min(rows, len(source)))
        images = torch.stack([source.read(i) for i in at])
        predicted = net.probabilities(images).argmax(1)
        count, draw = len(net.classes), torch.Generator().manual_seed(0)
        target = (predicted + torch.randint(1, count, (len(images),), generator=draw)) % count
        layouts = (
            torch.stack([source.layout(i) for i in at])
            if isinstance(source, DrawnFaces)
            else torch.zeros_like(images[:, 0], dtype=torch.long)
        )
        return cls(images, tuple(source.id(i) for i in at), predicted, target, layouts)

    def __getitem__(self, rows: slice) -> Queries:
        return Queries(self.images[rows], self.ids[rows], self.predicted[rows], self.target[rows], self.layouts[rows])


@cache  # for it keeps what it has drawn
def images_of(classifier: str, part: Part = "test") -> Source:
    data = load_dataset(FACES.get(classifier, classifier))
    source = data.train if part == "train" else data.test
    assert source is not None
    return source


def test_faces(classifier: str) -> DrawnFaces:
    source = images_of(classifier)
    assert isinstance(source, DrawnFaces)
    return source


@cache
def digits_judge(work: Path) -> Classifier:
    """Of another architecture and seed than all that methods use; trained, if the folder has none."""
    work.mkdir(parents=True, exist_ok=True)
    card, file = work / "judge.json", work / "judge.safetensors"
    if not file.exists():
        data = load_dataset("digits")
        assert data.train is not None
        classifier, figures = train_classifier(data.train, data.test, JUDGE, name="judge")
        save_classifier(file, classifier, architecture="small", card={})
        card.write_text(json.dumps(figures.card()), "utf-8")
    return read_classifier(file)


def train_faces(classifier: str) -> DrawnFaces:
    source = images_of(classifier, "train")
    assert isinstance(source, DrawnFaces)
    return source


def references(nets: Nets, classifier: str) -> References:
    return resolve_references(train_faces(classifier), nets.classifier(classifier))


@dataclass(frozen=True)
class Answers:
    """Counterfactuals of queries, as far as the figures need them."""

    queries: Queries
    images: Images
    found: Tensor
    seconds: Tensor  # of processor time, of each row
    evaluations: Tensor  # of the classifier
    info: Mapping[str, Sequence[Any]]
    pictures: Mapping[str, Tensor]  # reconstruction, path

    def __len__(self) -> int:
        return len(self.images)

    @property
    def start(self) -> Images:
        """Where the method began: its reconstruction of the queries, or the queries themselves."""
        return self.pictures.get("reconstruction", self.queries.images)


@dataclass(frozen=True)
class Asked:
    """What a section needs."""

    nets: Nets
    rows: int
    held_out: int
    work: Path
    sheets: Path  # where pictures go

    @property
    def few(self) -> int:
        """Rows for methods that take seconds for each."""
        return max(min(self.rows, 8), self.rows // 3)

    def explain(self, name: str, method: Method, rows: int, part: Part = "test") -> Answers:
        """A method's answers about a classifier."""
        queries = Queries.of(self.nets, name, rows, part)
        return explain(self.work, method, self.nets.classifier(name), queries)

    def oracle(self) -> Oracle:
        """Who reads attributes of pictures."""
        oracle = self.nets.generator("faces-oracle")
        assert isinstance(oracle, Oracle)
        assert oracle.attributes == tuple(ATTRIBUTES)
        return oracle

    def held(self, name: str) -> tuple[Images, Tensor]:
        """Test images and their labels, many at once."""
        source = images_of(name)
        at = range(min(self.held_out, len(source)))
        return torch.stack([source.read(i) for i in at]), torch.tensor([source.label(i) for i in at])


def tuned(method: str, nets: Nets, name: str, fast: str = "", **settings: Any) -> Method:
    """A diffusion method with the values for a classifier's images, or its own where there are none."""
    preset = f"{method}-{TUNED[name]}{fast}"
    plan = expand({"name": preset if preset in list_presets() else method} | settings)
    return build_method(plan, {"generator": denoiser(nets, name)})


def denoiser(nets: Nets, name: str) -> Denoiser:
    """Who knows the images that a classifier sees."""
    found = nets.generator("faces-ddpm" if name in FACES else "digits-ddpm")
    assert isinstance(found, Denoiser)
    return found


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
        print(f"  {whom}: {len(done)}/{len(queries)}, {int(done.sum())} at the goal, {seconds:.2f} s a row", flush=True)
    return Answers(
        queries,
        torch.cat([part["images"] for part in parts]).float() / 255,
        torch.cat([part["found"] for part in parts]),
        torch.cat([part["seconds"] for part in parts]),
        torch.cat([part["evaluations"] for part in parts]),
        {name: [row for part in parts for row in part["info"][name]] for name in parts[0]["info"]},
        {name: torch.cat([part["pictures"][name] for part in parts]).float() / 255 for name in parts[0]["pictures"]},
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
        "evaluations": c.evaluations,
        "info": {name: list(rows) for name, rows in c.info.items()},
        "pictures": {name: eight_bits(images) for name, images in pictures.items()},
    }


def kept_of(method: Method) -> tuple[str, ...]:
    """Of the pictures that a method gives beside its answer; paths would fill the disk."""
    match method.name():
        case "exaggeration":
            return ("path",)
        case "several":
            return ("answers",)
        case _:
            return ("reconstruction", "mask")


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
    inner = [_key(value, classifier) for _, value in method if isinstance(value, Method)]
    return json.dumps([method.settings(), classifier.fingerprint(), nets, source, *inner])


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
    told = _digest(classifier.fingerprint(), FACES[name], rows, first)
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
    """The same of a statistic of all rows that is biased in few; None of too few to leave some out."""
    return _packed(Estimate.jackknifed(count, statistic)) if count >= FEWEST else None


def _packed(e: Estimate) -> list[float] | None:
    return None if math.isnan(e.mean) else [e.mean, e.low, e.high, e.rows]
