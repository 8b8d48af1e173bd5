"""Draw README's picture, docs/front.png: what `rather explain` finds for six digits and three scenes."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure

import rather
from rather.plots import signed_difference

TITLES = "image", "counterfactual", "what changed"


def main() -> None:
    """Three columns of explanations, each of three pictures."""
    digits = rather.explain("digits", "digits", count=6)
    shapes = rather.explain("shapes", "shapes", count=3)
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    grid = figure.subplots(3, 9)
    for place, row in enumerate([*digits, *shapes]):
        query, image = row.query, row.image
        pictures = query, image, signed_difference(query, image)
        captions = row.predicted, f"{row.target} {row.after.max():.0%}", ""
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
