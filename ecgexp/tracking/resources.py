"""What a run took of its machine."""

import contextlib
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PEAK = "VmHWM:"


class PeakMemory:
    """The most memory that this process had resident since the object was made.

    Linux keeps one peak for a process; making the object resets it, so that the second run of a sweep does not show the
    first one's. Where that is not possible, the peak since the process began is what there is.
    """

    def __init__(self):
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5", encoding="ascii")  # man 5 proc: resets the peak resident size

    def megabytes(self) -> float:
        """In units of 10⁶ bytes."""
        try:
            line = next(
                line
                for line in _STATUS.read_text(encoding="utf-8").splitlines()
                if line.startswith(_PEAK)
            )
            return int(line.split()[1]) * 1024 / 1e6
        except (OSError, StopIteration):
            import resource

            unit = 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
