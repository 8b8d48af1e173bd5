"""Does `rather audit` say so where a classifier goes by a cue, and only there: docs/audit-figures.md.

    python benchmarks/audit_figures.py [SECTION ...] [--rows 100] [--work FOLDER]

The twenty classifiers of faces of `rather.worlds.bias_spec` are made in WORK/planted, 12 s of processor time
each, if they are not there yet; runs are kept beside them, and go on where they were interrupted. The audit
is the command's own, with its own defaults; it knows neither the recipe nor what can be set of a drawn face.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from audits_page import page
from rather.audit import Audit, audit
from rather.audit.nets import resolve_oracle
from rather.commands.audit import DEFAULT_METHOD, DEFAULT_SETTINGS
from rather.core import Classifier
from rather.runs.explain import explain
from rather.runs.request import Request
from rather.worlds.bias_spec import BIASED, bias_specs
from rather.worlds.trained_bias import TrainedBias, train_biased
from runs import Asked
from sections import measure

#: What a cue that is no attribute of the oracle is called by the audit.
ALSO = {"background": ("light upper border", "light picture")}
BUNDLED = {
    "faces-age-glasses": "faces/age",
    "faces-age": "faces/age",
    "faces-age-top": "faces/age",
    "faces-smile": "faces",
}


def audited(asked: Asked, name: str, spec: str, data: str, classifier: Classifier) -> Audit:
    """What the command finds, but for regions, which need an expectation to be suspicious."""
    request = Request(
        data=data,
        classifier=spec,
        method=DEFAULT_METHOD,
        settings=DEFAULT_SETTINGS,
        target="runner-up",
        count=asked.rows,
        out=asked.work / name,
    )
    explained = explain(request)
    (run,) = explained.runs.values()
    return audit(run, classifier=classifier, oracle=resolve_oracle(None, classifier))


def told(found: Audit) -> dict[str, Any]:
    """What of it is kept."""
    known = [one for one in found.attributes if one.answer]
    assert found.right
    return {
        "right": [found.right.value, *found.right.interval, found.right.of],
        "warnings": [asdict(one) for one in found.warnings],
        "most": [[one.name, *asdict(one.answer).values()] for one in known[:2] if one.answer],
        "rows": found.rows,
    }


def classifiers_section(asked: Asked) -> dict[str, Any]:
    """Those of faces, planted and clean by turns."""
    found = {}
    for recipe in (one for one in bias_specs() if one.data == "faces"):
        known = train_biased(recipe, asked.work / "planted")
        spec = str(asked.work / "planted" / f"{recipe.name}.safetensors")
        data = "faces" if recipe.label == "smile" else f"faces/{recipe.label}"
        one = told(audited(asked, recipe.name, spec, data, known.classifier)) | of_recipe(known)
        one["named"] = [each["name"] for each in one["warnings"] if each["name"] in names(known)]
        found[recipe.name] = one
        print(f"  {recipe.name}: {', '.join(each['name'] for each in one['warnings']) or 'no warning'}", flush=True)
    return found


def names(known: TrainedBias) -> tuple[str, ...]:
    """What the audit may call the cue."""
    cue = known.spec.cue or ""
    return (cue, *ALSO.get(cue, ()))


def of_recipe(known: TrainedBias) -> dict[str, Any]:
    """What the classifier was made to be, and what it is."""
    effect = {name: each.probability.mean().item() for name, each in known.effects.items()}
    return {
        "planted": known.spec in BIASED,
        "cue": known.spec.cue,
        "label": known.spec.label,
        "follows": known.follows,
        "as meant": known.biased if known.spec in BIASED else known.clean,
        "effects": effect,
    }


def bundled_section(asked: Asked) -> dict[str, Any]:
    """The bundled classifiers of faces, of which one goes by glasses."""
    found = {}
    for name, data in BUNDLED.items():
        found[name] = told(audited(asked, name, name, data, asked.nets.classifier(name)))
        print(f"  {name}: {', '.join(each['name'] for each in found[name]['warnings']) or 'no warning'}", flush=True)
    return found


if __name__ == "__main__":
    measure("audit-figures", {"classifiers": classifiers_section, "bundled": bundled_section}, page, __doc__)
