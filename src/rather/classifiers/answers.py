"""What nets answer, and the layer that makes one tensor of logits of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rather.config.errors import RatherError, did_you_mean
from rather.config.settings import Output
from rather.core import Logits

_SUM: Final = 1e-3  # how far from 1 a row of probabilities may sum, in half precision as well


@final
class Asked(nn.Module):
    """A net as a function of one tensor to one tensor: of several answers it takes one."""

    def __init__(self, net: nn.Module, key: str | int | None) -> None:
        super().__init__()
        self.net, self.key = net, key

    def forward(self, x: Any) -> Any:  # no tensors, but what stands for them, while the code is followed
        """The net's tensor, still as the net means it."""
        answer = self.net(x)
        return answer if self.key is None else answer[self.key]

    def extra_repr(self) -> str:
        """Its key: two nets that answer with different tensors are different."""
        return f"key={self.key!r}"


@final
class Plain(nn.Module):
    """A function as a net; nothing can be known of its inside."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        """What the function gives."""
        return self.function(x)


@final
class TwoLogits(nn.Module):
    """The logit l of the second of two classes, as logits (0, l)."""

    def forward(self, logit: Float[Tensor, "b *one"]) -> Float[Tensor, "b 2"]:
        """Of (b,) or (b, 1)."""
        return nn.functional.pad(logit.flatten()[:, None], (1, 0))


@final
class LogOdds(nn.Module):
    """The probability p of the second of two classes, as logits (log(1 - p), log p), which have a floor."""

    def forward(self, p: Float[Tensor, "b *one"]) -> Float[Tensor, "b 2"]:
        """Of (b,) or (b, 1)."""
        p = p.flatten()[:, None]
        given: Tensor = Log()(torch.cat([1 - p, p], 1))
        return given


@final
class Log(nn.Module):
    """Probabilities as their logarithms; 0 is taken for the smallest normal number."""

    def forward(self, p: Float[Tensor, "b k"]) -> Logits:
        """A saturated row has a finite logit, and no gradient."""
        return p.clamp(min=torch.finfo(p.dtype).tiny).log()


def output_of(text: str) -> Output:
    """What somebody wrote, if it is one."""
    if text not in get_args(Output):
        raise RatherError("CFG-SETTING", where=f"output {text}", why="unknown", do=did_you_mean(text, get_args(Output)))
    return cast("Output", text)


def key_of(answer: object) -> str | int | None:
    """Which part of a net's answer is its tensor; None if it is the answer itself.

    Raises:
        RatherError: MODEL-OUTPUT-TYPE if that is not clear.
    """
    if isinstance(answer, Tensor):
        return None
    if isinstance(answer, Mapping):
        parts = dict(answer)
    elif isinstance(answer, tuple) and hasattr(answer, "_fields"):
        parts = dict(zip(answer._fields, answer, strict=True))
    elif isinstance(answer, tuple | list):
        parts = dict(enumerate(answer))
    else:
        raise RatherError("MODEL-OUTPUT-TYPE", where=type(answer).__name__)
    keys = [key for key, part in parts.items() if isinstance(part, Tensor)]
    key = "logits" if "logits" in keys else keys[0] if len(keys) == 1 else None
    if key is None:
        raise RatherError(
            "MODEL-OUTPUT-TYPE",
            where=f"{type(answer).__name__} of {', '.join(map(str, parts)) or 'nothing'}",
            why="which of them are the logits is not clear",
            do="Bring a function that returns the one tensor",
        )
    return list(parts).index(key) if isinstance(answer, tuple) else key


def to_logits(answer: Tensor, output: Output, rows: int) -> nn.Module | None:
    """The layer that makes logits (b, k) of a net's finite answer; None if it is logits already.

    Args:
        answer: what the net said to `rows` images of noise.
        output: what its numbers are said to be.
        rows: how many images.

    Raises:
        RatherError: MODEL-OUTPUT-TYPE, MODEL-OUTPUT-SHAPE, MODEL-ONE-OUTPUT, MODEL-PROBABILITIES or
            MODEL-NOT-PROBABILITIES if it is something else.
    """
    shape = tuple(answer.shape)
    if not answer.is_floating_point():
        raise RatherError(
            "MODEL-OUTPUT-TYPE",
            where=f"{str(answer.dtype).removeprefix('torch.')} of shape {shape}",
            why="numbers of classes do not say how sure it is",
            do="Bring the net without its argmax",
        )
    low, high = float(answer.min()), float(answer.max())
    seen = f"values from {low:.3g} to {high:.3g}"
    share = low >= 0 and high <= 1 + _SUM
    if shape in {(rows,), (rows, 1)}:
        return _of_one(output, seen, share=share)
    if len(shape) != 2 or shape[0] != rows or output.startswith("binary"):  # noqa: PLR2004 - b, k
        wanted = "one number for each" if output.startswith("binary") else "a row of numbers for each"
        raise RatherError("MODEL-OUTPUT-SHAPE", where=shape, why=f"for {rows} images it should be {wanted}")
    return _of_many(output, seen, answer.sum(1), share=share)


def _of_one(output: Output, seen: str, *, share: bool) -> nn.Module:
    """The layer for one number for each image."""
    if output == "binary-logit":
        return TwoLogits()
    if output != "binary-probability":
        likely = "binary-probability" if share else "binary-logit"
        raise RatherError("MODEL-ONE-OUTPUT", why=seen, do=f"Say what it is: output {likely}, most likely")
    if not share:
        raise RatherError("MODEL-NOT-PROBABILITIES", why=seen, do="Say output binary-logit")
    return LogOdds()


def _of_many(output: Output, seen: str, sums: Tensor, *, share: bool) -> nn.Module | None:
    """The layer for a row of numbers for each image, of which the sums are given."""
    exclusive = share and bool(((sums - 1).abs() < _SUM).all())
    if output == "probabilities":
        if not exclusive:
            raise RatherError(
                "MODEL-NOT-PROBABILITIES",
                why=f"{seen}, rows sum to {float(sums.min()):.3g} to {float(sums.max()):.3g}",
                do="Say output logits; of classes that do not exclude each other, bring one at a time",
            )
        return Log()
    if exclusive:
        raise RatherError("MODEL-PROBABILITIES", why=f"{seen}, rows sum to 1", do="Say output probabilities")
    return None


def finish(head: nn.Module, last: nn.Module | None) -> nn.Module:
    """The head with the layer that makes logits of its answer, in the simplest form of the same meaning.

    A head that ends in a plain layer lets searches over cells know what it is, and a softmax that is taken
    away cannot saturate. Log-probabilities lose their LogSoftmax: as logits they mean the same without.
    """
    *layers, end = head if isinstance(head, nn.Sequential) else [head]
    match end, last:
        case (nn.LogSoftmax(dim=1 | -1), None) | (nn.Softmax(dim=1 | -1), Log()):
            return nn.Sequential(*layers)
        case nn.Sigmoid(), LogOdds():
            return finish(nn.Sequential(*layers), TwoLogits())
        case nn.Linear(out_features=1), TwoLogits() if type(end) is nn.Linear:
            return nn.Sequential(*layers, _widened(end))
    return head if last is None else nn.Sequential(*layers, end, last)


def _widened(linear: nn.Linear) -> nn.Linear:
    wide = nn.Linear(linear.in_features, 2, bias=linear.bias is not None, device=linear.weight.device)
    with torch.no_grad():
        wide.weight.copy_(nn.functional.pad(linear.weight, (0, 0, 1, 0)))
        if linear.bias is not None:
            wide.bias.copy_(nn.functional.pad(linear.bias, (1, 0)))
    return wide
