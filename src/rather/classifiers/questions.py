"""What may be asked of labels that do not exclude each other, and of values: questions with two answers.

A search wants classes of which one is the target. So a label becomes two classes, NAME=no and NAME=yes. Of a value v
the second class is a region, and its log-odds grow with the distance from the region's border:

    v < n:  s (n - v)        v > n:  s (v - n)        n - t <= v <= n + t:  s (t - |v - n|),   s = 4 / t

t is the tolerance, so that the middle of the region has the probability 0.98, and its border 1/2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rather.classifiers.names import normal
from rather.config.errors import RatherError, did_you_mean

Kind = Literal["classes", "labels", "values"]
_SLOPE: Final = 4.0  # log-odds in the middle of a region
_TOLERANCE: Final = 0.05  # of the number that is asked for
_ANSWERS: Final = {"no": 0, "yes": 1}
_NUMBER: Final = re.compile(r"(<|>|=|\+|-|)=?\s*(-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)", re.IGNORECASE)


@final
@dataclass(frozen=True)
class Question:
    """A label, or a value that should lie in a region."""

    text: str  # as it was asked
    column: int  # of the net's outputs
    classes: tuple[str, str]  # the second one is: yes, it has the label; or, it lies in the region
    target: str  # one of the classes; or "next", the other one
    sign: str = ""  # "<", ">", "=" or, relative to each image's own value, "+"; empty for a label
    number: float = 0.0
    tolerance: float = 0.0

    @property
    def relative(self) -> bool:
        """Whether each image has a region of its own."""
        return self.sign == "+"

    def at(self, value: float) -> Question:
        """The question of an image that has this value, if it is relative."""
        return replace(self, sign="=", number=value + self.number) if self.relative else self

    def layer(self, outputs: int) -> nn.Module:
        """From the net's outputs (b, k) to the logits of the two classes (b, 2): 0, and the log-odds of the second."""
        if self.sign in {"=", "+"}:
            return Within(self)
        slope, number = 1.0, 0.0
        if self.sign:
            slope, number = _SLOPE / self.tolerance * (-1 if self.sign == "<" else 1), self.number
        # A plain layer, which searches over cells recognise.
        linear = nn.utils.skip_init(nn.Linear, outputs, 2)
        with torch.no_grad():
            linear.weight.zero_()[1, self.column] = slope
            linear.bias.copy_(torch.tensor([0.0, -slope * number]))
        assert isinstance(linear, nn.Linear)  # noqa: S101 - `skip_init` forgets it
        return linear


@final
class Within(nn.Module):
    """The log-odds that a value lies within a tolerance of a number, or of so much more than the image itself has."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question

    def extra_repr(self) -> str:
        """What is asked: nets that differ in it have different fingerprints."""
        q = self.question
        return f"{q.column}: {q.sign}{q.number} ± {q.tolerance}"

    def forward(self, values: Float[Tensor, "b k"]) -> Float[Tensor, "b 2"]:
        """Of all values of the net."""
        q = self.question
        value = values[:, [q.column]]
        centre = value.detach() + q.number if q.relative else q.number
        odds = _SLOPE / q.tolerance * (q.tolerance - (value - centre).abs())
        return nn.functional.pad(odds, (1, 0))


def question_of(target: object, kind: Kind, names: Sequence[str], net: str, tolerance: float | None = None) -> Question:
    """What a target asks of labels or of values.

    Args:
        target: `Smiling=no`, `Smiling=yes`, or `Smiling`: the other way round; `60`, `=-5`, `+5`, `-5` (from each
            image's own value), `<30`, `>70`, with the value's name before it if there are several.
        kind: labels or values.
        names: of them.
        net: its name, for messages.
        tolerance: how far from the number a value may be; by default 5 % of it.

    Raises:
        RatherError: CFG-CLASS for another target, CFG-SETTING for a tolerance that is not above 0.
    """
    if not isinstance(target, str):
        raise _unclear(repr(target)[:60], kind, names, net)
    text = normal(target).strip()
    return _of_label(text, names, net) if kind == "labels" else _of_value(text, names, net, tolerance)


def _of_label(text: str, names: Sequence[str], net: str) -> Question:
    """`NAME`, `NAME=no` or `NAME=yes`; NAME may be a number."""
    name, answer = text, ""
    if text not in names and "=" in text:
        name, _, answer = text.rpartition("=")
    column = names.index(name) if name in names else int(name) if name.isdecimal() else -1
    if not 0 <= column < len(names) or (answer and answer.lower() not in _ANSWERS):
        raise _unclear(text, "labels", names, net, name)
    classes = (f"{names[column]}=no", f"{names[column]}=yes")
    return Question(text, column, classes, classes[_ANSWERS[answer.lower()]] if answer else "next")


def _of_value(text: str, names: Sequence[str], net: str, tolerance: float | None) -> Question:
    """A number with its sign, after the name of the value."""
    name = max((one for one in names if text.startswith(one)), key=len, default="")
    rest = text.removeprefix(name).strip()
    found = _NUMBER.fullmatch(rest)
    if found is None or (not name and len(names) > 1):
        # "a1" and "a 1" are other names than a value's "a" with a number.
        raise _unclear(text, "values", names, net)
    sign, number = found[1] or "=", float(found[2])
    if tolerance is None:
        tolerance = _TOLERANCE * abs(number)
    if not 0 < tolerance < torch.inf:
        do = "Say how far from it a value may be: --tolerance, or tolerance="
        raise RatherError("CFG-SETTING", where=f"tolerance {tolerance:g} of target {text}", why="not above 0", do=do)
    name = name or names[0]
    near = f"{name} {found[1] if sign in '+-' else ''}{number:g} ± {tolerance:g}"
    both = f"not {near}", near
    if sign in "<>":
        both = f"{name} {'≥' if sign == '<' else '≤'} {number:g}", f"{name} {sign} {number:g}"
    relative = sign in "+-"
    return Question(
        text, names.index(name), both, both[1], "+" if relative else sign, -number if sign == "-" else number, tolerance
    )


def _unclear(text: str, kind: Kind, names: Sequence[str], net: str, name: str = "") -> RatherError:
    """What to say of a target that asks nothing."""
    known = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")  # noqa: PLR2004
    if kind == "labels":
        first = names[0]
        hint = did_you_mean(name, names)
        say = f"Say {first}=no, {first}=yes, or {first} for the other way round"
        do = hint if hint.startswith("Did") and name not in names else say
        return RatherError("CFG-CLASS", where=f"target {text}", why=f"{net} knows the labels {known}", do=do)
    before = names[0] if len(names) > 1 else ""
    do = f"Say {before and before + '='}60, {before}+5, {before}-5, {before}<30 or {before}>70; {before}=-5 is below 0"
    return RatherError("CFG-CLASS", where=f"target {text}", why=f"{net} knows the values {known}", do=do)
