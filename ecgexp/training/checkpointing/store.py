"""Checkpoints on disk: whole or not there, never trusted unchecked, and never code.

A checkpoint is one file whose name holds the SHA-256 of its content. Content and digest so appear together, in one rename;
a process killed at any moment, or a machine without power, leaves the checkpoints before it as they were.
"""

import errno
import fcntl
import hashlib
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.archive import SUFFIX, read_archive, write_archive

_FORMAT = 3
_DIGITS = 32  # of SHA-256: 128 bits
_NAME = re.compile(rf"step-(\d{{6,}})-([0-9a-f]{{{_DIGITS}}}){re.escape(SUFFIX)}")
_EARLIER = re.compile(r"step-\d{6,}-[0-9a-f]{32}\.npz")  # of format 1
_HIDDEN, _PART = ".step-", ".part"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where training can go on.

    Attributes:
      step: epochs or rounds that were finished when it was taken.
      arrays: slash-separated name -> array, e.g. `model/0`, of bool, integer, float or bytes, kept bit for bit.
      meta: JSON-able rest; floats are kept exactly, NaN and infinities too, and integers of any size.
    """

    step: int
    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]


class Checkpoints:
    """The last checkpoints of one run, in a folder of their own that one process at a time writes to.

    Args:
      folder: made when the first is saved; it and its files can be read by their owner only.
      keep: how many are kept, at least 1. With 2, one is left when the other turns out to be damaged.
    """

    def __init__(self, folder: Path, *, keep: int = 2):
        if keep < 1:
            raise ConfigError(f"keep={keep} checkpoints leave nothing to go on from; try 2")
        self._folder = Path(folder).absolute()  # the run may change its working folder
        self._keep = keep

    def save(self, checkpoint: Checkpoint) -> Path:
        """Writes `checkpoint`; then removes those that are too old, and those of its step and later ones.

        Whoever saves a step has gone on from an earlier one, because a later checkpoint was damaged or another run's.

        Returns:
          The file, complete and on the disk.

        Raises:
          ValueError: an array of bfloat16 or objects, a name that is no path, a meta that JSON would change.
          TypeError: a value in the meta that JSON does not know.
          OSError: the disk is full or the folder cannot be written. The checkpoints from before are as they were.
        """
        if checkpoint.step < 0:
            raise ValueError(
                f"step={checkpoint.step} is no number of finished epochs or rounds; the first is 0"
            )
        self._make_folder()
        self._remove_strays()
        with _new_file(self._folder) as (file, part):
            hashed = _Hashed(file)
            about = {"format": _FORMAT, "step": checkpoint.step, "meta": checkpoint.meta}
            write_archive(hashed, checkpoint.arrays, about)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
            path = self._folder / f"step-{checkpoint.step:06d}-{hashed.digest()}{SUFFIX}"
            os.replace(part, path)
        _sync_folder(self._folder)
        self._remove_others(path)
        return path

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; a damaged one is passed over with a warning.

        Returns:
          None if nothing was ever saved.

        Raises:
          DataError: there are files, and none is an intact checkpoint of ours. Nothing in them was executed.
        """
        found, others = self._list()
        reasons = []
        for path in found:
            try:
                checkpoint = _read(path)
            except (DataError, OSError) as error:
                _log.warning("The checkpoint %s cannot be used: it %s.", path, _reason(error))
                reasons.append(f"{path.name} {_reason(error)}")
                continue
            if reasons:
                _log.warning("Going on from the checkpoint before, %s.", path)
            return checkpoint
        reasons += [f"{name} {_strange(name)}" for name in sorted(others)]
        if reasons:
            raise DataError(
                f"{self._folder} holds no intact checkpoint ({'; '.join(reasons[:5])}); resume= cannot go on from there: "
                "start the run anew, without resume="
            )
        return None

    def _list(self) -> tuple[list[Path], set[str]]:
        """Checkpoints by their names, newest first, and the names of what is none; hidden files are nobody's."""
        try:
            names = {name for name in os.listdir(self._folder) if not name.startswith(".")}
        except FileNotFoundError:
            return [], set()
        except OSError as error:
            raise DataError(
                f"{self._folder} is no folder of checkpoints ({error.strerror}); resume= takes a run that saved some"
            ) from error
        ours = {name for name in names if _NAME.fullmatch(name)}
        return sorted((self._folder / name for name in ours), key=_age, reverse=True), names - ours

    def _make_folder(self) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(self._folder.parent)

    def _remove_strays(self) -> None:
        """Removes what dead writers left half-written; a living one holds a lock on its file."""
        for part in self._folder.glob(f"{_HIDDEN}*{_PART}"):
            with suppress(
                OSError
            ):  # it is being written or not ours to remove, or the file system knows no locks
                handle = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    part.unlink()
                finally:
                    os.close(handle)

    def _remove_others(self, new: Path) -> None:
        found, _ = self._list()
        earlier = [path for path in found if _step(path) < _step(new)][: self._keep - 1]
        for path in found:
            if path != new and path not in earlier:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:  # what was to be saved is saved
                    _log.warning("The old checkpoint %s could not be removed (%s).", path, error)


def _strange(name: str) -> str:
    if _EARLIER.fullmatch(name):
        return f"is of an earlier version of ecgexp, and this one reads {SUFFIX} files"
    return "is not named like a checkpoint"


class _Hashed:
    """A file to write to whose digest is known at the end: of what was meant, not of what a disk gave back."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def digest(self) -> str:
        return self._sha256.hexdigest()[:_DIGITS]


@contextmanager
def _new_file(folder: Path) -> Iterator[tuple[IO[bytes], str]]:
    """A hidden file, locked while it is open, and its name; gone at the end, if it has not been renamed by then."""
    handle, part = tempfile.mkstemp(dir=folder, prefix=_HIDDEN, suffix=_PART)
    try:
        with os.fdopen(handle, "wb") as file:
            with suppress(
                OSError
            ):  # a file system without locks; then nobody takes this file for a dead writer's
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield file, part
    finally:
        Path(part).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Puts the folder's list of names on the disk, without which a rename may be lost with the power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that keeps no such list to sync
            raise
    finally:
        os.close(handle)


def _read(path: Path) -> Checkpoint:
    step, digest = _NAME.fullmatch(path.name).groups()  # type: ignore[union-attr]
    with _open_plain(path) as file:
        if hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS] != digest:
            raise DataError("is damaged: its SHA-256 is not the one in its name")
        file.seek(0)
        arrays, about = read_archive(file)
    whole = isinstance(about, dict) and isinstance(about.get("meta"), dict)
    if not whole or about.get("format") != _FORMAT or about.get("step") != int(step):
        raise DataError(f"is not a checkpoint of format {_FORMAT} and step {int(step)}")
    return Checkpoint(step=about["step"], arrays=arrays, meta=about["meta"])


def _open_plain(path: Path) -> IO[bytes]:
    """The file itself: not where a link leads, and not a pipe, which would wait for ever."""
    if path.is_symlink():
        raise DataError("is a symbolic link")
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise DataError("is not a plain file")
    return os.fdopen(handle, "rb")


def _step(path: Path) -> int:
    return int(_NAME.fullmatch(path.name)[1])  # type: ignore[index]


def _age(path: Path) -> tuple[int, int]:
    """Later steps are newer; of two of one step, the one written later."""
    return _step(path), path.lstat().st_mtime_ns


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, DataError) else f"cannot be read ({error})"
