"""Of a stored run, how its classifier agrees with the labels."""

from __future__ import annotations

from rather.data.agreement import Agreement, agreement
from rather.runs.store import Run


def agreement_of(run: Run) -> Agreement | None:
    """How the classifier of a run agrees with the labels, as far as they are known."""
    columns = [run.column(name) for name in ("id", "label", "predicted")]
    each = {name: (label, said) for name, label, said in zip(*columns, strict=True)}
    return agreement(each.values(), [str(name) for name in run.config.get("classes") or []])
