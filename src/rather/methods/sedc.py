"""Replaces regions of the picture, the best first, until the class changes. Vermeire et al., 2022.

    E = {};  until C(x with E replaced) = c':   E <- E + argmax over regions s of log p(c' | x with E + s replaced)

T. Vermeire, D. Brughmans, S. Goethals, R. M. Barbossa de Oliveira, D. Martens, "Explainable image classification with
evidence counterfactual", Pattern Analysis and Applications 25, 2022: SEDC-T. It only asks the classifier questions,
so that a function, an ONNX file or an address will do.
Ours: the regions are cells of a grid with soft borders, as the masks of RISE (V. Petsiuk, A. Das, K. Saenko, BMVC
2018), not quickshift's; what replaces them can also be the same place of a real image of the target class, so that
evidence is added, not only removed; the search never goes back. As in the paper no region is superfluous: in the end
each is put back, if the class stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Final, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F

from rather.core import NOT_GIVEN, Classifier, Goal, Images, LoadableImages, Method, Noise, SearchResult
from rather.search.descend import on_grid
from rather.search.losses import goal_loss
from rather.search.references import Choice, References

Chosen = list[int]  # numbers of regions, row by row
_BLUR: Final = 5  # the blur's radius is a fifth of the picture's side


@final
class SEDC(Method):
    """Replace regions of the query, the one that makes the target most probable first, until it is predicted."""

    gradient = "none"

    references: LoadableImages[References | None] = NOT_GIVEN
    """Images to copy from; each query takes one that the classifier assigns to the target."""
    distractor: Choice = "nearest"
    """Reference to copy from: a random one, or the nearest in the classifier's features or in pixels."""
    fill: Literal["reference", "blur", "mean"] | None = None
    """What replaces a region: the same place of a reference (the default, if any), of a blur, or the mean colour."""
    grid: Annotated[int, Field(ge=2, le=32)] = 7
    """Regions in a row, and in a column; more of them are finer, for questions that grow with the fourth power."""
    queries: PositiveInt = 2000
    """Maximum number of images that the classifier is asked about in search of one counterfactual."""

    @model_validator(mode="after")
    def _has_a_fill(self) -> SEDC:
        if self.fill == "reference" and self.references is None:
            raise ValueError("fill=reference needs references")
        return self

    @torch.no_grad()
    def search(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> SearchResult:
        """Images: `path`, `mask`, `distractor`. Info: `regions`, each as [row, column], in the order of choice."""
        fill, ids = self._fill(classifier, x, goal, noise)
        pictures = _Pictures(classifier, x, fill, goal, self.grid)
        order = self._needed(pictures, *self._enough(pictures))
        path = [pictures.replaced([row] * (len(c) + 1), [c[:n] for n in range(len(c) + 1)]) for row, c in order.items()]
        artifacts = {"mask": [*pictures.masks([*order.values()])], "path": path}
        return SearchResult(
            images=pictures.replaced([*order], [*order.values()]),
            steps=torch.tensor([*map(len, order.values())], device=x.device),
            evaluations=torch.tensor(pictures.asked, device=x.device),
            artifacts=artifacts | ({"distractor": [*fill]} if ids else {}),
            info={"regions": [[[*divmod(one, self.grid)] for one in chosen] for chosen in order.values()], **ids},
        )

    def _fill(self, classifier: Classifier, x: Images, goal: Goal, noise: Noise) -> tuple[Images, dict[str, list[str]]]:
        """What replaces the regions of each query; of a reference, which one it is."""
        if self.fill == "mean":
            return x.mean((2, 3), keepdim=True).expand_as(x), {}
        if self.fill == "blur" or self.references is None:
            radius = max(min(x.shape[2:]) // _BLUR, 1)
            blur = partial(F.avg_pool2d, kernel_size=2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
            return blur(blur(x)), {}
        references = self.references
        chosen = references.choose(classifier, x, goal.target, noise, self.distractor, confidence=goal.confidence)
        return references.images[chosen].to(x), {"reference": [references.ids[n] for n in chosen.tolist()]}

    def _enough(self, pictures: _Pictures) -> tuple[dict[int, Chosen], list[int]]:
        """The regions of each row in the order in which they were replaced, and the rows that are at their goal."""
        order, reached = {row: list[int]() for row in range(len(pictures.asked))}, list[int]()
        rows = [*order]
        while rows:
            tries = {r: [[*order[r], one] for one in range(self.grid**2) if one not in order[r]] for r in rows}
            # To put each of them back takes a question, too.
            left = {row: self.queries - pictures.asked[row] - len(order[row]) for row in rows}
            best = pictures.best({row: some for row, some in tries.items() if 0 < len(some) < left[row]})
            order |= {row: chosen for row, (chosen, _) in best.items()}
            reached += [row for row, (_, there) in best.items() if there]
            rows = [row for row, (_, there) in best.items() if not there]
        return order, reached

    def _needed(self, pictures: _Pictures, order: dict[int, Chosen], reached: Sequence[int]) -> dict[int, Chosen]:
        """The same without the regions that can be put back one after the other, the first choice first."""
        first = {row: order[row] for row in reached}
        for n in range(self.grid**2):
            tries = {
                row: [[one for one in order[row] if one != chosen[n]]]
                for row, chosen in first.items()
                if n < len(chosen) and len(order[row]) > 1
            }
            order = order | {row: fewer for row, (fewer, there) in pictures.best(tries).items() if there}
        return order


@final
class _Pictures:
    """The queries with some of their regions replaced, and what the classifier says of them."""

    def __init__(self, classifier: Classifier, x: Images, fill: Images, goal: Goal, grid: int) -> None:
        self.classifier, self.x, self.fill, self.goal = classifier, x, fill, goal
        cells = torch.eye(grid**2, device=x.device).view(-1, 1, grid, grid)
        self.cells = F.interpolate(cells, size=x.shape[2:], mode="bilinear")  # they sum to 1
        self.asked = [0] * len(x)

    def masks(self, regions: Sequence[Chosen]) -> Float[Tensor, "m 1 h w"]:
        """How much of each pixel is replaced."""
        return torch.stack([self.cells[chosen].sum(0) for chosen in regions]).clamp(max=1)

    def replaced(self, rows: Sequence[int], regions: Sequence[Chosen]) -> Images:
        """Pictures of these rows, each with these regions replaced."""
        return on_grid(torch.lerp(self.x[[*rows]], self.fill[[*rows]], self.masks(regions)))

    def best(self, tries: Mapping[int, Sequence[Chosen]]) -> dict[int, tuple[Chosen, bool]]:
        """For each row the regions that make its target most probable, and whether it is at its goal with them.

        The classifier is asked about as many pictures at once as there are queries.
        """
        asked = [(row, chosen) for row, some in tries.items() for chosen in some]
        losses, there = torch.zeros(len(asked)), torch.zeros(len(asked), dtype=torch.bool)
        for start in range(0, len(asked), len(self.x)):
            part = slice(start, start + len(self.x))
            rows, regions = zip(*asked[part], strict=True)
            images, goal = self.replaced(rows, regions), self.goal[torch.tensor(rows)]
            losses[part], there[part] = goal_loss(self.classifier, images, goal)
        least, best = dict[int, float](), dict[int, tuple[Chosen, bool]]()
        for (row, chosen), loss, reached in zip(asked, losses.tolist(), there.tolist(), strict=True):
            self.asked[row] += 1
            if row not in best or loss < least[row]:
                least[row], best[row] = loss, (chosen, reached)
        return best
