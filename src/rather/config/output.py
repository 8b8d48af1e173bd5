"""What the numbers are that a classifier gives."""

from typing import Final, Literal

Output = Literal[
    "logits", "probabilities", "binary-logit", "binary-probability", "multi-label", "multi-label-logits", "value"
]
#: What the outputs are that are no classes of which each image has one.
LABELS: Final = frozenset({"multi-label", "multi-label-logits"})
VALUES: Final = frozenset({"value"})
#: What each means, in advice.
MEANINGS: Final[dict[Output, str]] = {
    "logits": "a logit for each class",
    "probabilities": "probabilities of classes",
    "binary-logit": "the logit of the second of two classes",
    "binary-probability": "the probability of the second of two classes",
    "multi-label": "labels that do not exclude each other",
    "value": "a quantity, such as an age",
}
