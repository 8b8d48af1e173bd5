"""A classifier that knows nothing: the same net, its weights in another order."""

from __future__ import annotations

from copy import deepcopy

import torch

from rather.core import Classifier


@torch.no_grad()
def shuffled(classifier: Classifier, seed: int = 0) -> Classifier:
    """A copy in which the numbers of each parameter have changed places at random.

    Each layer keeps its numbers, and so the size of what it passes on; what they have learned is gone. The
    running means of batch norms, which are no parameters, stay. J. Adebayo et al., "Sanity checks for
    saliency maps", NeurIPS 2018, who draw new weights.

    Args:
        classifier: to copy; it is left as it is.
        seed: of the new places.
    """
    copy, draw = deepcopy(classifier), torch.Generator().manual_seed(seed)
    for parameter in copy.parameters():
        places = torch.randperm(parameter.numel(), generator=draw).to(parameter.device)
        parameter.copy_(parameter.flatten()[places].view_as(parameter))
    copy.name = f"{classifier.name}, shuffled"
    return copy
