"""Draw README's picture, docs/front.png: what `rather explain` finds for six digits and three scenes."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure

from rather import bring
from rather.core import Counterfactuals
from rather.data.source import read_all
from rather.hub.datasets import load_dataset
from rather.hub.methods import build_method
from rather.hub.resources import evenly_spaced, resolve_references
from rather.plots import signed_difference
from rather.runs.explain import DEFAULT_METHOD, DEFAULT_SETTINGS

TITLES = "image", "counterfactual", "what changed"


def answers(name: str, count: int) -> Counterfactuals:
    """Of the pictures that `rather explain --data NAME --count COUNT` takes."""
    data, classifier = load_dataset(name), bring(name)
    images, _ = read_all(data.test, evenly_spaced(len(data.test), count))
    references = resolve_references(data.references, classifier)
    target = references.nearest_other_class(classifier, images, classifier.probabilities(images).argmax(1))
    plan = {"name": DEFAULT_METHOD, **DEFAULT_SETTINGS}
    return build_method(plan, {"references": references})(classifier, images, target)


def main() -> None:
    """Three columns of explanations, each of three pictures."""
    found = [(answer, row) for answer in (answers("digits", 6), answers("shapes", 3)) for row in range(len(answer))]
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    grid = figure.subplots(3, 9)
    for place, (answer, row) in enumerate(found):
        query, image = answer.queries[row], answer.images[row]
        names = [answer.classes[int(k)] for k in (answer.before[row].argmax(), answer.goal.target[row])]
        pictures = query, image, signed_difference(query, image)
        captions = f"{names[0]}", f"{names[1]} {answer.after[row, answer.goal.target[row]]:.0%}", ""
        for n, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
            axes = grid[place % 3, place // 3 * 3 + n]
            axes.imshow(picture.expand(3, -1, -1).permute(1, 2, 0).numpy())
            axes.set_xlabel(caption, fontsize=9)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if place % 3 == 0:
                axes.set_title(TITLES[n], fontsize=8, color="0.4")
    figure.savefig(Path(__file__).with_name("front.png"), dpi=110)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
