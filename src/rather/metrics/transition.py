"""How soon does the prediction change, if the change is made pixel by pixel, the most changed ones first?"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from rather.config.errors import RatherError
from rather.core import Classifier, Images, Labels
from rather.metrics.registry import metric

_BATCH: Final = 64  # pictures: more are slower on a processor, whose caches they exceed


@metric(title="COUT", theme="answers", unit="probability", better="higher", over="answered", version=1)
@torch.no_grad()
def cout(
    counterfactuals: Images,
    queries: Images,
    predicted: Labels,
    target: Labels,
    classifier: Classifier,
    *,
    steps: int = 50,
) -> Float[Tensor, " b"]:
    """COUT, the counterfactual transition score, -1 to 1.

    The pixels of the counterfactual come into the query in the order of their change, summed over channels. While the
    share f of them that has come goes from 0 to 1, the score is the area under p(target) less that under p(predicted),
    by the rule of trapezoids: near 1 if a few pixels are enough and both predictions are sure. For a picture without a
    change it is p(target) - p(predicted) of the query.

    Source: S. Khorram, L. Fuxin, "Cycle-consistent counterfactuals by latent transformations", CVPR 2022.
    Avoids: a last step of fewer pixels that is weighed as if it were whole, and NaN of a picture without a change:
    so the public code of the paper, and of ACE.

    Args:
        counterfactuals: published scores are of all of them, failures included.
        queries: their queries.
        predicted: the class that each query had.
        target: the class that each was to get.
        classifier: it is asked after each step.
        steps: each has `max(1, pixels // steps)` pixels, so that there may be some more.

    Raises:
        RatherError: CFG-SETTING for fewer than one step.
    """
    if steps < 1:
        raise RatherError("CFG-SETTING", where=f"steps {steps}", why="it is below 1")
    pixels = counterfactuals.shape[2:].numel()
    order = (counterfactuals - queries).abs().sum(1).flatten(1).argsort(stable=True, dim=1, descending=True)
    place = order.argsort(1).view(-1, 1, *counterfactuals.shape[2:])
    counts = torch.tensor([*range(0, pixels, max(1, pixels // steps)), pixels], device=counterfactuals.device)
    changed = (counterfactuals != queries).any(1).flatten(1).sum(1, keepdim=True)  # these come first
    last = (counts < changed).sum(1, keepdim=True)  # the first step that has them all: from there nothing new
    new = torch.arange(len(counts), device=counterfactuals.device) <= last
    lead = torch.zeros(new.shape, dtype=torch.float64, device=counterfactuals.device)
    # A row at a step is one picture; never are those of all steps in memory.
    for pairs in new.nonzero().split(_BATCH):
        row, step = pairs.unbind(1)
        mixed = torch.where(place[row] < counts[step, None, None, None], counterfactuals[row], queries[row])
        p = classifier(mixed).softmax(1).double()
        lead[row, step] = (p.gather(1, target[row, None]) - p.gather(1, predicted[row, None]))[:, 0]
    return torch.trapezoid(torch.where(new, lead, lead.gather(1, last)), counts.double() / pixels, dim=1)
