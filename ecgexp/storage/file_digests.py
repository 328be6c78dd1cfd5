"""Digests of source files, kept so that they are cheap and used only where the file cannot have changed."""

import errno
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from ecgexp.settings.declaration import DataError
from ecgexp.storage.atomic import replacing, resolved
from ecgexp.storage.digests import digest, file_sha256
from ecgexp.storage.reading import read_json

_TRIES = 3
# Two changes of a file within a file system's smallest unit of time look like one; the coarsest in use is FAT's, 2 s. And who
# has mapped a file into memory moves its ctime once, until the system has written the change to the disk: within 35 s, as
# Linux is set up.
_SETTLED_NS = 50_000_000_000
_SECOND_NS = 1_000_000_000


_FiveNumbers = Annotated[list[int], Field(min_length=5, max_length=5)]
_Entry = Annotated[list[_FiveNumbers | str], Field(min_length=2, max_length=2)]


class _Index(TypedDict):
    files: dict[str, _Entry]
    sha256: str


Identity = tuple[int, int, int, int, int]
"""Device, inode, size, time of change of the inode and of the content."""


class FileDigests:
    """SHA-256 of the files of one folder, each read anew only where it may have changed since it was last read.

    Digests are kept in `cache_dir`, each beside the device, inode, size, and times of change of the inode (ctime) and of the
    content (mtime) that its file had. No program can set a ctime; any write, rename, chmod or utime moves it.

    Guarantees:
      A kept digest is used only if all five are the same, the ctime has a fraction of a second, and the file was last
      changed more than 50 s before it was read: so a change that came after could not have left the ctime as it was.
      Files without a fraction, such as those of read-only images, whose ctimes somebody wrote, and files just changed are
      read again each time. This assumes that the clock of the file system does not run backwards, and that nobody changes
      a file in memory alone (`/dev/shm`) through a mapping that was written to before. A file that is
      replaced while it is being read, or before `check_unchanged`, is refused. See `tests/data/test_file_digests.py`.

    Example:
      >>> digests = FileDigests(None, Path("."))
      >>> digests.of([])
      {}
    """

    def __init__(self, cache_dir: Path | None, folder: Path):
        self._index = None
        if cache_dir is not None:
            self._index = cache_dir / f"digests-{digest(str(resolved(folder)))[:16]}.json"
        self._seen: dict[Path, tuple[Identity, str, bool]] = {}

    def of(self, paths: Iterable[Path]) -> dict[str, str]:
        """File name -> SHA-256.

        Args:
          paths: files of the folder.

        Raises:
          DataError: one cannot be read, or changes all the while.
        """
        kept, found, anew = self._kept(), {}, False
        for path in paths:
            try:
                identity = _identity(path)
                if kept.get(path.name, (None, ""))[0] == identity:
                    self._seen[path] = identity, kept[path.name][1], True
                else:
                    self._seen[path] = _read(path)
                    anew = anew or self._seen[path][2]
            except OSError as error:
                raise _unreadable(path, error) from error
            found[path.name] = self._seen[path][1]
        if anew and self._index is not None:
            self._keep(self._index, kept)
        return found

    def check_unchanged(self) -> None:
        """All files still have the content whose digests were given, though they were read once more since.

        Raises:
          DataError: one was changed.
        """
        for path, (identity, sha256, is_certain) in self._seen.items():
            try:
                same = _identity(path) == identity and (is_certain or file_sha256(path) == sha256)
            except OSError as error:
                raise _unreadable(path, error) from error
            if not same:
                raise _changing(path)

    def _kept(self) -> dict[str, tuple[Identity, str]]:
        """What earlier runs left; nothing where that is damaged."""
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
            name: (tuple(identity), sha256)
            for name, (identity, sha256) in files.items()
            if isinstance(identity, list) and isinstance(sha256, str)
        }

    def _keep(self, index: Path, kept: Mapping[str, tuple[Identity, str]]) -> None:
        """Adds what was read; another process that does so at once may win, and then it is read once more next time."""
        certain = {
            path.name: (identity, sha256)
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
        raise OSError(errno.EINVAL, "it is no plain file")
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_ctime_ns, stat.st_mtime_ns


def _read(path: Path) -> tuple[Identity, str, bool]:
    """Identity and digest of one state of a file, and whether a later change of it would show in the identity."""
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
        f"{path} was changed while it was being read; run this again when nothing writes to it any more"
    )


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read ({error.strerror}); see to its permissions")
