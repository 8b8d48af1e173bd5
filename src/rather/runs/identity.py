"""What makes a net or other resource this one and no other, as plain data for the record of a run."""

from __future__ import annotations

from typing import Any

from rather.core import Classifier, Method, Resource
from rather.generators.frozen import FrozenNet
from rather.latents.classifiers import LatentClassifiers
from rather.search.references import References


def of_classifier(classifier: Classifier) -> dict[str, str]:
    """A classifier, likewise."""
    told = {"name": classifier.name, "sha256": classifier.fingerprint()}
    return told if classifier.preprocess is None else told | {"preprocess": classifier.preprocess.name}


def resources_of(method: Method) -> dict[str, Resource]:
    """What a method has besides its settings, or a method that it wraps, by the names of the fields."""
    own: dict[str, Resource] = {}
    for name, value in method:
        if isinstance(value, Method):
            own |= {f"{name}.{inner}": resource for inner, resource in resources_of(value).items()}
        elif isinstance(value, Resource):
            own[name] = value
    return own


def identity(resource: Resource) -> dict[str, Any]:
    """What makes a resource this one and no other, as plain data."""
    match resource:
        case References():
            return {"name": resource.name, "sha256": resource.sha256, "count": len(resource.ids)}
        case FrozenNet() | Classifier():
            return {"name": resource.name, "sha256": resource.fingerprint()}
        case LatentClassifiers():
            sha256 = resource.classifier().fingerprint()
            # The classifier never asks the decoder.
            return {"name": resource.name, "sha256": sha256, "generator": resource.autoencoder.fingerprint()}
        case _:
            return {"name": type(resource).__name__}
