"""What there is to choose from; nothing heavy is imported to tell it."""

from __future__ import annotations

from typing import Literal

Kind = Literal["methods", "data", "models", "generators", "metrics", "benches"]


def listing(kind: Kind) -> dict[str, str]:
    """Name and one line of each method or preset, data set, bundled net, metric or benchmark."""
    if kind == "methods":
        from rather.hub.methods import list_methods
        from rather.hub.presets import list_presets

        return list_methods() | {name: f"preset: {what}" for name, what in list_presets().items()}
    if kind == "data":
        from rather.hub.datasets import list_datasets

        return list_datasets()
    if kind == "models":
        from rather.hub.classifiers import list_classifiers

        return list_classifiers()
    if kind == "generators":
        from rather.io.bundled import list_weights

        return list_weights("generator")
    if kind == "benches":
        from rather.bench import list_benches

        return list_benches()
    from rather.metrics import list_metrics

    return {name: str(metric) for name, metric in list_metrics().items()}
