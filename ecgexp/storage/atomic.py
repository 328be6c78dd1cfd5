"""Files and folders that are whole or as they were before, whenever the process that writes them dies, and no litter of it.

After a power failure they may still be either: what must outlive that too is synced (`checkpoints`, `privacy.journal`).
What is being written has a hidden name that ends in `.part`, and its writer holds a lock (`flock`) on it, which goes with the
writer, however it ends. So whoever opens a folder next can tell what a dead process left there from what a living one writes,
on this machine or another one that shares the folder.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SQLITE_FULL = "database or disk is full"
_PART = re.compile(r"\.(?P<name>.+)\.part", re.DOTALL)
_OLD = re.compile(r"\.(?P<name>.+)\.old\.\d+\.part", re.DOTALL)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden, empty file beside `path` to be written in the block, which takes its place unless an error ends it.

    What a dead process left half-written of the same file is removed.

    Raises:
      OSError: a device, a pipe or a folder is there, which the file would destroy.
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
    """Refuses a place that another file must not take: to root even `/dev/null` could be renamed over.

    Raises:
      OSError: a device, a pipe or a folder is there.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "what is there is not an ordinary file", str(path))


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A hidden, empty folder beside `path` to be filled in the block, which takes its place unless an error ends it.

    Guarantees: `path` is the old folder, the new one, or, for the instant between two renames, missing; it never holds a
    part of either, and an old one that a killed process had moved aside is put back (`tests/test_files.py`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_dead_of(path)
    part, old = _hidden(path), _hidden(path.with_name(f"{path.name}.old"))
    with claimed_folder(part), ExitStack() as held:
        try:
            yield part
            if path.exists():
                held.enter_context(
                    _claimed(path, lambda: os.open(path, os.O_RDONLY | os.O_DIRECTORY))
                )
                os.rename(path, old)
            os.rename(part, path)
        finally:
            for stray in (part, old):
                shutil.rmtree(stray, ignore_errors=True)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A hidden, empty folder beside `path` for the block, from which single files are moved to where they belong."""
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
    """Makes the new, empty file `path`, which is locked for the block: nobody takes it for litter."""
    with _claimed(path, lambda: os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)):
        yield


@contextmanager
def claimed_folder(path: Path, mode: int = 0o777) -> Iterator[None]:
    """Makes the new, empty folder `path`, which is locked for the block: nobody takes it for litter."""

    def make() -> int:
        path.mkdir(mode=mode)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)

    with _claimed(path, make):
        yield


def remove_litter(folder: Path, *, of: str = "") -> list[Path]:
    """Removes the hidden files and folders that dead processes left half-written in `folder`, which is one of ours.

    **Guarantees**: what a living process writes stays, on whatever machine; where the file system knows no locks, all stays
    (`tests/test_files.py`).

    Args:
      folder: not what is in folders below it; one that is missing has no litter.
      of: the beginning of the names that are ours, where others keep files in the folder too.

    Returns:
      What was removed.
    """
    return [
        path
        for path in _hidden_in(folder)
        if path.name.startswith(f".{of}") and remove_if_dead(path)
    ]


def remove_litter_below(folder: Path) -> list[Path]:
    """The same for `folder` and all folders below it."""
    removed = remove_litter(folder)
    for place, folders, _ in os.walk(folder):
        removed += [path for name in folders for path in remove_litter(Path(place) / name)]
    return removed


def remove_if_dead(path: Path) -> bool:
    """Removes a hidden file or folder unless a living process holds its lock; returns whether it did.

    An old folder that was moved aside, and has no successor, is put back under its name. Of a link, the link is removed.
    """
    if path.is_symlink():  # nobody of us writes through one
        with suppress(OSError):
            path.unlink()
        return not path.is_symlink()
    is_folder = path.is_dir()
    how = os.O_RDONLY | os.O_DIRECTORY if is_folder else os.O_RDWR | os.O_NONBLOCK
    try:
        handle = os.open(path, how | os.O_NOFOLLOW)
    except OSError:  # another process was faster, or it is not ours to remove
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(handle, path):
            return False
        moved = _OLD.fullmatch(path.name)
        if is_folder and moved and not path.with_name(moved["name"]).exists():
            os.rename(path, path.with_name(moved["name"]))
        elif is_folder:
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:  # it is being written, or the file system knows no locks
        return False
    finally:
        os.close(handle)
    return True


def resolved(path: Path) -> Path:
    """The absolute path without links; of a link that leads to itself, which `Path.resolve` raises for, the link's own."""
    return Path(os.path.realpath(path))


def is_disk_full(error: BaseException) -> bool:
    """Whether `error`, or one that it came from, says that the disk or the user's share of it is full."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if (isinstance(found, OSError) and found.errno in _FULL) or _SQLITE_FULL in str(found):
            return True
        found = found.__cause__ or found.__context__
    return False


@contextmanager
def _claimed(path: Path, make: Callable[[], int]) -> Iterator[None]:
    while True:
        handle = make()
        with suppress(
            OSError
        ):  # a file system without locks; then nobody takes this for a dead process's
            fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_at(handle, path):
            break
        os.close(handle)  # somebody removed it between the two calls
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
    # What was moved aside comes last: its successor is removed before, and so is put back.
    return [
        folder / name for name in sorted(names, key=lambda name: _OLD.fullmatch(name) is not None)
    ]


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.randbits(40)}.part")
