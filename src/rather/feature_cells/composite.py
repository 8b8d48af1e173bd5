"""Edits of feature cells shown in the image: highlights by the receptive field, and the composite picture.

Goyal et al. (2019), section 4.1: a cell is highlighted by the receptive field of its feature; the composite
aligns the centres of the two highlighted regions and lays the distractor's over the query's, with the
highlight's intensity as its transparency.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, final
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from rather.core import Classifier, Images, Labels, Logits
from rather.feature_cells.edits import BLOCK, Edit, Edits, OpenEdits, Scores
from rather.search.descend import on_grid
from rather.search.losses import log_probability

Highlights = Float[Tensor, "n h w"]

#: Of classifiers already measured: it takes a pass for each cell, and a classifier does not change.
_MEASURED: Final[WeakKeyDictionary[Classifier, Highlights]] = WeakKeyDictionary()


def highlights(classifier: Classifier, like: Images) -> Highlights:
    """How much each of the n = u * v feature cells looks at each pixel, from 0 to 1.

    The field is measured, not computed from the layers, so that any net will do: it is the box of pixels on
    which the cell's features have a gradient, for a few noise images. Within it the intensity falls off as a
    Gaussian from the cell's own place, as effective receptive fields do (Luo et al., 2016), with the cell's
    pitch as its standard deviation.

    Args:
        classifier: whose map it is.
        like: images of the right shape and device; their values are not looked at.
    """
    if classifier not in _MEASURED:
        _MEASURED[classifier] = _measured(classifier, like)
    return _MEASURED[classifier].to(like)


def _measured(classifier: Classifier, like: Images) -> Highlights:
    _, _, height, width = like.shape
    probe = torch.rand(4, *like.shape[1:], generator=torch.Generator().manual_seed(0)).to(like)
    with torch.no_grad():
        u, v = classifier.features(probe).shape[2:]
    fields = []
    for cell in range(u * v):
        x = probe.clone().requires_grad_()
        with torch.enable_grad():
            feature = classifier.features(x)[:, :, cell // v, cell % v].sum()
            (gradient,) = torch.autograd.grad(feature, x)
        seen = gradient.abs().sum((0, 1)) > 0
        row = (cell // v + 0.5) * height / u
        column = (cell % v + 0.5) * width / v
        y = (torch.arange(height).to(like) + 0.5 - row) / (height / u)
        z = (torch.arange(width).to(like) + 0.5 - column) / (width / v)
        fields.append(torch.exp(-(y[:, None] ** 2 + z**2) / 2) * _box(seen))
    return torch.stack([field / field.max().clamp(min=1e-12) for field in fields])


def _box(seen: Tensor) -> Tensor:
    """The smallest box of ones around what is true; everything, where nothing is."""
    if not seen.any():
        return torch.ones_like(seen)
    box = torch.zeros_like(seen)
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    box[int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1] = True
    return box


def attention(cells: Sequence[int], highlight: Highlights) -> Float[Tensor, "1 h w"]:
    """The highlights of some cells together: what an edit, or all of them, looked at."""
    if not cells:
        return torch.zeros_like(highlight[:1])
    return highlight[list(cells)].amax(0, keepdim=True)


def composite(
    x: Float[Tensor, "c h w"],
    distractor: Float[Tensor, "c h w"],
    edits: Iterable[tuple[int, int]],
    highlight: Highlights,
    grid: tuple[int, int],
) -> Float[Tensor, "c h w"]:
    """The query with each edited cell's region laid over by the distractor cell's, centres aligned.

    Args:
        x: the query.
        distractor: the image that the edits copy from.
        edits: (query cell, distractor cell), in order; later ones lie above earlier ones.
        highlight: of every cell, from `highlights`.
        grid: (u, v) of the feature map.
    """
    result, v = x, grid[1]
    for mine, theirs in edits:
        moved = _moved(distractor, mine // v - theirs // v, mine % v - theirs % v, grid)
        result = torch.lerp(result, moved, highlight[mine])
    return result


def _moved(image: Float[Tensor, "c h w"], down: int, right: int, grid: tuple[int, int]) -> Float[Tensor, "c h w"]:
    """An image moved by so many cells; what comes in from outside are its nearest pixels."""
    _, height, width = image.shape
    down, right = round(down * height / grid[0]), round(right * width / grid[1])
    pad = max(abs(down), abs(right))
    wide = F.pad(image[None], (pad, pad, pad, pad), mode="replicate")[0]
    return wide[:, pad - down : pad - down + height, pad - right : pad - right + width]


@final
class PictureEdits(Edits):
    """Edits judged by the composite picture: the classifier is asked about that of every open edit.

    Args:
        classifier: whom to ask.
        highlight: of every cell, from `highlights`.
        grid: (u, v) of the feature map whose cells are edited.
        query: images to edit.
        distractor: images to copy from.
    """

    def __init__(
        self, classifier: Classifier, highlight: Highlights, grid: tuple[int, int], query: Images, distractor: Images
    ) -> None:
        self.classifier, self.highlight, self.grid = classifier, highlight, grid
        self.mine, self.theirs = query.clone(), distractor

    @override
    def logits(self) -> Logits:
        given: Tensor = self.classifier(on_grid(self.mine))
        return given

    @override
    def scores(self, target: Labels, open_edits: OpenEdits) -> Scores:
        found = self.mine.new_full(open_edits.shape, -torch.inf)
        (u, v), block = self.grid, max(1, BLOCK // (8 * self.mine[0].numel()))
        for row, wanted in enumerate(target):
            # Many edits move the distractor by as many cells: each move is made once.
            moves = [(down, right) for down in range(1 - u, u) for right in range(1 - v, v)]
            moved = torch.stack([_moved(self.theirs[row], *move, self.grid) for move in moves])
            for i, j in (part.T for part in open_edits[row].nonzero().split(block)):
                move = (i // v - j // v + u - 1) * (2 * v - 1) + i % v - j % v + v - 1
                pictures = torch.lerp(self.mine[row], moved[move], self.highlight[i, None])
                found[row, i, j] = log_probability(self.classifier(on_grid(pictures)), wanted.expand(len(i)))
        return found

    @override
    def apply(self, edit: Edit) -> None:
        for row, (i, j) in enumerate(edit.tolist()):
            self.mine[row] = composite(self.mine[row], self.theirs[row], [(i, j)], self.highlight, self.grid)

    @override
    def keep(self, rows: Bool[Tensor, " b"]) -> None:
        self.mine, self.theirs = self.mine[rows], self.theirs[rows]
