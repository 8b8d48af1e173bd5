"""What nets return, and the layer that makes one tensor of logits of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast, final, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from rather.config.errors import RatherError, did_you_mean
from rather.config.output import Output
from rather.types import Logits

_SUM: Final = 1e-3  # how far from 1 a row of probabilities may sum, in half precision as well


@final
class OneTensor(nn.Module):
    """A net as a function of one tensor to one tensor, which is the part `key` of what the net returns."""

    def __init__(self, net: nn.Module, key: str | int | None) -> None:
        super().__init__()
        self.net, self.key = net, key

    def forward(self, x: Any) -> Any:  # while the net is traced, these are no tensors
        """The net's tensor, not yet logits."""
        returned = self.net(x)
        return returned if self.key is None else returned[self.key]

    def extra_repr(self) -> str:
        """Its key: nets that differ in it have different fingerprints."""
        return f"key={self.key!r}"


@final
class OneByOne(nn.Module):
    """A net that takes one image at a time, as one that takes a batch."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """The rows of its answers for single images."""
        return torch.cat([self.net(one) for one in x.split(1)])


@final
class Function(nn.Module):
    """A function as a net, whose inside is unknown."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        """What the function returns, with tensors for arrays of NumPy."""
        returned = self.function(x)
        return torch.as_tensor(returned, device=x.device) if isinstance(returned, np.ndarray) else returned


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
        return cast("Tensor", Log()(torch.cat([1 - p, p], 1)))


@final
class Log(nn.Module):
    """Probabilities as their logarithms; 0 counts as the smallest normal number."""

    def forward(self, p: Float[Tensor, "b k"]) -> Logits:
        """A saturated row has a finite logit, and no gradient."""
        return p.clamp(min=torch.finfo(p.dtype).tiny).log()


def check_output(output: str) -> None:
    """Refuse a word that is no `Output`."""
    if output not in get_args(Output):
        do = did_you_mean(output, get_args(Output))
        raise RatherError("CFG-SETTING", where=f"output {output}", why="unknown", do=do)


def key_of(returned: object) -> str | int | None:
    """Which part of what a net returns is its tensor; None if all of it is, MODEL-OUTPUT-TYPE if that is unclear."""
    if isinstance(returned, Tensor):
        return None
    if isinstance(returned, Mapping):
        parts = dict(returned)
    elif isinstance(returned, tuple | list):
        parts = dict(zip(getattr(returned, "_fields", range(len(returned))), returned, strict=True))
    else:
        raise RatherError("MODEL-OUTPUT-TYPE", where=type(returned).__name__)
    keys = [key for key, part in parts.items() if isinstance(part, Tensor)]
    key = "logits" if "logits" in keys else keys[0] if len(keys) == 1 else None
    if key is None:
        raise RatherError(
            "MODEL-OUTPUT-TYPE",
            where=f"{type(returned).__name__} of {', '.join(map(str, parts)) or 'nothing'}",
            why="which of them are the logits is not clear",
            do="Give a function that returns the one tensor",
        )
    return list(parts).index(key) if isinstance(returned, tuple) else key


def to_logits(numbers: Tensor, output: Output, rows: int) -> nn.Module | None:
    """The layer that makes logits (b, k) of finite numbers for `rows` images; None if these are logits already.

    Raises:
        RatherError: MODEL-OUTPUT-TYPE, MODEL-OUTPUT-SHAPE, MODEL-ONE-OUTPUT, MODEL-PROBABILITIES or
            MODEL-NOT-PROBABILITIES if they are not what `output` says.
    """
    shape = tuple(numbers.shape)
    if not numbers.is_floating_point():
        raise RatherError(
            "MODEL-OUTPUT-TYPE",
            where=f"{str(numbers.dtype).removeprefix('torch.')} of shape {shape}",
            why="numbers of classes do not say how sure it is",
            do="Give the net without its argmax",
        )
    low, high = float(numbers.min()), float(numbers.max())
    values = f"values from {low:.3g} to {high:.3g}"
    in_unit = low >= 0 and high <= 1 + _SUM
    if shape in {(rows,), (rows, 1)}:
        return _of_one(output, values, in_unit=in_unit)
    if len(shape) != 2 or shape[0] != rows or output.startswith("binary"):  # noqa: PLR2004 - b, k
        wanted = "one number for each" if output.startswith("binary") else "a row of numbers for each"
        raise RatherError("MODEL-OUTPUT-SHAPE", where=shape, why=f"for {rows} images it should be {wanted}")
    return _of_many(output, values, numbers.sum(1), in_unit=in_unit)


def _of_one(output: Output, values: str, *, in_unit: bool) -> nn.Module:
    """The layer for one number for each image."""
    if output == "binary-logit":
        return TwoLogits()
    if output != "binary-probability":
        likely = "binary-probability" if in_unit else "binary-logit"
        raise RatherError("MODEL-ONE-OUTPUT", why=values, do=f"Say what it is: output {likely}, most likely")
    if not in_unit:
        raise RatherError("MODEL-NOT-PROBABILITIES", why=values, do="Say output binary-logit")
    return LogOdds()


def _of_many(output: Output, values: str, sums: Tensor, *, in_unit: bool) -> nn.Module | None:
    """The layer for a row of numbers with this sum for each image."""
    exclusive = in_unit and bool(((sums - 1).abs() < _SUM).all())
    if output == "logits" and exclusive:
        raise RatherError("MODEL-PROBABILITIES", why=f"{values}, rows sum to 1", do="Say output probabilities")
    if output == "probabilities" and not exclusive:
        raise RatherError(
            "MODEL-NOT-PROBABILITIES",
            why=f"{values}, rows sum to {float(sums.min()):.3g} to {float(sums.max()):.3g}",
            do="Say output logits; of classes that do not exclude each other, give one at a time",
        )
    return Log() if exclusive else None


def finish(head: nn.Module, last: nn.Module | None) -> nn.Module:
    """The head with the layer that makes logits, in the simplest form of the same meaning.

    Searches over cells recognise a head that ends in a plain layer, and a softmax that is gone cannot saturate.
    Log-probabilities lose their LogSoftmax: as logits they mean the same without it.
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
    """A linear layer of one output with a zero before it."""
    device, bias = linear.weight.device, linear.bias is not None
    wide = nn.utils.skip_init(nn.Linear, linear.in_features, 2, bias=bias, device=device)  # draws no random numbers
    wide.weight.data = nn.functional.pad(linear.weight.data, (0, 0, 1, 0))
    if bias:
        wide.bias.data = nn.functional.pad(linear.bias.data, (1, 0))
    return cast("nn.Linear", wide)
