"""One image's fault costs one image: what fails together is tried again in halves, until the guilty are alone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from rather.config.errors import RatherError, brief
from rather.io.memory import was_short

T = TypeVar("T")
Part = Sequence[int]
_AGAIN: Final = 1.0  # seconds until a net that swallows the end of its time is interrupted again


class Overtime(BaseException):
    """A time limit is over; no `Exception`, which a net may catch and go on."""


@contextmanager
def named_faults() -> Iterator[None]:
    """Whatever a user's net raises, also to end the program, becomes a `RatherError` (MODEL-FAILS).

    A lack of memory is let through, for it may be no fault of the net. So is the end that a signal asks for.
    """
    try:
        yield
    except RatherError:
        raise
    except Exception as error:
        if was_short(error):
            raise
        raise RatherError("MODEL-FAILS", why=brief(error)) from error
    except SystemExit as error:
        if type(error) is not SystemExit:
            raise
        raise RatherError("MODEL-FAILS", why=f"it ends the program: exit {error.code}") from None


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `Overtime` inside once the time is over; None sets no limit.

    It interrupts Python code, in the main thread, on systems that have signals. A call into compiled code is
    interrupted when it returns, and not before.
    """
    able = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or not able:
        yield
        return

    def over(signum: int, frame: object) -> None:
        del signum, frame
        raise Overtime

    former = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def apart(
    rows: Part,
    work: Callable[[Part], T],
    fault: Callable[[BaseException, Part], RatherError | None],
    *,
    alone: bool = False,
) -> list[tuple[Part, T | RatherError]]:
    """The results of work on some rows: of all of them together, or of parts where that fails.

    Args:
        rows: at least one.
        work: on some of them.
        fault: what is wrong, by what some rows raise; None if no row can do better alone, and then it is raised.
        alone: whether rows that fail together are tried one by one, and not in halves.

    Returns:
        Parts of the rows in their order, each with its result; or a single row with what is wrong with it.
    """
    try:
        return [(rows, work(rows))]
    except BaseException as error:
        wrong = fault(error, rows)
        if wrong is None:
            raise
    if len(rows) == 1:
        return [(rows, wrong)]
    size = 1 if alone else len(rows) // 2
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [one for part in parts for one in apart(part, work, fault)]


def fault_of(error: BaseException, rows: Part) -> RatherError | None:
    """What is wrong with an image whose search raises this; None for what ends the run, and for MODEL-GRADIENT."""
    del rows
    match error:
        case RatherError():
            return None if error.code == "MODEL-GRADIENT" else error  # without a gradient no row has an answer
        case Overtime():
            return RatherError("RUN-TIMEOUT", do="Give more with --timeout")
        case Exception() if was_short(error):
            return RatherError("RUN-MEMORY", do="Take smaller images or nets")
        case Exception():
            return RatherError("RUN-FAULT", why=brief(error))
        case _:
            return None
