"""Signals that end a command in order: Ctrl-C (SIGINT), and SIGTERM, which queues send.

A signal becomes an exception at whatever statement the main thread executes, and Python drops an
exception that is raised inside a callback of a weak reference or a finalizer: about one Ctrl-C in
forty was lost in this way during training. A dropped exception is raised again here. Where half
a statement would do harm, a signal is postponed: a thread whose start is interrupted is never
joined, and the process would wait for it forever.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

_AGAIN_S = 0.01
"""Time until a dropped exception is raised again: at once would be inside the hook itself."""

_NAMES = {128 + each: each.name for each in signal.Signals}
"""Exit code of a process that a signal ended in order -> the signal."""

_postponing = 0
_pending: int | None = None
_raised: BaseException | None = None


def handle_signals(note: Callable[[str], None]) -> None:
    """Make SIGINT raise `KeyboardInterrupt` and SIGTERM `SystemExit`, from now on.

    A second signal ends the process at once. A signal that is ignored stays ignored: a shell starts
    background commands with Ctrl-C ignored.

    Args:
      note: called with the name of the first signal, e.g. `SIGTERM`.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        global _pending
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
        note(signal.Signals(number).name)
        if _postponing:
            _pending = number
        else:
            _raise(number)

    handled = [
        each for each in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(each) != signal.SIG_IGN
    ]
    for each in handled:
        signal.signal(each, stop)
    sys.unraisablehook = _raise_again


def status_of(error: BaseException) -> Literal["KILLED", "FAILED"]:
    """Return the status of a run that an error ended: killed by a signal, or failed."""
    return "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"


def reason_of(error: BaseException) -> str:
    """Return why something ended: the signal, or the type and the message of another error."""
    if isinstance(error, KeyboardInterrupt):
        return "SIGINT (Ctrl-C)"
    if isinstance(error, SystemExit) and error.code in _NAMES:
        return _NAMES[error.code]
    return f"{type(error).__name__}: {error}"


@contextmanager
def postponed() -> Iterator[None]:
    """Raise a signal that arrives within the block after it; for statements that must be whole.

    Signals arrive in the main thread. In another thread this does nothing.
    """
    global _postponing, _pending
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _postponing += 1
    try:
        yield
    finally:
        _postponing -= 1
        if not _postponing and _pending is not None:
            number, _pending = _pending, None
            _raise(number)


def _raise(number: int) -> None:
    global _raised
    error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
    _raised = error
    raise error


def _raise_again(dropped: "sys.UnraisableHookArgs") -> None:
    """Raise the exception of a signal once more if Python dropped it; show any other one."""
    if dropped.exc_value is None or dropped.exc_value is not _raised:
        sys.__unraisablehook__(dropped)
        return
    number = signal.SIGINT if isinstance(_raised, KeyboardInterrupt) else signal.SIGTERM

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _raise(number)

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
