"""File handles and their locks, on POSIX systems and on Windows.

On POSIX systems a writer locks its file with `flock`, which the system releases when the process
ends. Windows opens no folder, renames no open file and has no such locks. There a file is closed
before it gets its name, and no process removes the partial files of another one.
"""

import errno
import importlib
import importlib.util
import os
from pathlib import Path
from typing import IO, Any

_fcntl: Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None

HAS_LOCKS = _fcntl is not None
"""Whether a process can lock a file until it ends."""

NO_LINK: int = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
"""For `os.open`: a link is not followed, and no byte is translated."""

NO_WAIT: int = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""For `os.open`: a pipe does not block, and no other program inherits the handle."""

_FOLDER: int | None = getattr(os, "O_DIRECTORY", None)


def open_folder(path: Path) -> int | None:
    """Open a folder, not the target of a link; None where folders cannot be opened."""
    return None if _FOLDER is None else os.open(path, os.O_RDONLY | _FOLDER | NO_LINK)


def sync_folder(path: Path) -> None:
    """Synchronize a folder to the disk, so that a rename survives a power failure.

    Windows, where folders cannot be opened, writes renames to its own journal.
    """
    if _FOLDER is None:
        return
    handle = os.open(path, os.O_RDONLY | _FOLDER)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock(handle: int) -> None:
    """Lock an open file or folder; waits for another process.

    Raises:
      OSError: the file system has no locks.
    """
    if _fcntl is None:
        raise OSError(errno.ENOLCK, "this system has no such locks")
    _fcntl.flock(handle, _fcntl.LOCK_EX)


def lock_at_once(handle: int) -> None:
    """Lock an open file or folder without waiting.

    Raises:
      OSError: another process holds the lock, or the file system has no locks.
    """
    if _fcntl is None:
        raise OSError(errno.ENOLCK, "this system has no such locks")
    _fcntl.flock(handle, _fcntl.LOCK_EX | _fcntl.LOCK_NB)


def replace_open(file: IO[bytes], source: Path | str, target: Path) -> None:
    """Write an open file to the disk completely, then rename it; closed first on Windows.

    Args:
      file: the file, opened for writing.
      source: its path.
      target: its new path; a file there is replaced.
    """
    file.flush()
    os.fsync(file.fileno())
    if not HAS_LOCKS:
        file.close()
    os.replace(source, target)
