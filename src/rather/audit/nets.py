"""The nets that an audit uses: the classifier of a run, an oracle of attributes, and a segmenter of regions."""

from __future__ import annotations

from rather.config.errors import RatherError
from rather.core import Classifier
from rather.generators.oracle import Oracle
from rather.generators.semantic import Semantic
from rather.hub.classifiers import load_classifier
from rather.hub.resources import Requirement, bundled_net, resolve_generator
from rather.io.bundled import list_weights
from rather.runs.request import Request
from rather.runs.store import Run


def audited_classifier(run: Run, request: Request) -> Classifier | None:
    """The classifier that a run explains; None if the request does not name it and it is no bundled one.

    Raises:
        RatherError: RUN-MISMATCH for another classifier than the run's, or what `load_classifier` raises.
    """
    spec = request.classifier
    asked = run.config.get("classifier") or {}
    name = str(asked.get("name"))
    if spec is None and name not in list_weights("classifier"):
        return None
    net = load_classifier(
        spec or name,
        layer=request.layer,
        shape=request.shape,
        preprocessing=request.preprocessing,
        classes=request.classes,
        output=request.output,
        trust=request.trust,
    )
    if net.kind != "classes":
        net = net.ask(asked_of(run), run.config.get("tolerance"))
    if net.fingerprint() == asked.get("sha256"):
        return net
    if spec is None:  # another classifier with the name of a bundled one
        return None
    raise RatherError(
        "RUN-MISMATCH", where=f"--classifier {spec}", why=f"the run explains another, {name}", do="Give that one"
    )


def asked_of(run: Run) -> object:
    """The target that a run was asked for."""
    target = run.config.get("target")
    return target["name"] if isinstance(target, dict) else target


def resolve_oracle(spec: str | None, classifier: Classifier | None) -> Oracle | None:
    """The net that reads attributes, by name or file; by default a bundled one for the classifier's images, or None.

    Raises:
        RatherError: GEN-SIZE for other images than the classifier's, or what `resolve_generator` raises.
    """
    found = _resolved(spec, classifier, Requirement("oracle", Oracle, ("oracle",)))
    return found if isinstance(found, Oracle) else None


def resolve_segmenter(spec: str | None, classifier: Classifier | None) -> Semantic | None:
    """The net that reads regions, likewise.

    Raises:
        RatherError: GEN-SIZE for other images than the classifier's, or what `resolve_generator` raises.
    """
    found = _resolved(spec, classifier, Requirement("segmenter", Semantic, ("semantic",)))
    return found if isinstance(found, Semantic) else None


def _resolved(spec: str | None, classifier: Classifier | None, need: Requirement) -> object:
    if classifier is None and spec is not None:
        why = "the run's classifier is not known"
        raise RatherError("CFG-OPTIONS", where=f"--{need.name} {spec}", why=why, do="Give --classifier")
    if classifier is None or (spec is None and bundled_net(classifier, need.bundled) is None):
        return None
    net = resolve_generator(spec, classifier, need)
    net.check_images(classifier)
    return net
