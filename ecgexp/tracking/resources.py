"""Resources that a run used."""

import contextlib
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PEAK = "VmHWM:"


class PeakMemory:
    """Peak resident memory of this process since the object was created.

    Linux has one peak per process; creating the object resets it, so that the second run of a sweep
    does not report the peak of the first. Where a reset is not possible, the value is the peak
    since the process began.
    """

    def __init__(self):
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5", encoding="ascii")  # man 5 proc: resets the peak resident size

    def megabytes(self) -> float:
        """Return the peak in units of 10⁶ bytes."""
        try:
            line = next(
                line
                for line in _STATUS.read_text(encoding="utf-8").splitlines()
                if line.startswith(_PEAK)
            )
            return int(line.split()[1]) * 1024 / 1e6
        except (OSError, StopIteration):
            return _peak_without_proc() / 1e6


def memory_limit() -> int:
    """Return how many bytes this process may use: what it has, and what is still available."""
    import psutil

    process = psutil.Process()
    limit = process.memory_info().rss + psutil.virtual_memory().available
    with contextlib.suppress(ImportError):  # Windows
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        if soft != resource.RLIM_INFINITY:
            limit = min(limit, soft)
    return limit


def _peak_without_proc() -> float:
    """Return the peak in bytes since the process began; on macOS and Windows."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        import psutil

        memory = psutil.Process().memory_info()
        return getattr(memory, "peak_wset", memory.rss)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
