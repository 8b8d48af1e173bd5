"""Why this class rather than that one? Counterfactual pictures for image classifiers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rather.classifiers.adapters import adapt, ensemble
    from rather.config.errors import RatherError
    from rather.core import Classifier, Counterfactuals, Goal, Method, Noise, SearchResult
    from rather.hub.classifiers import list_classifiers, load_classifier
    from rather.hub.datasets import list_datasets, load_dataset
    from rather.hub.methods import build_method, list_methods
    from rather.search.references import References

__version__ = "0.1.0"

# Imported when first used: `import rather` loads neither torch nor anything else that is heavy.
_HOME = {
    "Classifier": "core",
    "Counterfactuals": "core",
    "SearchResult": "core",
    "Goal": "core",
    "Method": "core",
    "Noise": "core",
    "RatherError": "config.errors",
    "References": "search.references",
    "adapt": "classifiers.adapters",
    "build_method": "hub.methods",
    "ensemble": "classifiers.adapters",
    "list_classifiers": "hub.classifiers",
    "list_datasets": "hub.datasets",
    "list_methods": "hub.methods",
    "load_classifier": "hub.classifiers",
    "load_dataset": "hub.datasets",
}

__all__ = [
    "Classifier",
    "Counterfactuals",
    "Goal",
    "Method",
    "Noise",
    "RatherError",
    "References",
    "SearchResult",
    "__version__",
    "adapt",
    "build_method",
    "ensemble",
    "list_classifiers",
    "list_datasets",
    "list_methods",
    "load_classifier",
    "load_dataset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rather' has no attribute {name!r}")
    return getattr(import_module(f"rather.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
