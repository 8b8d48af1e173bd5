"""What there is to choose from, as text for a terminal; nothing heavy is imported for it."""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

Kind = Literal["methods", "data", "models", "generators", "metrics", "benches"]

KINDS: Final[dict[Kind, str]] = {
    "methods": "How to search for a counterfactual, and presets: methods with a paper's values.",
    "data": "Datasets: bundled ones, public ones that lie in a folder of yours, and your own pictures.",
    "models": "Classifiers that come with the package.",
    "generators": "Generators that come with the package, and diffusion models among them.",
    "metrics": "What a benchmark measures of counterfactuals.",
    "benches": "Benchmarks that come with the package.",
}
#: What a field of a method is for, by its type: what a user has to have.
NEEDS: Final = {
    "References": "reference images",
    "Autoencoder": "an autoencoder",
    "Denoiser": "a diffusion model",
    "DiffusionModel": "a diffusion model",
    "Semantic": "a semantic generator",
    "AttributeEditor": "an attribute editor",
    "Exaggerator": "an exaggerator",
    "Method": "another method",
}
_LATENT: Final = "LatentClassifiers"  # its field has a default: a classifier of latents is its own
_HOME: Final = Path(__file__).parent.parent
_WIDTH: Final = 80


def listing(kind: Kind) -> dict[str, str]:
    """Name and one line of each method or preset, dataset, bundled net, metric or benchmark."""
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
    from rather.hub.extensions import theirs
    from rather.metrics import list_metrics

    return theirs("rather.metrics") | {name: str(metric) for name, metric in list_metrics().items()}


def needs(method: str) -> list[str]:
    """What a method of the package cannot do without: gradients, and what the types of its required fields say."""
    file = _HOME / "methods" / f"{method}.py"
    if not file.is_file():
        return []
    tree = ast.parse(file.read_text("utf-8"))
    body = [node for one in tree.body if isinstance(one, ast.ClassDef) for node in one.body]
    fields = [node for node in body if isinstance(node, ast.AnnAssign)]
    types = [
        {name.id for name in ast.walk(node.annotation) if isinstance(name, ast.Name)}
        for node in fields
        if node.value is None
    ]
    found = [words for kind, words in NEEDS.items() if any(kind in names for names in types)]
    if not any(ast.unparse(node).startswith("gradient = ") for node in body):  # "needed", unless it says otherwise
        found = ["gradients", *found]
    clarity = any(_LATENT in ast.unparse(node.annotation) for node in fields)
    return [*found, "latent classifiers"] if clarity else found


def seconds() -> dict[str, dict[str, float | str]]:
    """What a counterfactual took where it was measured, by method; see benchmarks/costs.py."""
    costs: dict[str, dict[str, float | str]] = json.loads((_HOME / "commands" / "costs.json").read_text("utf-8"))
    return costs


def text(kind: Kind) -> str:
    """A list for a terminal of 80 columns: each name with a purpose, methods also with what they need and cost."""
    return "\n".join(_methods() if kind == "methods" else _entries(listing(kind)))


def _entries(named: dict[str, str]) -> Iterator[str]:
    width = min(max(map(len, named), default=0), 24)
    for name, what in named.items():
        first = f"{name:{width}}  " if len(name) <= width else f"{name}\n{' ' * width}  "
        body = textwrap.wrap(what, _WIDTH - width - 2)
        yield first + f"\n{' ' * width}  ".join(body)


def _methods() -> Iterator[str]:
    from rather.hub.methods import list_methods
    from rather.hub.presets import list_presets

    costs = seconds()
    named = {
        name: f"{line.partition('. ')[0].rstrip('.')}. {_price(name, costs)}" for name, line in list_methods().items()
    }
    yield "Methods: purpose; what each needs" + ("; seconds an image on one processor core." if costs else ".")
    yield ""
    yield from _entries(named)
    yield ""
    yield "Presets: a method with the values of a paper, or for a kind of picture."
    yield ""
    yield from _entries(list_presets())
    yield ""
    yield "rather describe NAME shows what a method does, and its settings."
    yield "Needs gradients: not for a classifier that only answers (ONNX, an address)."
    if costs:
        yield "28 px: measured on digits of 28 pixels; 64 px: on drawn faces of 64 pixels."


def _price(name: str, costs: dict[str, dict[str, float | str]]) -> str:
    wanted = needs(name)
    parts = [f"Needs {' and '.join(wanted)}" if wanted else "Needs nothing"]
    if name in costs:
        parts.append(f"{costs[name]['seconds']:.2g} s ({costs[name]['pixels']} px)")
    return "; ".join(parts) + "."
