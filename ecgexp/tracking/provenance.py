"""Where a result comes from: the code, the versions and the machine, as tags of the run."""

import getpass
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "ecgexp",
    "tensorflow",
    "tensorflow-federated",
    "tensorflow-privacy",
    "dp-accounting",
    "keras",
    "mlflow",
    "hydra-core",
    "numpy",
    "scipy",
    "scikit-learn",
    "wfdb",
)
UNKNOWN = "unknown"

# A process's start is known to the clock tick; the boot time it counts from moves with clock corrections.
_SAME_START_S = 2.0


def system_tags() -> dict[str, str]:
    """The tags of this process; the ones that begin with `mlflow.` fill the columns of MLflow's own table.

    `process.host`, `process.pid` and `process.started` tell later whether a run that says RUNNING still runs.
    """
    commit, dirty = git_state(Path(__file__).parent)
    return {
        "mlflow.source.name": "ecgexp",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        **({"mlflow.source.git.commit": commit} if commit != UNKNOWN else {}),
        "git.commit": commit,
        "git.dirty": dirty,
        "host.cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "host.platform": platform.platform(),
        **process_tags(),
        **{f"version.{name}": version for name, version in versions().items()},
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a result, those that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def process_tags() -> dict[str, str]:
    """What identifies this process among all that ever ran on this machine."""
    import psutil

    started = psutil.Process().create_time()
    return {
        "process.host": platform.node(),
        "process.pid": str(os.getpid()),
        "process.started": f"{started:.2f}",
    }


def is_running(tags: Mapping[str, str]) -> bool:
    """Whether the process that `process_tags` described still runs on this machine; of another machine's, False."""
    import psutil

    if (
        tags.get("process.host") != platform.node()
        or "process.pid" not in tags
        or "process.started" not in tags
    ):
        return False
    try:
        number, began = int(tags["process.pid"]), float(tags["process.started"])
        process = psutil.Process(number)
        started = process.create_time()
        if (
            process.status() == psutil.STATUS_ZOMBIE
        ):  # it has ended, and whoever started it has not looked yet
            return False
    except (
        psutil.NoSuchProcess,
        ValueError,
        OverflowError,
    ):  # the latter for what is no number of a process
        return False
    except psutil.AccessDenied:  # somebody else's process, which is there
        return True
    return abs(started - began) <= _SAME_START_S  # else its number was given away again


def git_state(folder: Path) -> tuple[str, str]:
    """The commit of the checkout that the code in `folder` belongs to, and "true" if it has changes, else "false".

    Both are "unknown" where there is no checkout. A package installed below somebody else's checkout does not belong to
    it: the folder's own files must be under version control.
    """
    if not _git(folder, "ls-files", "--", "."):
        return UNKNOWN, UNKNOWN
    status = _git(folder, "status", "--porcelain")
    return _git(folder, "rev-parse", "HEAD") or UNKNOWN, UNKNOWN if status is None else str(
        bool(status)
    ).lower()


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return UNKNOWN
