"""Every error a user can cause: one line that says what, where, why and what to do, and an exit code."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

#: Exit codes: 0 all inputs have an outcome, 1 a fault of ours, 2 usage, 3 finished but some inputs failed,
#: 4 refused before computing (classifier, data, method), 5 the machine (disk, memory, permission),
#: 6 the run folder is in use or belongs to another question, 7 an audit warns, and was asked to fail then,
#: 130 interrupted.
USAGE, SOME_FAILED, REFUSED, MACHINE, BUSY, WARNED, INTERRUPTED = 2, 3, 4, 5, 6, 7, 130

#: code -> (exit code, what is wrong). The one table; docs/errors.md is made from it.
CODES: Final[dict[str, tuple[int, str]]] = {
    "CFG-UNKNOWN": (USAGE, "no such name"),
    "CFG-SETTING": (USAGE, "a setting is not usable"),
    "CFG-CLASS": (USAGE, "no such class"),
    "CFG-REGION": (USAGE, "region does not exist"),
    "CFG-OPTIONS": (USAGE, "these options do not go together"),
    "CFG-FILE": (USAGE, "the settings file is not usable"),
    "DATA-NOT-FOUND": (USAGE, "no such image, folder or data set"),
    "DATA-EMPTY": (USAGE, "no images there"),
    "DATA-DAMAGED": (REFUSED, "a data file is damaged or not the official one"),
    "DATA-NONFINITE": (REFUSED, "pixels must be finite numbers in [0, 1]"),
    "DATA-SHAPE": (REFUSED, "the images do not have the classifier's shape"),
    "DATA-ALL-BAD": (REFUSED, "none of the images can be read"),
    "DATA-NO-REFERENCE": (REFUSED, "the classifier calls no reference image the target class"),
    "IMG-UNREADABLE": (SOME_FAILED, "not an image"),
    "IMG-TRUNCATED": (SOME_FAILED, "image file ends early"),
    "IMG-FORMAT": (SOME_FAILED, "image format not accepted"),
    "IMG-ANIMATED": (SOME_FAILED, "image has several frames"),
    "IMG-DEPTH": (SOME_FAILED, "image has more than 8 bits a channel"),
    "IMG-CHANNELS": (SOME_FAILED, "image has another number of channels than the classifier takes"),
    "IMG-ALPHA": (SOME_FAILED, "image is partly transparent"),
    "IMG-TOO-LARGE": (SOME_FAILED, "image has too many pixels"),
    "IMG-TOO-SMALL": (SOME_FAILED, "image is too small"),
    "IMG-NOT-FILE": (SOME_FAILED, "not a regular file"),
    "IMG-CHANGED": (SOME_FAILED, "image file is another than a moment ago"),
    "IMG-PERMISSION": (SOME_FAILED, "image file cannot be opened"),
    "MODEL-INPUT": (REFUSED, "the classifier does not accept these images"),
    "MODEL-FAILS": (SOME_FAILED, "the classifier fails on an image"),
    "MODEL-PREPROCESS": (REFUSED, "this preprocessing cannot be followed"),
    "MODEL-PROBABILITIES": (REFUSED, "the classifier returns probabilities, not logits"),
    "MODEL-NOT-PROBABILITIES": (REFUSED, "the classifier does not return probabilities of classes"),
    "MODEL-ONE-OUTPUT": (REFUSED, "the classifier has one output"),
    "MODEL-OUTPUT-TYPE": (REFUSED, "the classifier does not return one tensor"),
    "MODEL-OUTPUT-SHAPE": (REFUSED, "the classifier's output has the wrong shape"),
    "MODEL-NONFINITE": (REFUSED, "the classifier returns NaN or infinity"),
    "MODEL-WEIGHTS-NONFINITE": (REFUSED, "the classifier's weights hold NaN or infinity"),
    "MODEL-GRADIENT": (REFUSED, "the classifier gives no usable gradient"),
    "MODEL-TRAIN-MODE": (REFUSED, "the classifier changes its answer from call to call"),
    "MODEL-BATCH-DEPENDENT": (REFUSED, "the classifier's answer depends on the other images of the batch"),
    "MODEL-CODE": (REFUSED, "this is code, and code runs only with consent"),
    "MODEL-FACTORY": (REFUSED, "the code that should make it fails"),
    "MODEL-COPY": (REFUSED, "the classifier cannot be copied"),
    "MODEL-FILE-DAMAGED": (REFUSED, "the file of a net is damaged"),
    "MODEL-FILE-KIND": (REFUSED, "nets are not read from a file of this kind"),
    "MODEL-FILE-SPEC": (REFUSED, "say what this file is"),
    "MODEL-FILE-MISSING": (REFUSED, "a part of the net is missing"),
    "MODEL-WEIGHTS": (REFUSED, "the weights are of another net"),
    "MODEL-ADDRESS": (REFUSED, "the address gives no usable answer"),
    "MODEL-CONVERTED": (REFUSED, "the converted net does not answer as its file does"),
    "MODEL-KIND": (REFUSED, "this file holds another kind of net"),
    "MODEL-NOT-FOUND": (REFUSED, "no such classifier"),
    "MODEL-MISSING-LIBRARY": (REFUSED, "a library that this needs is not installed"),
    "MODEL-LAYER": (REFUSED, "the classifier cannot be cut at this layer"),
    "MODEL-CLASSES": (REFUSED, "the names of the classes do not fit the classifier"),
    "MODEL-NO-CLASSES": (REFUSED, "the classifier's outputs are no classes of which an image has one"),
    "MODEL-MEMBERS": (REFUSED, "these classifiers make no ensemble"),
    "GEN-MISSING": (REFUSED, "this method needs a generator"),
    "GEN-NOT-FOUND": (REFUSED, "no such generator"),
    "GEN-SIZE": (REFUSED, "the shapes of the generator do not fit"),
    "GEN-RANGE": (REFUSED, "the generator's pixels are not in the range that it says"),
    "GEN-NONFINITE": (REFUSED, "the generator gives NaN or infinity"),
    "TRAIN-DATA": (REFUSED, "these images cannot train a net"),
    "TRAIN-CHECKPOINT": (REFUSED, "training cannot go on from this checkpoint"),
    "TRAIN-NONFINITE": (REFUSED, "training diverged"),
    "STORE-NOT-WRITABLE": (MACHINE, "the folder cannot be written"),
    "RUN-MEMORY": (MACHINE, "the memory is too small for a single image"),
    "RUN-TIMEOUT": (SOME_FAILED, "an image took longer than the time limit"),
    "RUN-FAULT": (SOME_FAILED, "the search fails on an image"),
    "STORE-DISK-FULL": (MACHINE, "the disk is full"),
    "RUN-NOT-FOUND": (USAGE, "no run there"),
    "RUN-BUSY": (BUSY, "another process works on this run"),
    "RUN-MISMATCH": (BUSY, "the folder holds a run of another question"),
    "RUN-DAMAGED": (BUSY, "the run cannot be read"),
}

#: Why an image has no counterfactual, where that is no error: of its row in the store, and in the report.
REASONS: Final[dict[str, str]] = {
    "BUDGET": "No counterfactual within the budget; the best attempt is shown.",
    "GRADIENT-NONFINITE": "No counterfactual: where the search ended the classifier's gradient is NaN or infinite.",
    "LOST-IN-SAVING": "Found, and lost again when rounded to the 8 bits of a picture, which is shown.",
    "NO-REGION": "The image has no pixel in the region that may change.",
    "NONFINITE": "The search left the finite numbers.",
    "ALREADY-TARGET": "The classifier says so already.",
}


class Stopped(SystemExit):
    """A signal ends the program: not to be taken for a net that does."""


class RatherError(ValueError):
    """Something a user can mend.

    Args:
        code: a key of `CODES`.
        where: the file, option or value at fault.
        why: what was seen, in a few words.
        do: one thing to do about it.
    """

    def __init__(self, code: str, *, where: object = "", why: str = "", do: str = "") -> None:
        self.code, self.where, self.why, self.do = code, str(where), why, do
        self.exit_code, self.what = CODES[code]
        line = self.what + (f": {self.where}" if self.where else "") + (f" ({why})" if why else "") + "."
        # A file's name may hold any text: nothing in it may move the cursor or start a new line.
        super().__init__("".join(c if c.isprintable() else "�" for c in line + (f" {do}." if do else "")))


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A sentence (without its full stop) that names the nearest three names, or the first few of all.

    >>> did_you_mean("wachtre", ["wachter", "goyal"])
    'Did you mean wachter'
    >>> did_you_mean("SMILING", ["smiling", "not smiling"])
    'Did you mean smiling or not smiling'
    """
    known = [str(n) for n in names]
    by_letters = {one.casefold(): one for one in known[::-1]}
    close = get_close_matches(name.casefold(), by_letters, n=3, cutoff=0.6)
    if close:
        return "Did you mean " + " or ".join(by_letters[one] for one in close)
    return "Choose from " + ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")  # noqa: PLR2004


def brief(error: Exception) -> str:
    """The first line of another library's error, cut to a length that a message can hold."""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}"[:200].rstrip(" .:")
