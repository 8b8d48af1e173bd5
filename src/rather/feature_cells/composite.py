"""Edits of feature cells shown in the image: highlights by the receptive field, and the composite image.

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

from rather.core import Classifier, Images, Labels, Logits, SearchResult
from rather.feature_cells.edits import BLOCK, Edit, Edits, OpenEdits, Scores
from rather.search.descend import on_grid
from rather.search.losses import log_probability

Highlights = Float[Tensor, "n h w"]

#: By classifier, which does not change: measuring takes a pass for each cell.
_MEASURED: Final[WeakKeyDictionary[Classifier, Highlights]] = WeakKeyDictionary()


def highlights(classifier: Classifier, like: Images) -> Highlights:
    """How strongly each of the n = u * v feature cells depends on each pixel, from 0 to 1.

    The receptive field is measured, so that any net will do: it is the box of pixels on which the cell's
    features have a gradient, for a few noise images. Within it the intensity falls off as a Gaussian from the
    cell's place, as effective receptive fields do (Luo et al., 2016), with the cells' spacing as its standard
    deviation.

    Args:
        classifier: its feature map is measured.
        like: images of the right shape and device; their values do not matter.
    """
    if classifier not in _MEASURED:
        _MEASURED[classifier] = _measured(classifier, like)
    return _MEASURED[classifier].to(like)


def _measured(classifier: Classifier, like: Images) -> Highlights:
    _, _, height, width = like.shape
    probe = torch.rand(4, *like.shape[1:], generator=torch.Generator().manual_seed(0)).to(like)
    with torch.no_grad():
        u, v = classifier.features(probe).shape[2:]
    # Where the first and the last cell see the whole image, so do those between them.
    boxes = {cell: _box(_seen(classifier, probe, cell, v)) for cell in (0, u * v - 1)}
    whole = all(bool(box.all()) for box in boxes.values())
    fields = []
    for cell in range(u * v):
        row = (cell // v + 0.5) * height / u
        column = (cell % v + 0.5) * width / v
        y = (torch.arange(height).to(like) + 0.5 - row) / (height / u)
        z = (torch.arange(width).to(like) + 0.5 - column) / (width / v)
        box = boxes[0] if whole else boxes.get(cell)
        box = _box(_seen(classifier, probe, cell, v)) if box is None else box
        fields.append(torch.exp(-(y[:, None] ** 2 + z**2) / 2) * box)
    return torch.stack([field / field.max().clamp(min=1e-12) for field in fields])


def _seen(classifier: Classifier, probe: Images, cell: int, columns: int) -> Bool[Tensor, "h w"]:
    """The pixels on which a cell's features have a gradient; none if they have no gradient at all."""
    x = probe.clone().requires_grad_()
    with torch.enable_grad():
        feature = classifier.features(x)[:, :, cell // columns, cell % columns].sum()
    if not feature.requires_grad:
        return torch.zeros_like(x[0, 0], dtype=torch.bool)
    (gradient,) = torch.autograd.grad(feature, x)
    return gradient.abs().sum((0, 1)) > 0


def _box(seen: Tensor) -> Tensor:
    """The smallest box around the true pixels; the whole image if there are none."""
    if not seen.any():
        return torch.ones_like(seen)
    box = torch.zeros_like(seen)
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    box[int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1] = True
    return box


def attention(cells: Sequence[int], highlight: Highlights) -> Float[Tensor, "1 h w"]:
    """The highlights of some cells together, by their maximum."""
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
    """The query with the distractor cell's region laid over each edited cell's region, centres aligned.

    Args:
        x: the query.
        distractor: the image that the edits copy from.
        edits: (query cell, distractor cell), in order; later ones lie above earlier ones.
        highlight: of every cell, from `highlights`.
        grid: (u, v) of the feature map.
    """
    result, v = x, grid[1]
    for i, j in edits:
        moved = _moved(distractor, i // v - j // v, i % v - j % v, grid)
        result = torch.lerp(result, moved, highlight[i])
    return result


def _moved(image: Float[Tensor, "c h w"], down: int, right: int, grid: tuple[int, int]) -> Float[Tensor, "c h w"]:
    """An image moved by so many cells; at the border its nearest pixels are repeated."""
    _, height, width = image.shape
    down, right = round(down * height / grid[0]), round(right * width / grid[1])
    pad = max(abs(down), abs(right))
    wide = F.pad(image[None], (pad, pad, pad, pad), mode="replicate")[0]
    return wide[:, pad - down : pad - down + height, pad - right : pad - right + width]


def promising(
    classifier: Classifier, x: Images, distractor: Images, target: Labels, open_edits: OpenEdits, *, at_most: int
) -> OpenEdits:
    """The open edits that raise log p(target) most to first order in the features, `at_most` of each row.

    By one gradient of the head for all of them. If there is none, those that copy a cell to its own place come first.
    """
    with torch.no_grad():
        maps, other = classifier.features(x), classifier.features(distractor).flatten(2)
    maps.requires_grad_()
    with torch.enable_grad():
        score = log_probability(classifier.head(maps), target).sum()
    if score.requires_grad:
        slope = torch.autograd.grad(score, maps)[0].flatten(2)
        now = (slope * maps.detach().flatten(2)).sum(1)
        gain = slope.transpose(1, 2) @ other - now[:, :, None]
    else:
        gain = torch.eye(open_edits.shape[1]).to(x).expand_as(open_edits)
    gain = gain.nan_to_num(nan=-torch.inf).masked_fill(~open_edits, -torch.inf).flatten(1)
    best = gain.topk(min(at_most, gain.shape[1])).indices
    return torch.zeros_like(open_edits).flatten(1).scatter(1, best, value=True).view_as(open_edits) & open_edits


@final
class PictureEdits(Edits):
    """Edits scored by the composite image: one forward pass of the classifier for each open edit.

    Args:
        classifier: scores the composites.
        highlight: of every cell, from `highlights`.
        grid: (u, v) of the feature map whose cells are edited.
        query: images to edit.
        distractor: images to copy from.
        shortlist: how many edits are scored, those that `promising` puts first; None scores all.
    """

    def __init__(
        self,
        classifier: Classifier,
        highlight: Highlights,
        grid: tuple[int, int],
        query: Images,
        distractor: Images,
        *,
        shortlist: int | None = None,
    ) -> None:
        self.classifier, self.highlight, self.grid, self.shortlist = classifier, highlight, grid, shortlist
        self.images, self.distractor = query.clone(), distractor

    @override
    def logits(self) -> Logits:
        logits: Tensor = self.classifier(on_grid(self.images))
        return logits

    @override
    def scores(self, target: Labels, open_edits: OpenEdits) -> Scores:
        found = self.images.new_full(open_edits.shape, -torch.inf)
        if self.shortlist is not None:
            open_edits = promising(
                self.classifier, self.images, self.distractor, target, open_edits, at_most=self.shortlist
            )
        v, block = self.grid[1], max(1, BLOCK // (8 * self.images[0].numel()))
        for row, wanted in enumerate(target):
            i, j = open_edits[row].nonzero().T
            # Many edits move the distractor by as many cells: each move is made once.
            moves, move = torch.stack([i // v - j // v, i % v - j % v], 1).unique(dim=0, return_inverse=True)
            moved = torch.stack([_moved(self.distractor[row], y, z, self.grid) for y, z in moves.tolist()])
            for i_, j_, move_ in zip(*(each.split(block) for each in (i, j, move)), strict=True):
                pictures = torch.lerp(self.images[row], moved[move_], self.highlight[i_, None])
                found[row, i_, j_] = log_probability(self.classifier(on_grid(pictures)), wanted.expand(len(i_)))
        return found

    @override
    def apply(self, edit: Edit) -> None:
        for row, (i, j) in enumerate(edit.tolist()):
            self.images[row] = composite(self.images[row], self.distractor[row], [(i, j)], self.highlight, self.grid)

    @override
    def keep(self, rows: Bool[Tensor, " b"]) -> None:
        self.images, self.distractor = self.images[rows], self.distractor[rows]


def edit_result(
    classifier: Classifier,
    x: Images,
    distractors: Images,
    grid: tuple[int, int],
    edits: Sequence[Sequence[tuple[int, int]]],
    *,
    log_p: Sequence[Tensor],
    success: Sequence[bool],
    ids: Sequence[str],
    evaluations: Sequence[int],
) -> SearchResult:
    """The result of a search among edits: composites, the path to each, and the highlights of the edited cells.

    Args:
        classifier: its feature cells were edited.
        x: the queries.
        distractors: the image that each was edited with.
        grid: (u, v) of the feature map.
        edits: of each row, in order: (query cell, distractor cell).
        log_p: of each row, log p(target) before the first edit and after each.
        success: whether the edited features are at the goal.
        ids: of the distractors.
        evaluations: forward passes of the head, of each row.
    """
    light = highlights(classifier, x)
    paths = []
    for image, distractor, pairs in zip(x, distractors, edits, strict=True):
        path = [image]
        for pair in pairs:
            path.append(composite(path[-1], distractor, [pair], light, grid))
        paths.append(torch.stack(path))
    return SearchResult(
        images=torch.stack([path[-1] for path in paths]) if paths else x,
        steps=torch.tensor([len(pairs) for pairs in edits], dtype=torch.long),
        evaluations=torch.tensor(evaluations, dtype=torch.long),
        artifacts={
            "path": paths,
            "distractor": list(distractors),
            "query_attention": [attention([i for i, _ in pairs], light) for pairs in edits],
            "distractor_attention": [attention([j for _, j in pairs], light) for pairs in edits],
        },
        info={
            "edits": edits,
            "log_probability": [each.tolist() for each in log_p],
            "confidence": [each.exp().tolist() for each in log_p],
            "flipped_in_features": success,
            "distractor": ids,
        },
    )
