"""Replace files and folders atomically, and remove partial files of terminated processes.

If the writing process is killed, a file or folder has either its old or its new content. A power
failure can lose the new content; files that must survive it are synced (checkpoints,
`privacy.journal`).

A file being written has a hidden name ending in `.part`, and its writer holds a lock (`flock`) on
it. The operating system releases the lock when the process ends, in whatever way. So any other
process can distinguish files of terminated processes from files being written, also on another
machine that shares the folder. On a system without such locks (Windows) they stay.
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ecgexp.storage.handles import HAS_LOCKS, NO_LINK, NO_WAIT, lock, lock_at_once, open_folder

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SQLITE_FULL = "database or disk is full"
_PART = re.compile(r"\.(?P<name>.+)\.part", re.DOTALL)
_OLD = re.compile(r"\.(?P<name>.+)\.old\.\d+\.part", re.DOTALL)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden, empty file beside `path` that replaces `path` if the block succeeds.

    Partial files of the same name left by terminated processes are removed.

    Args:
      path: The file to replace or create.

    Yields:
      The hidden file to write to.

    Raises:
      OSError: `path` is a device, a pipe or a folder, which must not be replaced.
    """
    check_ordinary(path)
    _remove_dead_of(path)
    part = _hidden(path)
    with claimed_file(part):
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def check_ordinary(path: Path) -> None:
    """Reject a path that a file must not replace; root could rename a file over `/dev/null`.

    Args:
      path: The path to check; it need not exist.

    Raises:
      OSError: `path` is a device, a pipe or a folder.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it exists and is not a regular file", str(path))


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden, empty folder beside `path` that replaces `path` if the block succeeds.

    **Guarantees**: `path` is the old folder, the new one, or missing for the short time between two
    renames; it never holds a part of either. An old folder that a killed process had moved aside is
    restored (`tests/unit/storage/test_atomic.py`).

    Args:
      path: The folder to replace or create.

    Yields:
      The hidden folder to fill.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_dead_of(path)
    part, old = _hidden(path), _hidden(path.with_name(f"{path.name}.old"))
    with claimed_folder(part), ExitStack() as held:
        try:
            yield part
            if path.exists():
                held.enter_context(_claimed(path, lambda: open_folder(path)))
                os.rename(path, old)
            os.rename(part, path)
        finally:
            for stray in (part, old):
                shutil.rmtree(stray, ignore_errors=True)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield a hidden, empty folder beside `path`, removed after the block.

    The caller moves single files out of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_dead_of(path)
    part = _hidden(path)
    with claimed_folder(part):
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def claimed_file(path: Path) -> Iterator[None]:
    """Create the empty file `path` and lock it for the block, so that no process removes it."""

    def make() -> int | None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if HAS_LOCKS:
            return handle
        os.close(handle)  # Windows renames no open file
        return None

    with _claimed(path, make):
        yield


@contextmanager
def claimed_folder(path: Path, mode: int = 0o777) -> Iterator[None]:
    """Create the empty folder `path` and lock it for the block, so that no process removes it."""

    def make() -> int | None:
        path.mkdir(mode=mode)
        return open_folder(path)

    with _claimed(path, make):
        yield


def remove_litter(folder: Path, *, of: str = "") -> list[Path]:
    """Remove hidden partial files and folders that terminated processes left in `folder`.

    **Guarantees**: files being written by a running process are kept, on any machine; on a file
      system
    without locks, all files are kept (`tests/unit/storage/test_atomic.py`).

    Args:
      folder: The folder; its subfolders are not searched. It may be missing.
      of: Prefix of the names to consider, for folders that also hold files of other programs.

    Returns:
      The removed paths.
    """
    return [
        path
        for path in _hidden_in(folder)
        if path.name.startswith(f".{of}") and remove_if_dead(path)
    ]


def remove_litter_below(folder: Path) -> list[Path]:
    """Apply `remove_litter` to `folder` and all folders below it; return the removed paths."""
    removed = remove_litter(folder)
    for place, folders, _ in os.walk(folder):
        removed += [path for name in folders for path in remove_litter(Path(place) / name)]
    return removed


def remove_if_dead(path: Path) -> bool:
    """Remove a hidden file or folder unless a running process holds its lock.

    An old folder that was moved aside and has no successor is renamed back. Of a symbolic link, the
    link itself is removed.

    Args:
      path: The hidden file or folder.

    Returns:
      Whether it was removed or renamed.
    """
    if path.is_symlink():  # no writer uses links
        with suppress(OSError):
            path.unlink()
        return not path.is_symlink()
    if not HAS_LOCKS:
        return False
    is_folder = path.is_dir()
    try:
        handle = open_folder(path) if is_folder else os.open(path, os.O_RDWR | NO_LINK | NO_WAIT)
    except OSError:  # another process removed it, or permission is denied
        return False
    if handle is None:
        return False
    try:
        lock_at_once(handle)
        if not _is_at(handle, path):
            return False
        moved = _OLD.fullmatch(path.name)
        if is_folder and moved and not path.with_name(moved["name"]).exists():
            os.rename(path, path.with_name(moved["name"]))
        elif is_folder:
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:  # it is being written, or the file system has no locks
        return False
    finally:
        os.close(handle)
    return True


def resolved(path: Path) -> Path:
    """Return the absolute path without links.

    Unlike `Path.resolve`, it does not raise for a link that refers to itself.
    """
    return Path(os.path.realpath(path))


def is_disk_full(error: BaseException) -> bool:
    """Return whether `error` or one of its causes reports a full disk or an exceeded quota."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if (isinstance(found, OSError) and found.errno in _FULL) or _SQLITE_FULL in str(found):
            return True
        found = found.__cause__ or found.__context__
    return False


@contextmanager
def _claimed(path: Path, make: Callable[[], int | None]) -> Iterator[None]:
    while True:
        handle = make()
        if handle is None:
            yield
            return
        with suppress(OSError):  # without locks, no process removes this file
            lock(handle)
        if _is_at(handle, path):
            break
        os.close(handle)  # another process removed it between the two calls
    try:
        yield
    finally:
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except OSError:
        return False


def _remove_dead_of(path: Path) -> None:
    for part in _hidden_in(path.parent):
        number = part.name.removeprefix(f".{path.name}.").removesuffix(".part")
        if number.removeprefix("old.").isdigit():
            remove_if_dead(part)


def _hidden_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _PART.fullmatch(entry.name))
    except OSError:
        return []
    # Folders that were moved aside come last: their partial successors are removed first, so that
    # they are renamed back.
    return [
        folder / name for name in sorted(names, key=lambda name: _OLD.fullmatch(name) is not None)
    ]


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.randbits(40)}.part")
