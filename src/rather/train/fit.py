"""The one training loop: phases, losses, Adam, checkpoints; an interrupted training goes on where it was.

All that is random in a step comes from (seed, step, process), so a training that was interrupted ends with
the very weights of one that was not. Several processes, on one machine or many, are the launcher's affair:
`accelerate launch -m rather train ...` or `torchrun`; each sees its own part of the images, and gradients
are averaged. So two processes with batches of 32 do what one does with batches of 64, but for what a loss
draws at random or says of a batch as a whole (batch norm, the total correlation).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, final, runtime_checkable

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from rather.config.errors import RatherError
from rather.generators.recipe import Phase
from rather.io.writing import write_whole, writing

Precision = Literal["auto", "fp32", "bf16"]
#: Told after each step: how many are done, of how many, and the mean loss of the step's phases.
Progress = Callable[[int, int, float], None]
_SAVE_EVERY: Final = 30  # seconds between checkpoints: what a kill can cost


@runtime_checkable
class Trainable(Protocol):
    """A module that knows its phases; asked with a phase and a batch it gives the loss of each row."""

    def phases(self) -> Mapping[str, Phase]:
        """By name, in the order of their turns."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to train."""

    steps: int
    lr: float  # at the start of a phase; it falls linearly to zero at the phase's end
    batch_size: int  # in each process
    seed: int
    precision: Precision = "fp32"


def fit(
    net: Trainable,
    data: Sequence[Tensor],
    schedule: Schedule,
    *,
    checkpoint: Path | None = None,
    asks: Mapping[str, Any] | None = None,
    progress: Progress = lambda _done, _all, _loss: None,
    saved: Callable[[], None] = lambda: None,
) -> nn.Module:
    """Train a net in place, on the device that there is.

    Args:
        net: an `nn.Module` that is `Trainable`.
        data: tensors of n rows each, on the CPU; a batch has rows of all of them. Bytes become [0, 1].
        schedule: how long and how fast.
        checkpoint: file to save to twice a minute and at the end, and to go on from if it is there. It is the
            caller's to remove, once what the training was for is safe.
        asks: plain data: what makes this training this training; another one's checkpoint is refused.
        progress: see `Progress`; only in the first process.
        saved: called after each checkpoint, only in the first process; for previews.

    Returns:
        The net, on the CPU, in evaluation mode.

    Raises:
        RatherError: TRAIN-NONFINITE when a loss is no longer a number, TRAIN-CHECKPOINT for a checkpoint
            that cannot be read or is another training's, TRAIN-DATA for fewer rows than processes.
    """
    # A phase leaves the other phases' parameters alone, which the averaging of gradients must be told.
    several = DistributedDataParallelKwargs(find_unused_parameters=len(net.phases()) > 1)
    # Precision is ours: what a launcher was told of it would scale gradients that nobody scales back.
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[several])
    device, steps = accelerator.device, schedule.steps
    told = {**(asks or {}), "processes": accelerator.num_processes}
    if len(data[0]) < accelerator.num_processes:
        raise RatherError("TRAIN-DATA", why=f"rows: {len(data[0])}", do="Start fewer processes")
    assert isinstance(net, nn.Module)  # noqa: S101 - a protocol cannot say so
    wrapped = accelerator.prepare(net.train())
    optimisers = {
        name: torch.optim.Adam(phase.parameters, lr=schedule.lr, betas=phase.betas)
        for name, phase in net.phases().items()
    }
    begin = _resume(checkpoint, net, optimisers, told, steps)
    begun = accelerator.gather(torch.tensor([begin], device=device)).tolist()
    if checkpoint and len({*begun}) > 1:
        raise _refused(checkpoint, f"the processes see steps {begun}: they must share one disk")
    draw = _Draw(data, schedule, accelerator.process_index, accelerator.num_processes)
    mixed = usable(schedule.precision) == "bf16"
    last = time.monotonic()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for step in range(begin, steps):
            batch = [rows.to(device) for rows in draw(step)]
            batch = [rows.float() / 255 if rows.dtype == torch.uint8 else rows for rows in batch]
            losses = []
            for name, phase in net.phases().items():
                done = (step / steps - phase.begin) / (phase.end - phase.begin)
                if not 0 <= done < 1:
                    continue
                for group in optimisers[name].param_groups:
                    group["lr"] = schedule.lr * (1 - done)
                optimisers[name].zero_grad()
                with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                    loss = wrapped(name, *batch).mean()
                accelerator.backward(loss)
                optimisers[name].step()
                losses.append(loss.detach())
            loss = torch.stack(losses).mean().item()
            if not math.isfinite(loss):
                raise RatherError(
                    "TRAIN-NONFINITE",
                    where=f"step {step + 1}",
                    why=f"the loss is {loss}",
                    do="Lower the learning rate"
                    + (f", and delete {checkpoint.name}" if checkpoint and checkpoint.exists() else ""),
                )
            if not accelerator.is_main_process:
                continue
            progress(step + 1, steps, loss)
            if checkpoint and (step + 1 == steps or time.monotonic() - last > _SAVE_EVERY):
                _save(checkpoint, net, optimisers, told, step + 1)
                saved()
                last = time.monotonic()
    accelerator.wait_for_everyone()
    return net.cpu().eval()


