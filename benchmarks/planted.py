"""Do audits and explanations name what a classifier relies on, where that is known?

    python benchmarks/planted.py [audit] [METHOD ...] [--rows 100] [--out FOLDER]

It trains 24 small classifiers of drawn faces and shapes, half of them with a planted cue, in about twelve seconds of
one core each, and measures what each relies on. `audit` audits those of faces with the defaults of `rather audit`; a
METHOD explains each classifier, and `rather.worlds.causal` judges the counterfactuals. FOLDER keeps classifiers and
results: what is there is not computed again. The tables are in FOLDER/planted.md, their columns in docs/causal.md.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch

from markdown import interval, number, share, table
from rather.audit import audit
from rather.audit.nets import resolve_oracle
from rather.commands.audit import DEFAULT_METHOD, DEFAULT_SETTINGS, DEFAULT_TARGET
from rather.core import Goal
from rather.hub.methods import load_method
from rather.metrics.ground_truth import area_under_curve
from rather.runs.explain import explain
from rather.runs.request import Request
from rather.worlds.bias_spec import BIASED, bias_specs
from rather.worlds.causal import ask, judge
from rather.worlds.trained_bias import TrainedBias, train_biased

FEWEST: Final = 8  # rows of a slow method, at least
REFERENCES: Final = 300  # images like those that the classifier was trained on
#: What an audit may call a cue that is no attribute of the oracle.
ALSO_CALLED: Final = {"background": ("light upper border", "light picture")}
#: By name, how many times fewer rows a method explains.
METHODS: Final = {"attack": 1, "wachter": 1, "nearest": 1, "goyal": 1, "schut": 1, "attributes": 10}
EDITOR: Final = "faces-editor"  # for `attributes`, which therefore explains faces only
SCORES: Final = ("success", "agreement", "cosine", "inside", "region", "distance", "seconds")


def audited(bias: TrainedBias, rows: int, folder: Path) -> dict[str, Any]:
    """The warnings of an audit, which knows neither the specification nor the causes."""
    request = Request(
        data="faces" if bias.spec.label == "smile" else f"faces/{bias.spec.label}",
        classifier=str(folder / f"{bias.spec.name}.safetensors"),
        method=DEFAULT_METHOD,
        settings=DEFAULT_SETTINGS,
        target=DEFAULT_TARGET,
        count=rows,
        out=folder / f"audit-{bias.spec.name}-{rows}",
    )
    (run,) = explain(request).runs.values()
    found = audit(run, classifier=bias.classifier, oracle=resolve_oracle(None, bias.classifier))
    cue = bias.spec.cue or ""
    return {
        "planted": bias.spec in BIASED,
        "follows": bias.follows,
        "effect of the cue": bias.effects[cue].probability.mean().item() if cue else None,
        "warnings": [asdict(one) for one in found.warnings],
        "named": any(one.name in (cue, *ALSO_CALLED.get(cue, ())) for one in found.warnings),
    }


def explained(bias: TrainedBias, rows: int, name: str) -> dict[str, Any]:
    """The scores of a method on a classifier; of all but `success` over the successes."""
    resources = {"references": bias.spec.pictures(REFERENCES, part=2), "generator": EDITOR}
    queries, method = ask(bias, max(rows // METHODS[name], FEWEST)), load_method(name, resources=resources)
    began = time.process_time()
    answers = method(bias.classifier, queries.images, Goal.criticism(queries.target), ids=queries.ids)
    seconds = (time.process_time() - began) / len(queries)
    scores = judge(queries, answers.images)
    means = {key: getattr(scores, key).double().mean().item() for key in ("success", "inside", "region", "distance")}
    found = means | {"agreement": scores.agreement, "cosine": scores.cosine, "seconds": seconds}
    return {
        "planted": bias.biased,
        "follows": bias.follows,
        "names": scores.names,
        "suspicion": scores.suspicion,
        **{key: None if math.isnan(value) else value for key, value in found.items()},
    }


def of_audits(results: Mapping[str, Mapping[str, Any]]) -> str:
    """How many cues are named, and each classifier's warnings."""
    planted = torch.tensor([one["named"] for one in results.values() if one["planted"]]).bool()
    clean = torch.tensor([bool(one["warnings"]) for one in results.values() if not one["planted"]]).bool()
    groups = {"planted: a warning names the cue": planted, "clean: there is a warning": clean}
    counts = [(what, len(each), share(interval(each))) for what, each in groups.items() if len(each)]
    rows = [
        (
            name,
            one["follows"],
            "" if one["effect of the cue"] is None else f"{one['effect of the cue']:+.2f}",
            "; ".join(f"{warning['kind']} {warning['name']}" for warning in one["warnings"]) or "none",
        )
        for name, one in results.items()
    ]
    heads = "classifiers | how many | share", "classifier | relies on | effect of the cue | warnings"
    return f"## Audits\n\n{table(heads[0], counts)}\n{table(heads[1], rows)}"


def of_method(results: Sequence[Mapping[str, Any]]) -> list[object]:
    """Means over classifiers, how often the cause is named, and the area under the ROC curve of the suspicion."""
    cells: list[object] = []
    for key in SCORES:
        values = torch.tensor([one[key] for one in results if one[key] is not None]).double()
        tell = share if key in {"success", "inside", "region"} else number
        cells.append(tell(interval(values)) if len(values) else "")
    groups = [[one for one in results if one["planted"] is kind] for kind in (True, False)]
    named = (torch.tensor([one["names"] == one["follows"] for one in group]).bool() for group in groups)
    cells += [share(interval(each)) if len(each) else "" for each in named]
    if not all(groups):
        return [*cells, ""]
    area = area_under_curve(*(torch.tensor([one["suspicion"] for one in group]) for group in groups))
    return [*cells, f"{area:.2f}"]


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The tables; intervals hold 95 % and are over classifiers."""
    parts = ["# Classifiers with a planted cue\n"]
    if "audit" in results:
        parts.append(of_audits(results["audit"]))
    methods = [(name, *of_method([*each.values()])) for name, each in results.items() if name != "audit"]
    if methods:
        head = " | ".join(["method", *SCORES, "names the cue", "clean: names the cause", "area"])
        parts.append(f"## Explanations\n\n{table(head, methods)}")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help=f"audit, {', '.join(METHODS)}; all by default")
    parser.add_argument("--rows", type=int, default=100, help="images for each classifier")
    parser.add_argument("--only", help="classifiers whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("build/planted"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    file = asked.out / f"planted-{asked.rows}.json"
    results = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for spec in (one for one in bias_specs() if not asked.only or asked.only in one.name):
        bias = train_biased(spec, asked.out)
        print(f"{spec.name}: relies on {bias.follows}", flush=True)
        for what in asked.what or ("audit", *METHODS):
            able = spec.data == "faces" or what not in {"audit", "attributes"}
            counts = what == "audit" or bias.biased or bias.clean
            if able and counts and spec.name not in results.get(what, {}):
                one = audited(bias, asked.rows, asked.out) if what == "audit" else explained(bias, asked.rows, what)
                results.setdefault(what, {})[spec.name] = one
                file.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    (asked.out / "planted.md").write_text(page(results), "utf-8")
    print(page(results))


if __name__ == "__main__":
    main()
