"""From methods and nets to answered runs: what `explain` and `bench` do alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from rather.classifiers.preflight import preflight
from rather.config.errors import RatherError
from rather.core import Classifier, Images, Resource
from rather.generators.frozen import FrozenNet
from rather.hub.resources import Want
from rather.latents.classifiers import LatentClassifiers
from rather.runs.runner import Work, choose_goals, execute
from rather.runs.store import Run
from rather.search.references import References

Take = Callable[[Want, Classifier], Resource | None]


def given(wants: Iterable[Want], classifier: Classifier, take: Take) -> dict[str, Resource]:
    """What fills the fields of a method, by their names."""
    return {want.name: one for want in wants if (one := take(want, classifier)) is not None}


def references_in(resources: Mapping[str, Resource]) -> References | None:
    """The reference images, if they are among what a method is given."""
    found = resources.get("references")
    return found if isinstance(found, References) else None


def look(net: Classifier, resources: Sequence[Mapping[str, Resource]], images: Images) -> list[str]:
    """What a look at a classifier and at its generators says beforehand; what cannot work is refused."""
    return [*preflight(net, images[:4]).notes, *look_at_resources(net, resources, images)]


def look_at_resources(net: Classifier, resources: Iterable[Mapping[str, Resource]], images: Images) -> list[str]:
    """The same of the generators alone."""
    nets = [
        one.autoencoder if isinstance(one, LatentClassifiers) else one for mine in resources for one in mine.values()
    ]
    notes = []
    for one in {id(one): one for one in nets}.values():
        if isinstance(one, FrozenNet):
            notes += one.preflight(net, images)
    return notes


def refuse_other_images(net: Classifier, first: Classifier) -> None:
    """Refuse a classifier that cannot be asked of the first one's images.

    Raises:
        RatherError: DATA-SHAPE.
    """
    if net.shape != first.shape:
        raise RatherError(
            "DATA-SHAPE",
            where=f"{first.name} takes {first.shape}",
            why=f"{net.name} takes {net.shape}",
            do="Compare classifiers of the same images",
        )


def of_same_goals(works: Sequence[Work]) -> list[Work]:
    """Each asked for what the first one's classifier chooses: only so can they be compared.

    Raises:
        RatherError: CFG-CLASS for a classifier that does not know a class that was chosen.
    """
    goals = choose_goals(works[0])
    for name in dict.fromkeys(name for name, _ in goals.values()):
        for work in works:
            work.classifier.class_named(name)
    return [replace(work, goals=goals, references=None) for work in works]


def work_off(runs: Sequence[Run], works: Sequence[Work], progress: Callable[[int, int], None]) -> None:
    """Answer what is not stored yet, one run after the other."""
    asked = sum(len(run.ids) for run in runs)
    done = asked - sum(len(chunk) for run in runs for chunk in run.pending())
    progress(done, asked)
    for run, work in zip(runs, works, strict=True):
        for rows in execute(run, work):
            done += rows
            progress(done, asked)


def folder_name(name: str, asks: object, ids: Sequence[str]) -> str:
    """A folder's name that says what is asked: of another question, or of other images, it is another."""
    digest = hashlib.sha256(json.dumps([asks, ids], sort_keys=True).encode()).hexdigest()[:8]
    return f"{name}-{digest}"
