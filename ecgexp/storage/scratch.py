"""A temporary folder for each process: what libraries leave there goes with the process, or with the next one.

TensorFlow writes a file for every function that it traces, MLflow and Matplotlib make temporary folders; a process that is
killed leaves them all. Here they lie in `TMPDIR/ecgexp-USER/PROCESS/`, which its process locks for as long as it lives.
"""

import atexit
import os
import secrets
import shutil
import stat
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from ecgexp.storage.atomic import claimed_folder, remove_if_dead

_MODE = 0o700
_TRIES = 5
_owner: int | None = None  # the process that has one; a fork of it has not


def use_own_scratch() -> None:
    """From now on temporary files of this process are made in a folder of its own; those of dead processes are removed.

    **Guarantees**: the folder is removed when the process ends, or by the next process that calls this if it was killed; the
    folder of a living process stays (`tests/test_scratch.py`). Where no such folder can be made, nothing changes.
    """
    global _owner
    if _owner == os.getpid():
        return
    root = Path(tempfile.gettempdir()) / f"ecgexp-{os.getuid()}"
    held = ExitStack()
    folder = _claim(root, held)
    if folder is None:
        return
    _owner, before = os.getpid(), tempfile.tempdir
    tempfile.tempdir = str(folder)
    _remove_dead(root)
    atexit.register(_end, os.getpid(), root, folder, held, before)


def _claim(root: Path, held: ExitStack) -> Path | None:
    for _ in range(_TRIES):  # the root may be removed by a process that ends, between the two calls
        try:
            root.mkdir(mode=_MODE, exist_ok=True)
            if not _is_ours(root):
                return None
            folder = root / f"{os.getpid()}-{secrets.token_hex(4)}"
            held.enter_context(claimed_folder(folder, mode=_MODE))
            return folder
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def _is_ours(root: Path) -> bool:
    """Whether nobody else can put links or files there."""
    found = root.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def _remove_dead(root: Path) -> None:
    with suppress(OSError):
        for path in sorted(root.iterdir()):
            remove_if_dead(path)


def _end(owner: int, root: Path, folder: Path, held: ExitStack, before: str | None) -> None:
    if os.getpid() != owner:  # a fork of it
        return
    tempfile.tempdir = before
    shutil.rmtree(folder, ignore_errors=True)
    held.close()
    _remove_dead(root)
    with suppress(OSError):  # others are at work
        root.rmdir()
