"""Do a classifier's answers agree with the labels? If not, are its classes only named in another order?"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest

_FEWEST: Final = 10  # labelled images of which a lack of agreement says something
_CHANCE: Final = 0.05  # that a warning is one too many
_NAMES: Final = 20  # classes at most that are printed as options
_SHOWN: Final = 6  # names of a list
_GOOD: Final = 0.75  # of the images, at least, that another order of the names fits


@final
@dataclass(frozen=True)
class Agreement:
    """How often a classifier says the label of an image."""

    classes: tuple[str, ...]
    counts: Mapping[tuple[str, str], int]  # (label, a class; predicted class) -> images
    strangers: Mapping[tuple[str, str], int]  # the same of labels that are no class

    @property
    def of(self) -> int:
        """The images whose label is a class."""
        return sum(self.counts.values())

    @property
    def right(self) -> int:
        """Of these, those for which the classifier says it."""
        return sum(count for (label, said), count in self.counts.items() if label == said)

    @property
    def by_class(self) -> dict[str, tuple[int, int]]:
        """Of each label: for how many images the classifier says it, and of how many."""
        of = Counter[str]()
        for (label, _), count in self.counts.items():
            of[label] += count
        known = [name for name in self.classes if name in of]
        return {label: (self.counts.get((label, label), 0), of[label]) for label in known}

    def __str__(self) -> str:
        """In a line."""
        if not self.of:
            return "no label is one of its classes"
        return f"agrees with the label on {self.right} of {self.of} images ({100 * self.right / self.of:.0f} %)"

    def told(self) -> dict[str, Any]:
        """As plain data."""
        by_class = {label: list(counts) for label, counts in self.by_class.items()}
        return {"right": self.right, "of": self.of, "by_class": by_class}

    def warnings(self) -> Iterator[str]:
        """What is odd about it, in a sentence each."""
        if self.strangers:
            yield self._of_strangers()
        said = Counter[str]()
        for (_, name), count in self.counts.items():
            said[name] += count
        order, fits = self._best_order()
        if order != self.classes:
            yield (
                f"the names of the classes seem to be in another order. As given they fit {self.right} of {self.of} "
                f"images, as follows {fits}: {_typed(self.classes, order)}"
            )
        elif len(self.by_class) < 2 or self.of < _FEWEST:  # noqa: PLR2004 - a label and another
            return
        elif len(said) == 1:
            yield f"the classifier says {next(iter(said))} of all {self.of} images, whatever their label"
        else:
            chance = sum(said[label] * of for label, (_, of) in self.by_class.items()) / self.of**2
            if binomtest(self.right, self.of, chance, alternative="greater").pvalue > _CHANCE:
                yield f"the classifier agrees with the labels about as often as by chance ({100 * chance:.0f} %)"

    def _of_strangers(self) -> str:
        """A sentence on labels that are no class; where they fit the outputs one by one, how to call those."""
        strangers = [*dict.fromkeys(label for label, _ in self.strangers)]
        some, known = (
            ", ".join(names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN) for names in (strangers, self.classes)
        )
        what = f"no class is called {some}: the classes are {known}"
        if not self.counts and len(strangers) == len(self.classes):
            order, fits = _assigned(self.classes, strangers, self.strangers)
            total = sum(self.strangers.values())
            if total >= _FEWEST and fits >= _GOOD * total:
                return f"{what}. These names fit {fits} of {total} images: {_typed(self.classes, order)}"
        return f'{what}. Say which class it is: --labels "{strangers[0]}=CLASS"'

    def _best_order(self) -> tuple[tuple[str, ...], int]:
        """The names of the outputs in the order that fits the labels far better, if there is one; how many fit."""
        order, fits = _assigned(self.classes, self.classes, self.counts)
        name = dict(zip(self.classes, order, strict=True))
        gains = {pair: n for pair, n in self.counts.items() if name[pair[1]] == pair[0] != pair[1]}
        # One image alone can always be made to fit.
        gained, lost = sum(n for n in gains.values() if n > 1), self.right - (fits - sum(gains.values()))
        moved = sum(n for (label, _), n in self.counts.items() if name[label] != label)
        far = gained > lost and binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue < _CHANCE
        return (order, fits) if far and gained >= _GOOD * moved else (self.classes, self.right)


def _assigned(
    classes: Sequence[str], names: Sequence[str], counts: Mapping[tuple[str, str], int]
) -> tuple[tuple[str, ...], int]:
    """A name for each output, in their order, so that most images fit; and how many do."""
    output, column = ({name: n for n, name in enumerate(some)} for some in (classes, names))
    table = np.zeros((len(classes), len(names)))
    for (label, said), count in counts.items():
        table[output[said], column[label]] += count
    # Where two orders fit equally well, a name stays where it is.
    _, chosen = linear_sum_assignment(table + 0.5 / len(classes) * np.eye(*table.shape), maximize=True)
    return tuple(names[n] for n in chosen), int(table[range(len(classes)), chosen].sum())


def agreement(pairs: Iterable[tuple[str | None, str | None]], classes: Sequence[str]) -> Agreement | None:
    """How labels and answers agree; None where there is no image with both.

    Args:
        pairs: of each image its label and the predicted class, where they are known.
        classes: the classifier's.
    """
    counted = Counter((label, said) for label, said in pairs if label and said and said in classes)
    known = {pair: count for pair, count in counted.items() if pair[0] in classes}
    strangers = {pair: count for pair, count in counted.items() if pair not in known}
    return Agreement(tuple(classes), known, strangers) if counted else None


def _typed(classes: Sequence[str], order: Sequence[str]) -> str:
    """The options that name the outputs in this order, or of many classes the names that change their places."""
    if len(order) <= _NAMES:
        return " ".join(f"--classes {shlex.quote(name)}" for name in order)
    moved = [f"{new} for {old}" for old, new in zip(classes, order, strict=True) if old != new]
    return ", ".join(moved[:_SHOWN]) + ", ..." * (len(moved) > _SHOWN)
