"""The metrics, one file for each question that they answer.

A metric is a pure function of tensors, and of the nets that it asks, with one value for each row, or one for a whole
set of rows. The decorator `metric` says its unit and which way is better; `rather bench` fills its parameters by their
names.
"""

# ruff: noqa: F403, F405 - the names of the modules
from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from rather.metrics.registry import METRICS as METRICS
from rather.metrics.registry import Metric as Metric
from rather.metrics.registry import list_metrics as list_metrics
from rather.metrics.registry import metric as metric

if TYPE_CHECKING:  # `__getattr__` imports them
    from rather.metrics.cell_edits import *
    from rather.metrics.costs import *
    from rather.metrics.distribution import *
    from rather.metrics.features import *
    from rather.metrics.flips import *
    from rather.metrics.ground_truth import *
    from rather.metrics.oracle_attributes import *
    from rather.metrics.prediction import *
    from rather.metrics.proximity import *
    from rather.metrics.realism import *
    from rather.metrics.resemblance import *
    from rather.metrics.robustness import *
    from rather.metrics.transition import *
    from rather.metrics.variety import *


def load_metrics() -> dict[str, Metric]:
    """The metrics by name, those of the package and those that other modules have registered."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return METRICS


def __getattr__(name: str) -> Any:
    """A metric, imported when it is first used: `rather list metrics` loads no torch."""
    for module in iter_modules(__path__) if not name.startswith("_") else ():
        home = import_module(f"{__name__}.{module.name}")
        if getattr(getattr(home, name, None), "__module__", "") == home.__name__:
            return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
