"""What methods need besides plain settings: which of it a plan requires, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, final, get_args

import torch
from pydantic.fields import FieldInfo

from rather.config.errors import RatherError
from rather.config.pictures import NO_OPTIONS, PictureOptions
from rather.core import Classifier, Resource
from rather.data.folder import Folder
from rather.data.source import Dataset, Source, read_all
from rather.generators.autoencoder import Autoencoder
from rather.generators.frozen import Bundled, FrozenNet
from rather.hub.classifiers import classifier_of, load_classifier
from rather.hub.datasets import list_datasets, load_dataset
from rather.hub.methods import method_class
from rather.hub.presets import Plan, wrapped
from rather.io.bundled import list_weights
from rather.latents.classifiers import LatentClassifiers
from rather.search.references import References

#: Fields of methods that the options of the same names fill.
NAMES: Final = frozenset({"references", "generator", "denoiser", "latent", "second_classifier"})
REFERENCES: Final = 2_000  # of them at most, evenly spaced over the reference part of the data
#: What the bundled nets know: the shape of their images, and the classes that classifiers of them may have.
FAMILIES: Final[Mapping[str, tuple[tuple[int, int, int], Sequence[tuple[str, ...]]]]] = {
    "digits": ((1, 28, 28), [tuple("0123456789")]),
    "faces": ((3, 64, 64), [("not smiling", "smiling"), ("young", "old"), ("both or neither", "smile or hat")]),
}


class Requirement(NamedTuple):
    """A field of a method that has to be filled."""

    name: str  # one of `NAMES`
    kind: type[Resource]  # what fills it
    bundled: tuple[str, ...] = ()  # the kinds of bundled nets that do, the best first


#: Kinds of bundled nets that are not called as the type that they are of.
_USUAL: Final[Mapping[type, str]] = {Autoencoder: "vae", LatentClassifiers: "latent"}
#: The generator that most methods need.
AUTOENCODER: Final = Requirement("generator", Autoencoder, ("vae",))


def requirements(plan: Plan) -> frozenset[Requirement]:
    """What a plan's method, or one that it wraps, has a field for."""
    fields = method_class(str(plan["name"])).model_fields
    own = {_requirement(name, field) for name, field in fields.items() if name in NAMES}
    return frozenset(own).union(*(requirements(inner) for inner in wrapped(plan).values()))


def _requirement(name: str, field: FieldInfo) -> Requirement:
    kinds = get_args(field.annotation) or (field.annotation,)  # of `Classifier | None`, the first
    own = [one.kind for one in field.metadata if isinstance(one, Bundled)]
    usual = _USUAL.get(kinds[0], kinds[0].__name__.lower())
    return Requirement(name, kinds[0], (*own, usual))


def bundled_net(classifier: Classifier, kinds: Sequence[str]) -> str | None:
    """The bundled net of one of these kinds for a classifier: trained for itself, or of its images."""
    images = next(
        (
            name
            for name, (shape, classes) in FAMILIES.items()
            if classifier.shape == shape and classifier.classes in classes
        ),
        None,
    )
    found = bundled_nets(kinds, classifier.name, images) if images else []
    return found[0] if found else None


def bundled_nets(kinds: Sequence[str], *of: str) -> list[str]:
    """The bundled nets of the first of these kinds that exists, for each classifier or kind of images.

    Args:
        kinds: the best first.
        of: names of classifiers or of kinds of images; all the latter by default.
    """
    known = list_weights("generator", "latent-classifier")
    each = [[name for kind in kinds if (name := f"{one}-{kind}") in known] for one in of or FAMILIES]
    return [names[0] for names in each if names]


Resolve = Callable[[Requirement, Classifier], Resource | None]


def fill_resources(needs: Iterable[Requirement], classifier: Classifier, resolve: Resolve) -> dict[str, Resource]:
    """What fills the fields of a method, by their names."""
    return {need.name: one for need in needs if (one := resolve(need, classifier)) is not None}


def references_of(resources: Mapping[str, Resource]) -> References | None:
    """The reference images, if they are among the resources."""
    found = resources.get("references")
    return found if isinstance(found, References) else None


@final
@dataclass(frozen=True, kw_only=True)
class ResourceSpec:
    """Where resources come from, by name; None for the default, which depends on the classifier."""

    pictures: Dataset  # that are explained
    references: str | None = None  # a dataset's name or a folder
    generator: str | None = None  # a name or a file
    denoiser: str | None = None
    latent: str | None = None
    second_classifier: str | None = None  # None for none
    trust: Sequence[str] = ()
    options: PictureOptions = NO_OPTIONS  # how folders are read

    def resolve(self, need: Requirement, classifier: Classifier) -> Resource | None:
        """What fills this field of methods that explain this classifier; None for an optional one not given."""
        match need.name:
            case "references":
                return self._references(classifier)
            case "generator":
                return resolve_generator(self.generator, classifier, need)
            case "denoiser":
                return resolve_generator(self.denoiser, classifier, need)
            case "latent":
                return resolve_latent(self.latent, classifier, self.trust)
            case _:
                spec = self.second_classifier
                return None if spec is None else resolve_second_classifier(spec, classifier, self.trust)

    def _references(self, net: Classifier) -> References:
        # A bundled net knows pictures like its own; a few pictures of your own rarely show every class.
        own = isinstance(self.pictures.test, Folder)
        name = self.references or (data_of(net) if own else None)
        others = self.pictures
        if name:
            given = replace(self.options, annotations=None, masks=None) if Path(name).exists() else NO_OPTIONS
            others = load_dataset(name, like=net, trust=self.trust, options=given)
        return resolve_references(others.references, net)


