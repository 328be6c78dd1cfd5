"""Where jobs run, the number of parallel ones on a machine, and the share of its cores for each."""

import os
import sys
from typing import Any

_JOB_BYTES = 2**31


def workers() -> int:
    """Return the default number of parallel jobs: the cores, but at most one per 2 GiB free memory.

    The resolver `ecgexp.workers` of the configuration returns this number.
    """
    import psutil

    return max(1, min(_cores(), psutil.virtual_memory().available // _JOB_BYTES))


def share_cores(launcher: Any) -> None:
    """Limit TensorFlow in this process to its share of the cores, if jobs run in parallel.

    Call it before TensorFlow is imported; after that it has no effect.

    Args:
      launcher: Hydra's settings of the launcher. A launcher without `n_jobs` runs one job at a time
        or assigns cores itself, as a cluster with an `address` does.
    """
    jobs = launcher.get("n_jobs")
    if not jobs or launcher.get("address") or "tensorflow" in sys.modules:
        return
    jobs = _cores() if jobs < 0 else jobs
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(variable, str(max(1, _cores() // jobs)))


def runs_here(launcher: Any) -> bool:
    """Return whether the jobs run on this machine, which then must have what they need.

    Args:
      launcher: Hydra's settings of the launcher.
    """
    return not launcher.get("address") and not str(launcher.get("_target_")).endswith(
        "SlurmLauncher"
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
