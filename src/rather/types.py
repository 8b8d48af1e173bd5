"""The types of images, labels, logits and features, by their shapes; and what a resource is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

Image = Float[Tensor, "c h w"]  # c is 1 (grey) or 3 (RGB), pixel values in [0, 1]
Images = Float[Tensor, "b c h w"]  # likewise, everywhere in public
Labels = Int[Tensor, " b"]
Logits = Float[Tensor, "b k"]
Features = Float[Tensor, "b d u v"]
#: A class, by number or name, for all rows or for each.
Target = Int[Tensor, "..."] | np.ndarray | np.integer | int | str | Sequence[int | np.integer | str]


class Resource:
    """What a method needs besides plain settings: a generator, reference images, another classifier."""
