"""What the edits of feature cells look like: the pictures that methods which edit cells bring back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rather.core import Classifier, Images
from rather.feature_cells.composite import attention, composite, highlights


def edit_pictures(
    classifier: Classifier,
    x: Images,
    distractors: Images,
    grid: tuple[int, int],
    edits: Sequence[Sequence[tuple[int, int]]],
) -> tuple[Images, dict[str, list[Tensor]]]:
    """The composite of each row, and beside it the path there, the distractor, and where both were looked at.

    Args:
        classifier: whose cells were edited.
        x: the queries.
        distractors: what each was edited with.
        grid: (u, v) of the feature map.
        edits: of each row, in order: (query cell, distractor cell).
    """
    light = highlights(classifier, x)
    paths = []
    for image, distractor, pairs in zip(x, distractors, edits, strict=True):
        path = [image]
        for pair in pairs:
            path.append(composite(path[-1], distractor, [pair], light, grid))
        paths.append(torch.stack(path))
    return torch.stack([path[-1] for path in paths]) if paths else x, {
        "path": paths,
        "distractor": list(distractors),
        "query_attention": [attention([i for i, _ in pairs], light) for pairs in edits],
        "distractor_attention": [attention([j for _, j in pairs], light) for pairs in edits],
    }
