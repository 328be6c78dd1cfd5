"""A temporary folder for each process, removed when the process ends or by the next process.

TensorFlow writes a file for every function that it traces, and MLflow and Matplotlib create
temporary folders; a killed process leaves them behind. Here they are in
`TMPDIR/ecgexp-USER/PROCESS/`, which its process keeps locked.
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
# The temporary folder of Windows is that of one user.
_USER: int | None = os.getuid() if hasattr(os, "getuid") else None
_owner: int | None = None  # the process that owns a folder; a forked child does not


def use_own_scratch() -> None:
    """Create a temporary folder for this process and remove those of terminated processes.

    **Guarantees**: the folder is removed when the process ends, or, if the process was killed, by
      the next
    process that calls this function; the folder of a running process is kept
    (`tests/unit/storage/test_scratch.py`). If the folder cannot be created, nothing changes.
    """
    global _owner
    if _owner == os.getpid():
        return
    root = Path(tempfile.gettempdir()) / (f"ecgexp-{_USER}" if _USER is not None else "ecgexp")
    held = ExitStack()
    folder = _create_held(root, held)
    if folder is None:
        return
    _owner, before = os.getpid(), tempfile.tempdir
    tempfile.tempdir = str(folder)
    _remove_dead(root)
    atexit.register(_end, os.getpid(), root, folder, held, before)


def _create_held(root: Path, held: ExitStack) -> Path | None:
    for _ in range(_TRIES):  # a process that ends may remove the root between the calls
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
    """Return whether no other user can create links or files in `root`."""
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return False
    return _USER is None or (found.st_uid == _USER and not found.st_mode & 0o022)


def _remove_dead(root: Path) -> None:
    with suppress(OSError):
        for path in sorted(root.iterdir()):
            remove_if_dead(path)


def _end(owner: int, root: Path, folder: Path, held: ExitStack, before: str | None) -> None:
    if os.getpid() != owner:  # a forked child
        return
    tempfile.tempdir = before
    shutil.rmtree(folder, ignore_errors=True)
    held.close()
    _remove_dead(root)
    with suppress(OSError):  # other processes use it
        root.rmdir()
