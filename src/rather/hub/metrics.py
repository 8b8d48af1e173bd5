"""Metrics by name: of the package, of another package (entry points `rather.metrics`), or `FILE.py:FUNCTION`."""

from __future__ import annotations

from rather.config.errors import RatherError, did_you_mean
from rather.hub.extensions import loaded
from rather.metrics import METRICS, Metric, load_metrics


def metric_named(name: str) -> Metric:
    """A metric by its name; one of your own is a function with the decorator `rather.metrics.metric`.

    Raises:
        RatherError: CFG-UNKNOWN, or what `trusted` raises of code.
    """
    before = dict(load_metrics())
    if name in before:
        return before[name]
    function = loaded("rather.metrics", name)
    if function is None:
        raise RatherError("CFG-UNKNOWN", where=f"metric {name}", do=did_you_mean(name, before))
    own = str(getattr(function, "__name__", ""))
    if own in before and before[own].function is not function:
        METRICS[own] = before[own]
        raise RatherError("CFG-UNKNOWN", where=f"metric {name}", why=f"there is a metric {own} already")
    if own not in METRICS or METRICS[own].function is not function:
        raise RatherError("CFG-UNKNOWN", where=f"metric {name}", why="no function with the decorator `metric`")
    return METRICS[own]
