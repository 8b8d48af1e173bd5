"""Drawings of results: what changed, where a method looked, a sheet of all rows, the path of a search."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from rather.io.png import seen
from rather.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rather.core import Counterfactuals

Drawing = Float[Tensor, "3 h w"]

#: Colours of pixels that became brighter or darker: orange and blue differ for every kind of colour blindness.
BRIGHTER: Final = (0.88, 0.40, 0.02)
DARKER: Final = (0.05, 0.27, 0.68)
RECOLOURED: Final = (0.36, 0.35, 0.37)

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_SCALES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
_SHEET_ROWS = 24
_TINTS = ("#fbfaf7", "#fdeadb", "#fac79c", "#f59c55")  # from no to full probability; light enough to draw on
_INK = 0.5  # how strong a background of small images may be


def difference_scale(query: Image, counterfactual: Image) -> float:
    """The change that `signed_difference` draws in full colour: the largest, rounded up."""
    largest = float((counterfactual - query).abs().max())
    return next((scale for scale in _SCALES if largest <= scale + 1e-6), 1.0)


def signed_difference(query: Image, counterfactual: Image, scale: float | None = None) -> Drawing:
    """What changed: orange where brighter, blue where darker, dark grey where only the colour changed.

    The strength is the largest change among the channels, the hue the share of it that is a change of
    luminance. The query is in the background, in light greys.

    Args:
        query: the image.
        counterfactual: of the same shape.
        scale: the change, in pixel values, of full colour; by default `difference_scale`.
    """
    scale = scale or difference_scale(query, counterfactual)
    change = counterfactual - query
    strength = (change.abs().amax(0, keepdim=True) / scale).clamp(0, 1)
    share = _luminance(change) / _luminance(change.abs()).clamp(min=1e-9)  # -1 all darker, 1 all brighter
    colour = torch.lerp(_colour(RECOLOURED), _colour(BRIGHTER), share.clamp(min=0))
    colour = torch.lerp(colour, _colour(DARKER), (-share).clamp(min=0))
    ground = (0.95 - 0.09 * _luminance(query)).expand(3, -1, -1)
    return torch.lerp(ground, colour, strength)


def highlight(image: Image, attention: Float[Tensor, "1 u v"], side: int = 224) -> Float[Tensor, "3 height width"]:
    """An image whose attended region is outlined, and veiled elsewhere.

    Args:
        image: to draw on; a small one is enlarged with square pixels, so that the outline is fine.
        attention: weight of each place, from 0 to 1; stretched to the image, outlined at one half.
        side: least length, in pixels, of the longer side of the drawing.
    """
    factor = max(1, math.ceil(side / max(image.shape[1:])))
    large = F.interpolate(image[None].expand(-1, 3, -1, -1), scale_factor=factor, mode="nearest")[0]
    weight = F.interpolate(attention[None], large.shape[1:], mode="bilinear")[0]
    veiled = torch.lerp(large, torch.full_like(large, 0.5), 0.5 * (1 - weight))
    inside = (weight >= 0.5).float()  # noqa: PLR2004 - one half
    line = max(1, round(max(large.shape[1:]) / 80))
    # White within black: one of the two is visible on any image.
    black, white = _grown(inside, line) - inside, inside - (1 - _grown(1 - inside, line))
    return torch.where(white > 0, 1.0, torch.where(black > 0, 0.0, veiled))


def sheet(counterfactuals: Counterfactuals) -> Figure:
    """Query, counterfactual and what changed, with the classifier's probabilities, one row for each image."""
    from matplotlib.figure import Figure

    c = counterfactuals
    rows = min(len(c), _SHEET_ROWS)
    figure = Figure(figsize=(6.4, 2.3 * max(rows, 1)), layout="constrained")
    if rows < len(c):
        figure.suptitle(f"The first {rows} of {len(c)}", fontsize=9)
    for row, panels in enumerate(figure.subplots(rows, 3, squeeze=False) if rows else ()):
        query, image = c.queries[row].cpu(), c.images[row].cpu()
        predicted, target = int(c.before[row].argmax()), int(c.goal.target[row])
        before = ", ".join(f"{c.classes[k]} {c.before[row, k]:.0%}" for k in dict.fromkeys((predicted, target)))
        after = ", ".join(f"{c.classes[k]} {c.after[row, k]:.0%}" for k in dict.fromkeys((target, predicted)))
        scale = difference_scale(query, image)
        titles = (
            f"{c.classes[predicted]} \N{RIGHTWARDS ARROW} {c.classes[target]}\n{before}",
            f"{'found' if c.success[row] else 'not found (' + c.failure[row] + ')'}\n{after}",
            f"what changed\nfull colour at \N{PLUS-MINUS SIGN}{scale:g}",
        )
        for panel, picture, title in zip(
            panels, (query, image, signed_difference(query, image, scale)), titles, strict=True
        ):
            panel.imshow(seen(picture).expand(3, -1, -1).permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
            panel.set_title(title.replace("$", r"\$"), fontsize=8, loc="left")
            panel.set_axis_off()
    return figure


def trajectory(
    path: Float[Tensor, "n 2"],
    probability: Float[Tensor, "v u"],
    window: tuple[float, float, float, float],
    manifold: Float[Tensor, "r s c h w"] | None = None,
) -> Figure:
    """The path of a search through a two-dimensional latent space, over the probability of its target.

    Args:
        path: points on the path, from the image to the end.
        probability: of the target, on an even grid over the window, its lowest row first.
        window: left, right, bottom and top of what is shown.
        manifold: images of the latents in the middle of r x s even cells of the window, lowest row first.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.patheffects import Normal, Stroke

    figure = Figure(figsize=(4.8, 4.3), layout="constrained")
    axes = figure.subplots()
    tint = LinearSegmentedColormap.from_list("target", _TINTS)
    ground = axes.imshow(
        probability.cpu().numpy(),
        cmap=tint,
        vmin=0,
        vmax=1,
        extent=window,
        origin="lower",
        interpolation="bilinear",
        aspect="auto",
    )
    if manifold is not None:
        axes.imshow(_ink(manifold).numpy(), extent=window, origin="lower", interpolation="nearest", aspect="auto")
    left, right, bottom, top = window
    u, v = torch.linspace(left, right, probability.shape[1]), torch.linspace(bottom, top, len(probability))
    if probability.min() < 0.5 < probability.max():  # noqa: PLR2004 - one half
        axes.contour(u, v, probability.cpu(), [0.5], colors="#a8480a", linewidths=1.2, linestyles="--")
    around = [Stroke(linewidth=5, foreground="white"), Normal()]
    x, y = path.cpu().T.tolist()
    axes.plot(x, y, color="#0d45ad", lw=2.2, marker="o", ms=3.5, path_effects=around, solid_joinstyle="round")
    for place, marker, size, name in ((0, "o", 10, "image"), (-1, "*", 17, "end of the search")):
        axes.plot(
            x[place], y[place], marker, ms=size, mfc="#0d45ad", mec="white", mew=1.5, ls="none", label=name, zorder=4
        )
    bar = figure.colorbar(ground, ax=axes, fraction=0.05, pad=0.02, ticks=[0, 0.5, 1])
    bar.set_label("P(target)", fontsize=11)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=10, length=0)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_xlabel("$z_1$", fontsize=12), axes.set_ylabel("$z_2$", fontsize=12)
    axes.tick_params(labelsize=10, length=3, color="#999999")
    for edge in axes.spines.values():
        edge.set_color("#cccccc")
    figure.legend(loc="outside upper left", ncols=2, fontsize=10, frameon=False, handletextpad=0.2)
    return figure


def figure_image(figure: Figure) -> Drawing:
    """A figure as an image on white."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return torch.from_numpy(np.array(canvas.buffer_rgba())[..., :3]).permute(2, 0, 1).float() / 255


def figure_png(figure: Figure) -> bytes:
    """A figure as a PNG, the same bytes each time."""
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=100, metadata={"Software": None})
    return sink.getvalue()


def _ink(manifold: Float[Tensor, "r s c h w"]) -> Float[Tensor, "height width 4"]:
    """Images side by side, lowest row first, as grey ink where they differ from their own ground."""
    ground = manifold.flatten(3).median(3).values[..., None, None]
    ink = (manifold - ground).abs().amax(2).flip(2)  # (r, s, h, w), upside down as the rows are
    sheet = ink.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    return torch.cat([torch.full((*sheet.shape, 3), 0.3), _INK * sheet.clamp(0, 1)[..., None].cpu()], -1)


def _grown(area: Float[Tensor, "1 h w"], by: int) -> Float[Tensor, "1 h w"]:
    return F.max_pool2d(area[None], 2 * by + 1, stride=1, padding=by)[0]


def _luminance(image: Image) -> Float[Tensor, "1 h w"]:
    weights = torch.tensor(_LUMA) if len(image) == len(_LUMA) else torch.full((len(image),), 1 / len(image))
    return image if len(image) == 1 else (image * weights[:, None, None]).sum(0, keepdim=True)


def _colour(rgb: tuple[float, float, float]) -> Float[Tensor, "3 1 1"]:
    return torch.tensor(rgb)[:, None, None]
