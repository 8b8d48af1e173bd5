"""What nets return, and the layer that makes one tensor of logits of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast, final, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from rather.config.errors import RatherError, did_you_mean
from rather.config.output import MEANINGS, Output
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


@final
class LabelLogits(nn.Module):
    """The probability p of each label, as its logit log p - log(1 - p)."""

    def forward(self, p: Float[Tensor, "b *k"]) -> Logits:
        """Of (b, k), or (b,) for one label."""
        log = Log()
        return cast("Tensor", log(_columns(p)) - log(1 - _columns(p)))


@final
class Columns(nn.Module):
    """Numbers (b,) as (b, 1)."""

    def forward(self, numbers: Float[Tensor, "b *k"]) -> Float[Tensor, "b k"]:
        """Of (b, k), or (b,)."""
        return _columns(numbers)


def _columns(numbers: Tensor) -> Tensor:
    return numbers if numbers.ndim == 2 else numbers[:, None]  # noqa: PLR2004 - b, k


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
    """The layer that makes what heads give of finite numbers for `rows` images; None if these are that already.

    Heads give a logit for each class, or for each label, or values: (b, k).

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
    one = shape in {(rows,), (rows, 1)}
    if not one and (len(shape) != 2 or shape[0] != rows or output.startswith("binary")):  # noqa: PLR2004 - b, k
        wanted = "one number for each" if output.startswith("binary") else "a row of numbers for each"
        raise RatherError("MODEL-OUTPUT-SHAPE", where=shape, why=f"for {rows} images it should be {wanted}")
    if one and output in {"logits", "probabilities"}:
        raise RatherError("MODEL-ONE-OUTPUT", why=_range(numbers), do=_advice(numbers))
    if output == "logits" and _sums_to_one(numbers):
        raise RatherError("MODEL-PROBABILITIES", why=f"{_range(numbers)}, rows sum to 1", do="Say output probabilities")
    layer = LabelLogits() if output == "multi-label" and _in_unit(numbers) else _LAYERS[output]()
    check_probabilities(layer, numbers)
    idle = layer is None or (isinstance(layer, Columns) and len(shape) == 2)  # noqa: PLR2004 - b, k
    return None if idle else layer


#: What makes (b, k) of a net's numbers.
_LAYERS: Final[Mapping[Output, Callable[[], nn.Module | None]]] = {
    "logits": lambda: None,
    "probabilities": Log,
    "binary-logit": TwoLogits,
    "binary-probability": LogOdds,
    "multi-label": Columns,
    "multi-label-logits": Columns,
    "value": Columns,
}


#: The layers that take numbers for probabilities.
OF_PROBABILITIES: Final = (Log, LogOdds, LabelLogits)


def check_probabilities(layer: nn.Module | None, numbers: Tensor) -> None:
    """Refuse numbers that are no probabilities for a layer that takes them for such (MODEL-NOT-PROBABILITIES)."""
    if not isinstance(layer, OF_PROBABILITIES):
        return
    if _sums_to_one(numbers) if isinstance(layer, Log) else _in_unit(numbers):
        return
    why = _range(numbers)
    if isinstance(layer, Log):
        sums = numbers.sum(1)
        why += f", rows sum to {float(sums.min()):.3g} to {float(sums.max()):.3g}"
    do = "Say output multi-label-logits" if isinstance(layer, LabelLogits) else _advice(numbers)
    raise RatherError("MODEL-NOT-PROBABILITIES", why=why, do=do)


def suspicion(numbers: Tensor, output: Output) -> str:
    """What a user should know of logits of pictures that may be something else than was said; empty for nothing."""
    own = numbers[:, 1] if output == "binary-logit" else numbers
    # A sigmoid comes to 1 in 32 bits, and to 0 hardly ever: zeros are those of a ReLU.
    unlike = bool((own == own[:1]).all()) or bool((own == 0).any()) or not _in_unit(own)
    if output not in {"logits", "binary-logit"} or unlike:
        return ""
    other = "labels that do not exclude each other", "multi-label"
    if output == "binary-logit":
        other = "the second class", "binary-probability"
    return (
        f"what it gives is taken for logits, and lies in [0, 1] ({_range(own)}): "
        f"if these are probabilities of {other[0]}, say --output {other[1]}"
    )


def _advice(numbers: Tensor) -> str:
    """Each reading that fits numbers (b,) or (b, k), and what it means: a few images cannot tell them apart."""
    fitting: list[Output] = ["multi-label", "logits", "value"]
    if numbers.ndim == 1 or numbers.shape[1] == 1:
        fitting = ["binary-probability", "binary-logit", "value"][0 if _in_unit(numbers) else 1 :]  # type: ignore[assignment]
    *first, last = [f"{output} ({MEANINGS[output]})" for output in fitting]
    return f"Say output {', '.join(first)}{' or ' if first else ''}{last}"


def _in_unit(numbers: Tensor) -> bool:
    return bool(((numbers >= 0) & (numbers <= 1 + _SUM)).all())


def _sums_to_one(numbers: Tensor) -> bool:
    return _in_unit(numbers) and bool(((numbers.sum(1) - 1).abs() < _SUM).all())


def _range(numbers: Tensor) -> str:
    return f"values from {float(numbers.min()):.3g} to {float(numbers.max()):.3g}"


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
        case nn.Sigmoid(), LabelLogits() if layers and isinstance(layers[-1], nn.Linear):
            return nn.Sequential(*layers)
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
