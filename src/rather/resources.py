"""What a method needs beside its settings: which of it a plan wants, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, final

import torch
from pydantic.fields import FieldInfo

from rather.autoencoder import Bundled
from rather.bundled import list_weights
from rather.classifiers import bring
from rather.core import Classifier, Resource
from rather.data import DataSet, Source, list_data, load, read_all
from rather.data.folder import Folder
from rather.errors import RatherError
from rather.latent import LatentClassifiers
from rather.methods import method_class
from rather.presets import Plan, wrapped
from rather.references import References

if TYPE_CHECKING:
    from rather.autoencoder import Autoencoder

#: Fields of methods that `resources` of `methods.build` fills.
NAMES: Final = frozenset({"references", "generator", "latent", "oracle"})
REFERENCES: Final = 2_000  # of them at most, evenly spread over the reference part of the data
DIGITS: Final = (1, 28, 28), tuple("0123456789")  # what the bundled generators know: shape and classes
#: The nets for digits that come with the package, for methods that do not say `Bundled`.
_BUNDLED: Final = {"generator": "digits-vae", "latent": "digits-latent"}


class Want(NamedTuple):
    """A field of a method that is to be filled."""

    name: str  # one of `NAMES`
    bundled: str | None  # what fills it by default, where the classifier is one of digits


def wanted(plan: Plan) -> frozenset[Want]:
    """What a plan's method, or one that it wraps, has a field for."""
    fields = method_class(str(plan["name"])).model_fields
    own = {Want(name, _bundled(name, field)) for name, field in fields.items() if name in NAMES}
    return frozenset(own).union(*(wanted(inner) for inner in wrapped(plan).values()))


def _bundled(name: str, field: FieldInfo) -> str | None:
    """The net of the method's own kind, where the package has it."""
    own = next((one.name for one in field.metadata if isinstance(one, Bundled)), None)
    return own if own in list_weights("generator") else _BUNDLED.get(name)


@final
@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where resources come from, as somebody asked for them; None for what is nearest at hand."""

    pictures: DataSet  # that are explained
    references: str | None = None  # a data set's name or a folder
    generator: str | None = None  # a name or a file
    latent: str | None = None
    oracle: str | None = None  # None for none
    trust: Sequence[str] = ()

    def take(self, want: Want, classifier: Classifier) -> Resource | None:
        """What fills this field of methods that explain this classifier; None for an oracle not asked for."""
        match want.name:
            case "references":
                return self._references(classifier)
            case "generator":
                return take_generator(self.generator, classifier, want.bundled)
            case "latent":
                return take_latent(self.latent, classifier, self.trust, want.bundled)
            case _:
                return None if self.oracle is None else take_oracle(self.oracle, classifier, self.trust)

    def _references(self, net: Classifier) -> References:
        # A bundled net knows pictures like its own; a person's few pictures rarely show every class.
        own = isinstance(self.pictures.test, Folder)
        near = self.references or (net.name if own and net.name in list_data() else None)
        others = load(near, shape=net.shape) if near else self.pictures
        return take_references(others.references, net)


def spread(length: int, count: int) -> list[int]:
    """`count` indices, evenly spread over `length`, or all of them.

    >>> spread(10, 4)
    [0, 2, 5, 7]
    """
    return [n * length // count for n in range(count)] if count < length else list(range(length))


def take_references(source: Source, classifier: Classifier) -> References:
    """At most 2,000 images of a source, evenly spread, with their labels in the classifier's order."""
    images, indices = read_all(source, spread(len(source), REFERENCES))
    labels = [source.label(i) for i in indices]
    names = [None if label is None else source.classes[label] for label in labels]
    known = all(name in classifier.classes for name in names)
    return References(
        images=images,
        ids=tuple(source.id(i) for i in indices),
        labels=torch.tensor([classifier.class_index(str(name)) for name in names]) if known else None,
        name=source.name,
    )


def take_generator(
    spec: str | None, classifier: Classifier, bundled: str | None = _BUNDLED["generator"]
) -> Autoencoder:
    """The generator of this name or file; by default the one that the classifier sees through, or digits'.

    Args:
        spec: a name or a file; None for the default.
        classifier: that is explained.
        bundled: what digits get by default.

    Raises:
        RatherError: GEN-MISSING if there is no default, or what `generators.bring_generator` raises.
    """
    from rather.generators import bring_generator

    latent = LatentClassifiers.of(classifier)
    if spec is None and latent is not None:
        return latent.autoencoder
    spec = spec or _of_digits(bundled, classifier)
    if spec is None:
        raise RatherError(
            "GEN-MISSING",
            where=f"none comes with the package for {classifier.name}",
            do="Train one: rather train vae --data FOLDER --out FILE, and give it: --generator FILE",
        )
    return bring_generator(spec)


def take_latent(
    spec: str | None,
    classifier: Classifier,
    trust: Sequence[str] = (),
    bundled: str | None = _BUNDLED["latent"],
) -> LatentClassifiers:
    """The classifiers of latents of this name or file; by default what the classifier is made of, or digits'.

    Args:
        spec: a name or a file; None for the default.
        classifier: that is explained.
        trust: sha256 sums of code that may be run.
        bundled: what digits get by default.

    Raises:
        RatherError: GEN-MISSING if there is no default, GEN-NOT-FOUND if what is there sees images, not
            latents, MODEL-CLASSES if its classes are not the classifier's, or what `bring` raises.
    """
    own = LatentClassifiers.of(classifier)
    if spec is None and own is not None:
        return own
    spec = spec or _of_digits(bundled, classifier)
    if spec is None:
        raise RatherError(
            "GEN-MISSING",
            where=f"no classifiers of latents come with the package for {classifier.name}",
            do="Train them: rather train latent-classifier --help, and give the file: --latent FILE",
        )
    latent = LatentClassifiers.of(bring(spec, trust=trust))
    if latent is None:
        raise RatherError(
            "GEN-NOT-FOUND",
            where=f"--latent {spec}",
            why="a classifier that sees images, not latents",
            do="Give a file of rather train latent-classifier",
        )
    if latent.classes != classifier.classes:
        raise RatherError(
            "MODEL-CLASSES",
            where=f"--latent {latent.name}: {', '.join(latent.classes)}",
            why=f"{classifier.name} knows {', '.join(classifier.classes)}"[:200],
        )
    return latent


def take_oracle(spec: str, classifier: Classifier, trust: Sequence[str] = ()) -> Classifier:
    """Another classifier of the same images.

    Raises:
        RatherError: DATA-SHAPE if its images are others, or what `bring` raises.
    """
    oracle = bring(spec, trust=trust)
    if oracle.shape != classifier.shape:
        raise RatherError(
            "DATA-SHAPE",
            where=f"--oracle {spec} takes {oracle.shape}",
            why=f"{classifier.name} takes {classifier.shape}",
        )
    return oracle


def _of_digits(bundled: str | None, classifier: Classifier) -> str | None:
    """This net, if the package has it and the classifier's images and classes are those of digits."""
    known = list_weights("generator", "latent-classifier")
    return bundled if bundled in known and (classifier.shape, classifier.classes) == DIGITS else None
