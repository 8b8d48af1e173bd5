"""Writing files: whole or not at all, and what to say when the operating system does not let us."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rather.config.errors import RatherError


def write_whole(file: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a kill or power loss."""
    aside = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        aside.replace(file)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:  # also of a person who interrupts
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """The folder is made, and what the operating system says against it, or inside, is a `RatherError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise unwritable(error, folder) from None


def check_writable(folder: Path) -> None:
    """Whether files can be written there: to be asked before minutes of work; nothing is left there.

    Raises:
        RatherError: STORE-NOT-WRITABLE or STORE-DISK-FULL.
    """
    try:
        there = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise unwritable(error, folder) from None


def unwritable(error: OSError, where: Path) -> RatherError:
    """What to say of an operating system that does not let us write."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return RatherError("STORE-DISK-FULL", where=where, do="Free some space and run the same command again")
    return RatherError("STORE-NOT-WRITABLE", where=where, why=error.strerror or str(error), do="Choose another --out")
