"""Access to a run's folder: one process at a time, and a new run only where there is none."""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.atomic import remove_litter_below
from ecgexp.storage.reading import read_bytes
from ecgexp.tracking.local.run_json import read_run

LOG = "ecgexp.log"  # as conf/config.yaml names the job to Hydra
LOCK = ".lock"
_JOURNAL, _PRIVATE = "privacy_journal.jsonl", "private"
_ERROR = "error.txt"  # in the private folder; what was printed refers to it
_OF_RUN = ("run.json", "result.json", "metrics.jsonl", _JOURNAL)
_OF_SWEEP = ("sweep.json", "multirun.yaml", "attempts", "sweeps")
_log = logging.getLogger(__name__)


@contextmanager
def hold(folder: Path, *, new: bool, setting: str = "hydra.run.dir") -> Iterator[None]:
    """Hold a run's folder for the block; the lock ends with its process, however that ends.

    **Guarantees**: a refused folder is unchanged; incomplete files that a dead process left are
    removed from a held folder (`tests/unit/tracking/test_run_folder.py`). The same thread may hold
    a folder twice.

    Args:
      folder: an existing folder.
      new: whether a run begins in it; else one is resumed.
      setting: the setting that named the folder, for the message.

    Raises:
      ConfigError: another process holds it, or a new run is to begin in a folder that has one.
    """
    if new:
        check_free(folder, setting=setting)
    lock = FileLock(folder.absolute() / LOCK, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"{setting}={folder}: another process is using the folder; wait until it ends, or use "
            f"another {setting}="
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{setting}={folder}: the file {LOCK} in it cannot be locked ({error.strerror}); "
            "remove it, make the folder "
            f"writable, or use another {setting}="
        ) from error
    try:
        if new:
            check_free(folder, setting=setting)
        remove_litter_below(folder)
        yield
    finally:
        lock.release()


def check_free(folder: Path, *, setting: str = "hydra.run.dir") -> None:
    """Check that a folder has no run and no sweep.

    Raises:
      ConfigError: it has one; the message names the remedies.
    """
    if _holds(folder, _OF_RUN):
        raise ConfigError(
            f"{setting}={folder}: the folder holds a run{_status(folder)}, which a new run would "
            "overwrite; use another "
            f"{setting}=, or resume={folder} to resume a run that did not finish"
        )
    if _holds(folder, _OF_SWEEP):
        raise ConfigError(
            f"{setting}={folder}: the folder holds a sweep; use another {setting}=, or resume= "
            "with the folder of one of its "
            "runs, or the command of the sweep to resume all"
        )


def free_beside(folder: Path) -> Path:
    """Return `folder`, or the first of `folder-2`, `folder-3`, … without a run; it is created."""
    number, found = 1, folder
    while _holds(found, (*_OF_RUN, *_OF_SWEEP)):
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    found.mkdir(parents=True, exist_ok=True)
    return found


def discard(folder: Path) -> None:
    """Remove a folder, held by this process, whose run did not begin.

    One with other files or a run stays.

    Call `move_log` before, if the process logs afterwards.
    """
    if _is_unused(folder):
        shutil.rmtree(folder, ignore_errors=True)


def discard_unheld(folder: Path) -> None:
    """Remove a folder that Hydra created for a job or command that needs none."""
    if _is_unused(folder):
        with suppress(ConfigError), hold(folder, new=True):
            discard(folder)


def move_log(folder: Path | None) -> None:
    """Write the log to that folder from now on; None: to no file."""
    root = logging.getLogger()
    for handler in [
        handler for handler in root.handlers if isinstance(handler, logging.FileHandler)
    ]:
        target = None if folder is None else os.path.abspath(folder / LOG)
        if handler.baseFilename == target:
            continue
        root.removeHandler(handler)
        handler.close()
        if target is not None:
            successor = logging.FileHandler(target, delay=True, encoding="utf-8")
            successor.setFormatter(handler.formatter)
            root.addHandler(successor)


def _is_unused(folder: Path) -> bool:
    return {path.name for path in folder.glob("*")} <= {
        ".hydra",
        LOG,
        LOCK,
        _PRIVATE,
        _JOURNAL,
    } and not (_holds(folder, _OF_RUN) or (folder / _PRIVATE / _ERROR).exists())


def _holds(folder: Path, names: Iterable[str]) -> bool:
    return any(
        (folder / name).exists() and not (name == _JOURNAL and _is_new(folder / name))
        for name in names
    )


def _is_new(journal: Path) -> bool:
    """Return whether a privacy journal has only its first line, written before any privacy loss."""
    try:
        return not read_bytes(journal, fix="").partition(b"\n")[2]
    except DataError:
        return False


def _status(folder: Path) -> str:
    try:
        return f" ({read_run(folder)['status']})"
    except DataError:
        return ""
