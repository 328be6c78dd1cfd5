"""Files and folders that are whole or as they were before, whenever the process that writes them dies.

After a power failure they may still be either: what must outlive that too is synced (`checkpoints`, `privacy.journal`).
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SQLITE_FULL = "database or disk is full"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden file beside `path` to be written in the block, which takes its place unless an error ends it."""
    part = _hidden(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A hidden, empty folder beside `path` to be filled in the block, which takes its place unless an error ends it.

    Guarantees: `path` is the old folder, the new one, or, for the instant between two renames, missing; it never holds a
    part of either (`tests/test_files.py`).
    """
    part, old = _hidden(path), _hidden(path.with_name(f"{path.name}.old"))
    path.parent.mkdir(parents=True, exist_ok=True)
    for stray in (part, old):
        shutil.rmtree(stray, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        if path.exists():
            os.rename(path, old)
        os.rename(part, path)
    finally:
        for stray in (part, old):
            shutil.rmtree(stray, ignore_errors=True)


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


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")
