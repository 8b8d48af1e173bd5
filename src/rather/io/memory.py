"""How much memory is at hand, for those who can do with less of it, and when there was too little."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import torch

_MEMINFO: Final = Path("/proc/meminfo")
_GROUP: Final = Path("/sys/fs/cgroup")  # a container's own bounds
_SELF: Final = Path("/proc/self")


def at_hand(device: torch.device) -> int:
    """Bytes that can still be had on a device; an estimate, for other programs want some too."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    try:
        free = 1024 * int(_MEMINFO.read_text("ascii").partition("MemAvailable:")[2].split()[0])
    except (OSError, IndexError):  # no Linux: half of what the machine has
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:
        limit, used = (int((_GROUP / name).read_text("ascii")) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no bounds
        return free
    return min(free, max(limit - used, 0))


def was_short(error: Exception) -> bool:
    """Whether an error says that there was too little memory; of a processor's, torch has no type."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


@contextmanager
def peak(device: torch.device) -> Iterator[Callable[[], int | None]]:
    """How many bytes more than before are in use at the peak of what is inside; None where that cannot be measured.

    Of CUDA devices exactly, as torch counts them; of a processor the pages of this process, on Linux: what
    was freed before is given back first, or it would be used again without being seen.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        start = torch.cuda.memory_allocated(device)
        yield lambda: torch.cuda.max_memory_allocated(device) - start
        return
    before = None
    if device.type == "cpu":
        with suppress(OSError, AttributeError, TypeError):  # a C library that keeps what it has
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):
            (_SELF / "clear_refs").write_text("5", "ascii")  # the peak is from here on
            before = _pages("VmRSS")

    def taken() -> int | None:
        most = _pages("VmHWM")
        return None if before is None or most is None else max(most - before, 0)

    yield taken


def _pages(name: str) -> int | None:
    """Bytes of this process, where the system tells."""
    try:
        told = (_SELF / "status").read_text("ascii", "replace")
        return 1024 * int(told.partition(f"{name}:")[2].split()[0])
    except (OSError, IndexError, ValueError):
        return None
