"""How much memory is at hand, for those who can do with less of it, and when there was too little."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import torch

_MEMINFO: Final = Path("/proc/meminfo")
_GROUP: Final = Path("/sys/fs/cgroup")  # a container's own bounds


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
