"""How many jobs a machine bears at once, and each one's share of it."""

import os
import sys
from typing import Any

_JOB_BYTES = 2**31


def workers() -> int:
    """How many jobs run at once by default: one for each core and each 2 GiB of free memory."""
    import psutil

    return max(1, min(_cores(), psutil.virtual_memory().available // _JOB_BYTES))


def share_cores(launcher: Any) -> None:
    """Gives TensorFlow, in a process that runs beside others, its share of the cores; to be called before it is imported.

    Args:
      launcher: Hydra's settings of the launcher; one without `n_jobs` runs one job at a time, or knows cores of its own.
    """
    jobs = launcher.get("n_jobs")
    if not jobs or "tensorflow" in sys.modules:
        return
    jobs = _cores() if jobs < 0 else jobs
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(variable, str(max(1, _cores() // jobs)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
