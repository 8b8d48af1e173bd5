"""The training loop of generators and latent classifiers: phases, Adam, checkpoints to resume from.

The random numbers of a step come from (seed, step, process), so an interrupted training ends with the same
weights as one that was not. A launcher starts several processes, on one machine or many:
`accelerate launch -m rather train ...` or `torchrun`; each sees its own part of the images, and gradients
are averaged. So two processes with batches of 32 do what one does with batches of 64, except for the random
numbers of a loss and for what it computes over a batch (batch norm, the total correlation).
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
#: Called after each step with the number of steps done, of all steps, and the mean loss of the step's phases.
Progress = Callable[[int, int, float], None]
_SAVE_EVERY: Final = 30  # seconds between checkpoints, which a kill can cost


@runtime_checkable
class Trainable(Protocol):
    """A module that knows its phases; called with a phase and a batch it returns the loss of each row."""

    def phases(self) -> Mapping[str, Phase]:
        """The phases by name, in the order of their turns."""
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
    identity: Mapping[str, Any] | None = None,
    progress: Progress = lambda _done, _all, _loss: None,
    saved: Callable[[], None] = lambda: None,
) -> nn.Module:
    """Train a net in place, on the device that there is.

    Args:
        net: an `nn.Module` that is `Trainable`.
        data: tensors of n rows each, on the CPU; a batch has rows of all of them. Bytes become [0, 1].
        schedule: how long and how fast.
        checkpoint: file to save to twice a minute and at the end, and to resume from if it exists. The caller
            removes it once the result is safe.
        identity: plain data that tells this training from others; another training's checkpoint is refused.
        progress: see `Progress`; only in the first process.
        saved: called after each checkpoint, only in the first process; for previews.

    Returns:
        The net, on the CPU, in evaluation mode.

    Raises:
        RatherError: TRAIN-NONFINITE when a loss is no longer a number, TRAIN-CHECKPOINT for a checkpoint that
            cannot be read or is another training's, TRAIN-DATA for fewer rows than processes.
    """
    # A phase leaves the other phases' parameters alone, which the averaging of gradients must know.
    several = DistributedDataParallelKwargs(find_unused_parameters=len(net.phases()) > 1)
    # Precision is ours: a launcher's would scale gradients that nothing scales back.
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[several])
    identity = {**(identity or {}), "processes": accelerator.num_processes}
    if len(data[0]) < accelerator.num_processes:
        raise RatherError("TRAIN-DATA", why=f"rows: {len(data[0])}", do="Start fewer processes")
    loop = _Loop(net, schedule, accelerator)
    begin = _begin(checkpoint, loop, identity)
    draw = _Draw(data, schedule, accelerator.process_index, accelerator.num_processes)
    last, device = time.monotonic(), accelerator.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for step in range(begin, schedule.steps):
            loss = loop.step(step, draw(step))
            if not math.isfinite(loss):
                raise _diverged(step, loss, checkpoint)
            if not accelerator.is_main_process:
                continue
            progress(step + 1, schedule.steps, loss)
            if checkpoint and (step + 1 == schedule.steps or time.monotonic() - last > _SAVE_EVERY):
                _save(checkpoint, loop, identity, step + 1)
                saved()
                last = time.monotonic()
    accelerator.wait_for_everyone()
    return loop.net.cpu().eval()


class _Loop:
    """A net in training: its optimisers, one for each phase, and what a step does."""

    def __init__(self, net: Trainable, schedule: Schedule, accelerator: Accelerator) -> None:
        assert isinstance(net, nn.Module)  # noqa: S101 - a protocol cannot say so
        self.net, self.schedule, self.accelerator = net, schedule, accelerator
        self.phases = net.phases
        self.wrapped = accelerator.prepare(net.train())
        self.mixed = usable(schedule.precision) == "bf16"
        self.optimisers = {
            name: torch.optim.Adam(phase.parameters, lr=schedule.lr, betas=phase.betas)
            for name, phase in net.phases().items()
        }

    def step(self, step: int, rows: Sequence[Tensor]) -> float:
        """Move the parameters of each phase that is on; the mean of their losses."""
        device = self.accelerator.device
        batch = [tensor.to(device) for tensor in rows]
        batch = [tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor for tensor in batch]
        losses = []
        for name, phase in self.phases().items():
            done = (step / self.schedule.steps - phase.begin) / (phase.end - phase.begin)
            if not 0 <= done < 1:
                continue
            optimiser = self.optimisers[name]
            for group in optimiser.param_groups:
                group["lr"] = self.schedule.lr * (1 - done)
            optimiser.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=self.mixed):
                loss = self.wrapped(name, *batch).mean()
            self.accelerator.backward(loss)
            optimiser.step()
            losses.append(loss.detach())
        return torch.stack(losses).mean().item()


def _diverged(step: int, loss: float, checkpoint: Path | None) -> RatherError:
    stored = f", and delete {checkpoint.name}" if checkpoint and checkpoint.exists() else ""
    why, do = f"the loss is {loss}", f"Lower the learning rate{stored}"
    return RatherError("TRAIN-NONFINITE", where=f"step {step + 1}", why=why, do=do)


def usable(precision: Precision) -> Literal["fp32", "bf16"]:
    """The precision on this device: auto takes bfloat16 where the hardware has it; emulated, it is slower."""
    if precision != "auto":
        return precision
    device = PartialState().device
    if device.type == "cuda":
        gains = bool(torch.cuda.is_bf16_supported(including_emulation=False))
    else:  # torch has no public name for what the processor has
        gains = device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())  # noqa: SLF001
    return "bf16" if gains else "fp32"


class _Draw:
    """The rows of each step: each epoch shuffles all rows into whole batches, which the processes share."""

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


def _save(file: Path, loop: _Loop, identity: Mapping[str, Any], step: int) -> None:
    tensors = {f"net.{key}": tensor for key, tensor in loop.net.state_dict().items()}
    for name, optimiser in loop.optimisers.items():
        for number, state in optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{name}.{number}.{key}": tensor for key, tensor in state.items()}
    tensors = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    metadata = json.dumps({"step": step, "asks": identity}, sort_keys=True)
    with writing(file.parent):
        write_whole(file, save(tensors, {"rather-checkpoint": metadata}))


def _begin(file: Path | None, loop: _Loop, identity: Mapping[str, Any]) -> int:
    """Restore what a checkpoint holds, and return the step to resume from, the same in all processes."""
    begin = 0 if file is None or not file.exists() else _restore(file, loop, identity)
    accelerator = loop.accelerator
    steps = accelerator.gather(torch.tensor([begin], device=accelerator.device)).tolist()
    if file and len({*steps}) > 1:
        raise _refused(file, f"the processes see steps {steps}: they must share one disk")
    return begin


def _restore(file: Path, loop: _Loop, identity: Mapping[str, Any]) -> int:
    steps = loop.schedule.steps
    try:
        with safe_open(file, "pt") as opened:
            metadata = json.loads((opened.metadata() or {})["rather-checkpoint"])
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - it is no mapping
        step, theirs = int(metadata["step"]), dict(metadata["asks"])
    except (SafetensorError, OSError, OverflowError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _refused(file, f"it cannot be read: {error}"[:200]) from None
    plain = json.loads(json.dumps(identity))
    different = sorted(key for key in {*plain, *theirs} if plain.get(key) != theirs.get(key))
    if different:
        raise _refused(file, f"it is of a training with another {', '.join(different)}")
    if not 0 <= step <= steps:
        raise _refused(file, f"it is of step {step} of {steps}")
    try:
        _put_back(loop, tensors, step / steps)
    except (KeyError, ValueError, RuntimeError) as error:
        raise _refused(file, str(error).partition("\n")[0][:200]) from None
    return step


def _put_back(loop: _Loop, tensors: Mapping[str, Tensor], done: float) -> None:
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise ValueError("its numbers are not finite")
    loop.net.load_state_dict({key.removeprefix("net."): t for key, t in tensors.items() if key.startswith("net.")})
    for name, phase in loop.phases().items():
        # Adam has moments of every parameter once its phase has begun; before, it starts without.
        begun = range(len(phase.parameters)) if done > phase.begin else ()
        state = {
            number: {key: tensors[f"adam.{name}.{number}.{key}"] for key in ("exp_avg", "exp_avg_sq", "step")}
            for number in begun
        }
        for number, parameter in enumerate(phase.parameters[: len(state)]):
            if {state[number][key].shape for key in ("exp_avg", "exp_avg_sq")} != {parameter.shape}:
                raise ValueError(f"adam.{name}.{number} is of another shape")
        groups = loop.optimisers[name].state_dict()["param_groups"]
        loop.optimisers[name].load_state_dict({"state": state, "param_groups": groups})


def _refused(file: Path, why: str) -> RatherError:
    return RatherError(
        "TRAIN-CHECKPOINT", where=file, why=why, do="Delete it to train from the start, or choose another --out"
    )
