"""Why this class rather than that one? Counterfactual pictures for image classifiers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rather.classifiers import bring, list_classifiers
    from rather.classifiers.adapters import adapt, ensemble
    from rather.core import Classifier, Counterfactuals, Found, Goal, Method, Noise
    from rather.data import load
    from rather.errors import RatherError
    from rather.methods import build, list_methods
    from rather.references import References

__version__ = "0.1.0"

# Imported when first used: `import rather` loads neither torch nor anything else that is heavy.
_HOME = {
    "Classifier": "core",
    "Counterfactuals": "core",
    "Found": "core",
    "Goal": "core",
    "Method": "core",
    "Noise": "core",
    "adapt": "classifiers.adapters",
    "bring": "classifiers",
    "ensemble": "classifiers.adapters",
    "list_classifiers": "classifiers",
    "RatherError": "errors",
    "References": "references",
    "build": "methods",
    "list_methods": "methods",
    "load": "data",
}

__all__ = [
    "Classifier",
    "Counterfactuals",
    "Found",
    "Goal",
    "Method",
    "Noise",
    "RatherError",
    "References",
    "__version__",
    "adapt",
    "bring",
    "build",
    "ensemble",
    "list_classifiers",
    "list_methods",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rather' has no attribute {name!r}")
    return getattr(import_module(f"rather.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
