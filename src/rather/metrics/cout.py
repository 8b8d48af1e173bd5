"""How soon does the answer change, if the change is made pixel by pixel, the most changed ones first?"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Classifier, Images, Labels

_TOGETHER: Final = 64  # pictures: more are slower on a processor, whose caches they exceed


@torch.no_grad()
def cout(
    images: Images, queries: Images, predicted: Labels, target: Labels, classifier: Classifier, *, steps: int = 50
) -> Float[Tensor, " b"]:
    """COUT, the counterfactual transition score, -1 to 1 (higher is better).

    The pixels of the counterfactual come into the query in the order of their change, summed over channels.
    While the share f of them that has come goes from 0 to 1, the score is the area under p(target) less that
    under p(predicted), by the rule of trapezoids: near to 1 if a few pixels are enough and both answers are
    sure. Of a picture without a change it is p(target) - p(predicted) of the query.

    Unit: probability.
    Source: S. Khorram, L. Fuxin, "Cycle-consistent counterfactuals by latent transformations", CVPR 2022.
    Avoids: what `cout_as_published` does.

    Args:
        images: the counterfactuals; published scores are of all of them, of failures too.
        queries: their queries.
        predicted: the class that each query had.
        target: the class that each was to get.
        classifier: whom to ask, of the pixels that have come after each step.
        steps: how many; each is of `max(1, pixels // steps)` pixels, so that there may be some more.

    Raises:
        RatherError: CFG-SETTING for fewer than one step.
    """
    lead, counts, _ = _leads(images, queries, predicted, target, classifier, steps=steps)
    return torch.trapezoid(lead, counts.double() / images.shape[2:].numel(), dim=1)


@torch.no_grad()
def cout_as_published(
    images: Images, queries: Images, predicted: Labels, target: Labels, classifier: Classifier, *, steps: int = 50
) -> Float[Tensor, " b"]:
    """COUT as the papers' public code computes it, -1 to about 1.02 (higher is better).

    For comparison with published tables alone. Where `steps` does not divide the pixels the last step has
    fewer of them and is weighed as if it were whole: by 795 / 784 of 28 x 28 pixels in steps of 15. Of a
    picture without a change it is NaN: the order is by the change over its range, 0 / 0. (ACE takes the score
    of queries that were classified rightly alone: choose them.)

    Unit: probability.
    Source: public code of S. Khorram, L. Fuxin, CVPR 2022, and of ACE, G. Jeanneret et al., CVPR 2023.
    Avoids: nothing; see `cout`.

    Args:
        images: the counterfactuals.
        queries: their queries.
        predicted: the class that each query had.
        target: the class that each was to get.
        classifier: whom to ask, of the pixels that have come after each step.
        steps: as for `cout`.

    Raises:
        RatherError: CFG-SETTING for fewer than one step.
    """
    lead, _, stride = _leads(images, queries, predicted, target, classifier, steps=steps)
    area = torch.trapezoid(lead, dx=stride / images.shape[2:].numel(), dim=1)
    return area.masked_fill((images == queries).flatten(1).all(1), torch.nan)


def _leads(
    images: Images, queries: Images, predicted: Labels, target: Labels, classifier: Classifier, *, steps: int
) -> tuple[Float[Tensor, "b s"], Int[Tensor, " s"], int]:
    """p(target) - p(predicted) after each step, how many pixels have come by then, and the step's size."""
    if steps < 1:
        raise RatherError("CFG-SETTING", where=f"steps {steps}", why="it is below 1")
    pixels = images.shape[2:].numel()
    order = (images - queries).abs().sum(1).flatten(1).argsort(stable=True, dim=1, descending=True)
    place = order.argsort(1).view(-1, 1, *images.shape[2:])
    stride = max(1, pixels // steps)
    counts = torch.tensor([*range(0, pixels, stride), pixels], device=images.device)
    changed = (images != queries).any(1).flatten(1).sum(1, keepdim=True)  # these come first
    last = (counts < changed).sum(1, keepdim=True)  # the first step that has them all: from there nothing new
    new = torch.arange(len(counts), device=images.device) <= last
    lead = torch.zeros(new.shape, dtype=torch.float64, device=images.device)
    # A row at a step is one picture; never are those of all steps in memory.
    for pairs in new.nonzero().split(_TOGETHER):
        row, step = pairs.unbind(1)
        mixed = torch.where(place[row] < counts[step, None, None, None], images[row], queries[row])
        p = classifier(mixed).softmax(1).double()
        lead[row, step] = (p.gather(1, target[row, None]) - p.gather(1, predicted[row, None]))[:, 0]
    return torch.where(new, lead, lead.gather(1, last)), counts, stride