def data_of(net: Classifier) -> str | None:
    """The dataset of the package that a bundled classifier was trained on."""
    return next((name for name in list_datasets() if classifier_of(name) == net.name), None)


def evenly_spaced(length: int, count: int) -> list[int]:
    """`count` indices, evenly spaced over `length`, or all of them.

    >>> evenly_spaced(10, 4)
    [0, 2, 5, 7]
    """
    return [n * length // count for n in range(count)] if count < length else list(range(length))


def load_generator(spec: str | Path, kind: type[FrozenNet] = FrozenNet) -> FrozenNet:
    """A generator of this kind by its name or file, or a published diffusion model.

    Raises:
        RatherError: MODEL-KIND if it is of another kind, or what loading it raises.
    """
    from rather.hub import generators
    from rather.hub.checkpoints import require_kind

    spec = str(spec)
    ours = spec in list_weights("generator") or not generators.is_denoiser(spec)
    return require_kind(generators.load_generator(spec) if ours else generators.load_denoiser(spec), kind)


def resolve_references(source: Source, classifier: Classifier) -> References:
    """At most 2,000 images of a source, evenly spaced, with their labels in the classifier's order."""
    images, indices = read_all(source, evenly_spaced(len(source), REFERENCES))
    labels = [source.label(i) for i in indices]
    names = [None if label is None else source.classes[label] for label in labels]
    known = all(name in classifier.classes for name in names)
    return References(
        images=images,
        ids=tuple(source.id(i) for i in indices),
        labels=torch.tensor([classifier.class_index(str(name)) for name in names]) if known else None,
        name=source.name,
    )


def resolve_generator(spec: str | None, classifier: Classifier, need: Requirement = AUTOENCODER) -> FrozenNet:
    """The generator of this name or file; by default what the classifier sees through, or a bundled one.

    Args:
        spec: a name or a file, see `load_generator`; None for the default.
        classifier: to explain.
        need: the field that it fills.

    Raises:
        RatherError: GEN-MISSING if there is no default, or what `load_generator` raises.
    """
    latent = LatentClassifiers.of(classifier)
    if spec is None and latent is not None and need.kind is Autoencoder:
        return latent.autoencoder
    spec = spec or bundled_net(classifier, need.bundled)
    if spec is None:
        raise RatherError(
            "GEN-MISSING",
            where=f"none comes with the package for {classifier.name}",
            do=f"Train one: rather train {need.bundled[0]} --data DATA --out FILE, and give it: --{need.name} FILE",
        )
    assert issubclass(need.kind, FrozenNet)  # noqa: S101 - `generator` is a field of no other type
    return load_generator(spec, need.kind)


def resolve_latent(spec: str | None, classifier: Classifier, trust: Sequence[str] = ()) -> LatentClassifiers:
    """The classifiers of latents of this name or file; by default what the classifier is made of, or bundled ones.

    Args:
        spec: a name or a file; None for the default.
        classifier: to explain.
        trust: `sha256:` and the hash of each file whose code may run.

    Raises:
        RatherError: GEN-MISSING if there is no default, GEN-NOT-FOUND if the file holds a classifier of images,
            MODEL-CLASSES if its classes are not the classifier's, or what `load_classifier` raises.
    """
    own = LatentClassifiers.of(classifier)
    if spec is None and own is not None:
        return own
    spec = spec or bundled_net(classifier, ["latent"])
    if spec is None:
        raise RatherError(
            "GEN-MISSING",
            where=f"no classifiers of latents come with the package for {classifier.name}",
            do="Train them: rather train latent-classifier --help, and give the file: --latent FILE",
        )
    latent = latent_of(spec, load_classifier(spec, trust=trust))
    if latent.classes != classifier.classes:
        raise RatherError(
            "MODEL-CLASSES",
            where=f"--latent {latent.name}: {', '.join(latent.classes)}",
            why=f"{classifier.name} knows {', '.join(classifier.classes)}"[:200],
        )
    return latent


def latent_of(spec: str, loaded: Classifier) -> LatentClassifiers:
    """The classifiers of latents that a classifier is made of; GEN-NOT-FOUND if it is not."""
    latent = LatentClassifiers.of(loaded)
    if latent is None:
        raise RatherError(
            "GEN-NOT-FOUND",
            where=f"--latent {spec}",
            why="a classifier that sees images, not latents",
            do="Give a file of rather train latent-classifier",
        )
    return latent


def resolve_second_classifier(spec: str, classifier: Classifier, trust: Sequence[str] = ()) -> Classifier:
    """Another classifier of the same images.

    Raises:
        RatherError: DATA-SHAPE if it takes other images, or what `load_classifier` raises.
    """
    second = load_classifier(spec, trust=trust)
    if second.shape != classifier.shape:
        raise RatherError(
            "DATA-SHAPE",
            where=f"--second-classifier {spec} takes {second.shape}",
            why=f"{classifier.name} takes {classifier.shape}",
        )
    return second
