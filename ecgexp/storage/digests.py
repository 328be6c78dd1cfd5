"""Digests of values and of files; that of a file is reused only if the file cannot have changed."""

import errno
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any, cast

from pydantic import Field
from typing_extensions import TypedDict

from ecgexp.settings.declaration import DataError
from ecgexp.storage.atomic import replacing, resolved
from ecgexp.storage.reading import read_json

_TRIES = 3
# Two changes of a file within the time resolution of its file system have the same timestamp; the
# coarsest resolution in use is 2 s (FAT). Writes through a memory mapping change the ctime only
# once until the system has written them to the disk, by default within 35 s on Linux.
_SETTLED_NS = 50_000_000_000
_SECOND_NS = 1_000_000_000


_FiveNumbers = Annotated[list[int], Field(min_length=5, max_length=5)]
_Entry = Annotated[list[_FiveNumbers | str], Field(min_length=2, max_length=2)]


class _Index(TypedDict):
    files: dict[str, _Entry]
    sha256: str


Identity = tuple[int, int, int, int, int]
"""Device, inode, size, ctime and mtime (nanoseconds)."""


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file.

    A `.hea` file is hashed with CRLF line endings, as PhysioNet publishes it; git may have
    converted them.
    """
    if path.suffix == ".hea":
        lines = path.read_bytes().replace(b"\r\n", b"\n")
        return hashlib.sha256(lines.replace(b"\n", b"\r\n")).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Return the hexadecimal SHA-256 of a value that can be converted to JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


class FileDigests:
    """SHA-256 of the files of a folder; a file is read again only if it may have changed.

    Digests are stored in `cache_dir`, each with the device, inode, size, ctime (change of the
    inode) and mtime (change of the content) of its file. No program can set a ctime; any write,
    rename, chmod or utime changes it.

    **Guarantees**: a stored digest is used only if all five values are equal, the ctime has a
      fraction of a
    second, and the file was last changed more than 50 s before it was read; a later change would
    have changed the ctime. Files whose ctime has no fraction (such as those of read-only images,
    whose ctimes were written by a program) and recently changed files are read each time. This
    assumes that the clock of the file system does not run backwards, and that a memory-only file
    (`/dev/shm`) is not changed through a mapping that was written to before. A file that is
    replaced while it is being read, or before `check_unchanged`, is rejected
    (`tests/unit/storage/test_digests.py`).

    Args:
      cache_dir: Folder for the index of digests; None: read all files each time.
      folder: The folder with the files, in it or below it.

    Example:
      >>> digests = FileDigests(None, Path("."))
      >>> digests.of([])
      {}
    """

    def __init__(self, cache_dir: Path | None, folder: Path):
        self._index, self._folder = None, folder
        if cache_dir is not None:
            self._index = cache_dir / f"digests-{digest(str(resolved(folder)))[:16]}.json"
        self._seen: dict[Path, tuple[Identity, str, bool]] = {}

    def of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return file -> hexadecimal SHA-256.

        Args:
          paths: Files of the folder.

        Returns:
          The digests.

        Raises:
          DataError: A file cannot be read, or keeps changing while it is read.
        """
        kept, found, anew = self._kept(), {}, False
        for path in paths:
            try:
                identity = _identity(path)
                name = self.name_of(path)
                if kept.get(name, (None, ""))[0] == identity:
                    self._seen[path] = identity, kept[name][1], True
                else:
                    self._seen[path] = _read(path)
                    anew = anew or self._seen[path][2]
            except OSError as error:
                raise _unreadable(path, error) from error
            found[path] = self._seen[path][1]
        if anew and self._index is not None:
            self._keep(self._index, kept)
        return found

    def name_of(self, path: Path) -> str:
        """Return the path of a file relative to the folder, with `/`."""
        return path.relative_to(self._folder).as_posix()

    def check_unchanged(self) -> None:
        """Check that all files still have the content for which `of` returned digests.

        Raises:
          DataError: A file was changed.
        """
        for path, (identity, sha256, is_certain) in self._seen.items():
            try:
                same = _identity(path) == identity and (is_certain or file_sha256(path) == sha256)
            except OSError as error:
                raise _unreadable(path, error) from error
            if not same:
                raise _changing(path)

    def _kept(self) -> dict[str, tuple[Identity, str]]:
        """Return the index of earlier runs; empty if it is missing or damaged."""
        if self._index is None:
            return {}
        try:
            values = read_json(self._index, _Index, fix="remove it")
        except DataError:
            return {}
        files = values["files"]
        if values["sha256"] != digest(files):
            return {}
        return {
            name: (cast(Identity, tuple(identity)), sha256)
            for name, (identity, sha256) in files.items()
            if isinstance(identity, list) and isinstance(sha256, str)
        }

    def _keep(self, index: Path, kept: Mapping[str, tuple[Identity, str]]) -> None:
        """Add new digests to the index.

        If another process writes the index at the same time, one update is lost, and its files are
        read again the next time.
        """
        certain = {
            self.name_of(path): (identity, sha256)
            for path, (identity, sha256, sure) in self._seen.items()
            if sure
        }
        files = {
            name: [list(identity), sha256]
            for name, (identity, sha256) in {**kept, **certain}.items()
        }
        try:
            index.parent.mkdir(parents=True, exist_ok=True)
            with replacing(index) as part:
                part.write_text(
                    json.dumps({"files": files, "sha256": digest(files)}), encoding="utf-8"
                )
        except OSError:  # they are read again next time
            return


def _identity(path: Path) -> Identity:
    stat = path.stat()
    if not S_ISREG(stat.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_ctime_ns, stat.st_mtime_ns


def _read(path: Path) -> tuple[Identity, str, bool]:
    """Return identity, digest, and whether any later change would change the identity."""
    for _ in range(_TRIES):
        began = time.time_ns()
        identity = _identity(path)
        sha256 = file_sha256(path)
        if _identity(path) == identity:
            *_, ctime, mtime = identity
            return (
                identity,
                sha256,
                max(ctime, mtime) + _SETTLED_NS < began and ctime % _SECOND_NS != 0,
            )
    raise _changing(path)


def _changing(path: Path) -> DataError:
    return DataError(
        f"{path} was changed while it was being read; run this again when no program writes to it"
    )


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read ({error.strerror}); correct its permissions")