def usable(precision: Precision) -> Literal["fp32", "bf16"]:
    """What a precision means on the device that there is: auto takes bfloat16 where it has units for it.

    Elsewhere bfloat16 is emulated, and slower.
    """
    if precision != "auto":
        return precision
    device = PartialState().device
    if device.type == "cuda":
        gains = bool(torch.cuda.is_bf16_supported(including_emulation=False))
    else:  # torch has no public name for what the processor has
        gains = device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())  # noqa: SLF001
    return "bf16" if gains else "fp32"


class _Draw:
    """The rows of each step, of each process its own: whole batches of all rows in a new order, then anew."""

    def __init__(self, data: Sequence[Tensor], schedule: Schedule, process: int, processes: int) -> None:
        self.data, self.schedule, self.process, self.processes = data, schedule, process, processes
        self.epoch, self.order = -1, torch.empty(0)

    def __call__(self, step: int) -> list[Tensor]:
        seed, together = self.schedule.seed, self.schedule.batch_size * self.processes
        epoch, n = divmod(step, max(1, len(self.data[0]) // together))
        if epoch != self.epoch:
            order = torch.Generator().manual_seed(_seed(seed, epoch))
            self.epoch, self.order = epoch, torch.randperm(len(self.data[0]), generator=order)
        torch.manual_seed(_seed(seed, step, self.process + 1))
        rows = self.order[n * together : (n + 1) * together][self.process :: self.processes]
        return [tensor[rows] for tensor in self.data]


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _save(
    file: Path, net: nn.Module, optimisers: Mapping[str, torch.optim.Adam], asks: Mapping[str, Any], step: int
) -> None:
    tensors = {f"net.{key}": tensor for key, tensor in net.state_dict().items()}
    for name, optimiser in optimisers.items():
        for number, state in optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{name}.{number}.{key}": tensor for key, tensor in state.items()}
    tensors = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    told = json.dumps({"step": step, "asks": asks}, sort_keys=True)
    with writing(file.parent):
        write_whole(file, save(tensors, {"rather-checkpoint": told}))


def _resume(
    file: Path | None, net: Trainable, optimisers: Mapping[str, torch.optim.Adam], asks: Mapping[str, Any], steps: int
) -> int:
    """Put back what a checkpoint holds, and return the step to go on from; 0 if there is none."""
    if file is None or not file.exists():
        return 0
    try:
        with safe_open(file, "pt") as opened:
            told = json.loads((opened.metadata() or {})["rather-checkpoint"])
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - it is no mapping
        step, theirs = int(told["step"]), dict(told["asks"])
    except (SafetensorError, OSError, OverflowError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _refused(file, f"it cannot be read: {error}"[:200]) from None
    plain = json.loads(json.dumps(asks))
    different = sorted(key for key in {*plain, *theirs} if plain.get(key) != theirs.get(key))
    if different:
        raise _refused(file, f"it is of a training with another {', '.join(different)}")
    if not 0 <= step <= steps:
        raise _refused(file, f"it is of step {step} of {steps}")
    try:
        _put_back(net, optimisers, tensors, step / steps)
    except (KeyError, ValueError, RuntimeError) as error:
        raise _refused(file, str(error).partition("\n")[0][:200]) from None
    return step


def _put_back(
    net: Trainable, optimisers: Mapping[str, torch.optim.Adam], tensors: Mapping[str, Tensor], done: float
) -> None:
    assert isinstance(net, nn.Module)  # noqa: S101 - a protocol cannot say so
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise ValueError("its numbers are not finite")
    net.load_state_dict({key.removeprefix("net."): t for key, t in tensors.items() if key.startswith("net.")})
    for name, phase in net.phases().items():
        # Adam remembers something of every parameter once its phase has begun; without, it begins anew.
        begun = range(len(phase.parameters)) if done > phase.begin else ()
        state = {
            number: {key: tensors[f"adam.{name}.{number}.{key}"] for key in ("exp_avg", "exp_avg_sq", "step")}
            for number in begun
        }
        for number, parameter in enumerate(phase.parameters[: len(state)]):
            if {state[number][key].shape for key in ("exp_avg", "exp_avg_sq")} != {parameter.shape}:
                raise ValueError(f"adam.{name}.{number} is of another shape")
        groups = optimisers[name].state_dict()["param_groups"]
        optimisers[name].load_state_dict({"state": state, "param_groups": groups})


def _refused(file: Path, why: str) -> RatherError:
    return RatherError(
        "TRAIN-CHECKPOINT", where=file, why=why, do="Delete it to train from the start, or choose another --out"
    )
