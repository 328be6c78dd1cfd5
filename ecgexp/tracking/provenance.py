"""Provenance of a result as tags of its run: code, versions and machine."""

import getpass
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ecgexp.settings.plugins import code_of

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
NO_STATUS = "the process ended without reporting a status"
"""Why a run or an attempt is closed as KILLED by another process."""

# The start of a process is known to the clock tick; the boot time that it counts from moves with
# clock corrections.
_SAME_START_S = 2.0


def system_tags() -> dict[str, str]:
    """Return the tags of this process.

    Those that begin with `mlflow.` fill the columns of MLflow's table.

    `process.host`, `process.pid` and `process.started` show later whether a run with the status
    RUNNING is alive.
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
    """Return the versions of Python and of the installed packages that affect a result."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def plugin_tags(values: Any) -> dict[str, str]:
    """Return the tags of the plug-ins that a configuration names: distribution, version, digest.

    Args:
      values: nested values of the configuration.
    """
    return {f"plugin.{name}": code for name, code in code_of(values).items()}


def process_tags() -> dict[str, str]:
    """Return the tags that identify this process among all processes, past and present."""
    import psutil

    started = psutil.Process().create_time()
    return {
        "process.host": platform.node(),
        "process.pid": str(os.getpid()),
        "process.started": f"{started:.2f}",
    }


def is_running(tags: Mapping[str, str]) -> bool:
    """Return whether the process of these `process_tags` runs on this machine.

    False for another machine.
    """
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
        if process.status() == psutil.STATUS_ZOMBIE:  # ended; its parent has not waited for it yet
            return False
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # the last two: not a process id
        return False
    except psutil.AccessDenied:  # a process of another user exists
        return True
    return abs(started - began) <= _SAME_START_S  # else the process id was reused


def has_ended(tags: Mapping[str, str]) -> bool:
    """Return whether the process of these `process_tags` has ended.

    False for another machine, whose processes cannot be checked from here.
    """
    known = tags.get("process.host") == platform.node()
    return known and {"process.pid", "process.started"} <= tags.keys() and not is_running(tags)


def git_state(folder: Path) -> tuple[str, str]:
    """Return the commit of the checkout of `folder`, and "true" if it has changes, else "false".

    Both are "unknown" without a checkout. A package that is installed below an unrelated checkout
    does not belong to it: the files of `folder` themselves must be under version control.
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
    except (OSError, KeyError):  # a user without a name, as in some containers
        return UNKNOWN
