"""Why this class rather than that one? Counterfactual pictures for image classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# The one list of what `import rather` offers. It loads neither torch nor anything else that is heavy: each name is
# imported when it is used first.
if TYPE_CHECKING:
    from rather import metrics as metrics
    from rather.bench.compare import Comparison as Comparison
    from rather.bench.compare import compare as compare
    from rather.config.errors import RatherError as RatherError
    from rather.config.pictures import PictureOptions as PictureOptions
    from rather.core import Classifier as Classifier
    from rather.core import Counterfactual as Counterfactual
    from rather.core import Counterfactuals as Counterfactuals
    from rather.core import Goal as Goal
    from rather.core import Loadable as Loadable
    from rather.core import LoadableImages as LoadableImages
    from rather.core import Method as Method
    from rather.core import Noise as Noise
    from rather.core import SearchResult as SearchResult
    from rather.core import ensemble as ensemble
    from rather.data.source import Dataset as Dataset
    from rather.hub.classifiers import list_classifiers as list_classifiers
    from rather.hub.classifiers import load_classifier as load_classifier
    from rather.hub.datasets import list_datasets as list_datasets
    from rather.hub.datasets import load_dataset as load_dataset
    from rather.hub.generators import list_generators as list_generators
    from rather.hub.given import load_resource as load_resource
    from rather.hub.methods import list_methods as list_methods
    from rather.hub.methods import load_method as load_method
    from rather.hub.resources import load_generator as load_generator
    from rather.methods.ace import ACE as ACE
    from rather.methods.attack import Attack as Attack
    from rather.methods.attributes import Attributes as Attributes
    from rather.methods.clarity import Clarity as Clarity
    from rather.methods.dime import DiME as DiME
    from rather.methods.dive import DiVE as DiVE
    from rather.methods.exaggeration import Exaggeration as Exaggeration
    from rather.methods.fastdime import FastDiME as FastDiME
    from rather.methods.goyal import Goyal as Goyal
    from rather.methods.introspection import Introspection as Introspection
    from rather.methods.maskdime import MaskDiME as MaskDiME
    from rather.methods.minimal import Minimal as Minimal
    from rather.methods.minimum_edit import MinimumEdit as MinimumEdit
    from rather.methods.nearest import Nearest as Nearest
    from rather.methods.refined import Refined as Refined
    from rather.methods.revise import REVISE as REVISE
    from rather.methods.schut import Schut as Schut
    from rather.methods.sedc import SEDC as SEDC
    from rather.methods.several import Several as Several
    from rather.methods.steex import STEEX as STEEX
    from rather.methods.sweep import Sweep as Sweep
    from rather.methods.wachter import Wachter as Wachter
    from rather.metrics import list_metrics as list_metrics
    from rather.runs.in_memory import explain as explain
    from rather.search.references import References as References

__version__ = "0.1.0"


def _offered() -> dict[str, tuple[str, str]]:
    """Each name with its module and what it is called there, read from the list above."""
    import ast
    from pathlib import Path

    statements = ast.parse(Path(__file__).read_text("utf-8")).body
    (listed,) = (one for one in statements if isinstance(one, ast.If))
    offered: dict[str, tuple[str, str]] = {}
    for one in listed.body:
        if isinstance(one, ast.ImportFrom):
            offered |= {str(alias.asname): (str(one.module), alias.name) for alias in one.names}
    return offered


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__all__":
        return __dir__()
    if name.startswith("_") or name not in _offered():
        raise AttributeError(f"module 'rather' has no attribute {name!r}")
    module, there = _offered()[name]
    return import_module(f"rather.{there}") if module == "rather" else getattr(import_module(module), there)


def __dir__() -> list[str]:
    return sorted([*_offered(), "__version__"])
