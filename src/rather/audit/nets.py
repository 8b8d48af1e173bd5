"""Whom an audit asks: the classifier of a run, and who reads attributes and regions of its images."""

from __future__ import annotations

from collections.abc import Sequence

from rather.config.errors import RatherError
from rather.core import Classifier
from rather.generators._frozen_oracle import Oracle
from rather.generators._frozen_semantic import Semantic
from rather.hub.classifiers import load_classifier
from rather.hub.resources import Requirement, bundled_net, resolve_generator
from rather.io.bundled import list_weights
from rather.runs.store import Run


def audited_classifier(
    run: Run,
    spec: str | None = None,
    *,
    layer: str | None = None,
    shape: tuple[int, int, int] | None = None,
    classes: Sequence[str] | None = None,
    output: str = "logits",
    trust: Sequence[str] = (),
) -> Classifier | None:
    """The classifier that a run explains; None if it is not said where it is, and it is no bundled one.

    Args:
        run: the run.
        spec: of `classifiers.bring`.
        layer: where to cut it.
        shape: of its images.
        classes: their names.
        output: what its output is.
        trust: sha256 sums of code that may be run.

    Raises:
        RatherError: RUN-MISMATCH for another classifier than the run's, or what `bring` raises.
    """
    asked = run.config.get("classifier") or {}
    name = str(asked.get("name"))
    if spec is None and name not in list_weights("classifier"):
        return None
    net = load_classifier(spec or name, layer=layer, shape=shape, classes=classes, output=output, trust=trust)
    if net.fingerprint() == asked.get("sha256"):
        return net
    if spec is None:  # somebody's own, which is called as ours
        return None
    raise RatherError(
        "RUN-MISMATCH", where=f"--classifier {spec}", why=f"the run explains another, {name}", do="Give that one"
    )


def resolve_oracle(spec: str | None, classifier: Classifier | None) -> Oracle | None:
    """Who reads attributes, by name or file; by default a bundled oracle of the classifier's images, or None.

    Raises:
        RatherError: GEN-SIZE for other images than the classifier's, or what `resolve_generator` raises.
    """
    found = _taken(spec, classifier, Requirement("attributes", Oracle, ("oracle",)))
    return found if isinstance(found, Oracle) else None


def resolve_segmenter(spec: str | None, classifier: Classifier | None) -> Semantic | None:
    """Who sees regions, likewise.

    Raises:
        RatherError: GEN-SIZE for other images than the classifier's, or what `resolve_generator` raises.
    """
    found = _taken(spec, classifier, Requirement("regions", Semantic, ("semantic",)))
    return found if isinstance(found, Semantic) else None


def _taken(spec: str | None, classifier: Classifier | None, want: Requirement) -> object:
    if classifier is None:
        if spec is None:
            return None
        raise RatherError(
            "CFG-OPTIONS",
            where=f"--{want.name} {spec}",
            why="the run's classifier is not known",
            do="Give --classifier",
        )
    if spec is None and bundled_net(classifier, want.bundled) is None:
        return None
    net = resolve_generator(spec, classifier, want)
    net.refuse_other_images(classifier)
    return net
