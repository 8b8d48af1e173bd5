"""What the numbers are that a classifier gives."""

from typing import Literal

Output = Literal["logits", "probabilities", "binary-logit", "binary-probability"]
