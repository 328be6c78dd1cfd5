"""Checkpoint files: written atomically, verified when read, and free of executable content.

The name of a checkpoint file contains the SHA-256 of its content, so content and digest appear
together, in one rename. A killed process or a power failure leaves the earlier checkpoints intact.
"""

import errno
import hashlib
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.archive import SUFFIX, read_archive, write_archive
from ecgexp.storage.handles import (
    NO_LINK,
    NO_WAIT,
    lock,
    lock_at_once,
    replace_open,
    sync_folder,
)

_FORMAT = 3
_DIGITS = 32  # of SHA-256: 128 bits
_NAME = re.compile(rf"step-(\d{{6,}})-([0-9a-f]{{{_DIGITS}}}){re.escape(SUFFIX)}")
_EARLIER = re.compile(r"step-\d{6,}-[0-9a-f]{32}\.npz")  # of format 1
_HIDDEN, _PART = ".step-", ".part"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A state from which training can be resumed.

    Attributes:
      step: epochs or rounds that were finished.
      arrays: slash-separated name -> array, e.g. `model/0`, of bool, integer, float or bytes,
        stored exactly.
      meta: JSON-serializable values; floats (also NaN and infinities) and integers are stored
        exactly.
    """

    step: int
    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]


class Checkpoints:
    """The newest checkpoints of one run, in a folder that one process at a time writes to.

    Args:
      folder: created with the first checkpoint; readable by its owner only, as are its files.
      keep: number of checkpoints kept, at least 1. With 2, one remains if the other is damaged.
    """

    def __init__(self, folder: Path, *, keep: int = 2):
        if keep < 1:
            raise ConfigError(
                f"checkpoints.keep={keep}: no checkpoint would remain; use checkpoints.keep=2."
            )
        self._folder = Path(folder).absolute()  # the run may change its working folder
        self._keep = keep

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write `checkpoint`; then remove outdated ones, and those of the same or a later step.

        A later checkpoint exists only if the run was resumed from an earlier one, because the later
        one was damaged or belongs to another run.

        Args:
          checkpoint: the state to write.

        Returns:
          The path of the file, complete and synchronized to the disk.

        Raises:
          ValueError: an array of bfloat16 or objects, an invalid name, or a meta that JSON would
            change.
          TypeError: a value in the meta that is not JSON-serializable.
          OSError: the disk is full or the folder is not writable. Earlier checkpoints are
            unchanged.
        """
        if checkpoint.step < 0:
            raise ValueError(
                f"step={checkpoint.step}: not a number of finished epochs or rounds; use 0 or more."
            )
        self._make_folder()
        self._remove_strays()
        with _new_file(self._folder) as (file, part):
            hashed = _Hashed(file)
            about = {"format": _FORMAT, "step": checkpoint.step, "meta": checkpoint.meta}
            write_archive(hashed, checkpoint.arrays, about)
            path = self._folder / f"step-{checkpoint.step:06d}-{hashed.digest()}{SUFFIX}"
            replace_open(file, part, path)
        _sync_folder(self._folder)
        self._remove_others(path)
        return path

    def newest(self) -> Checkpoint | None:
        """Return the newest intact checkpoint; a damaged one is skipped with a warning.

        Returns:
          The checkpoint, or None if none was ever saved.

        Raises:
          DataError: there are files, and none is an intact checkpoint. Nothing in them was
            executed.
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
                _log.warning("Resuming from the earlier checkpoint %s.", path)
            return checkpoint
        reasons += [f"{name} {_strange(name)}" for name in sorted(others)]
        if reasons:
            raise DataError(
                f"resume={self._folder.parent}: {self._folder} holds no intact checkpoint "
                f"({'; '.join(reasons[:5])}); "
                "start a new run, without resume=."
            )
        return None

    def _list(self) -> tuple[list[Path], set[str]]:
        """Return the checkpoint files, newest first, and other names; hidden files are ignored."""
        try:
            names = {name for name in os.listdir(self._folder) if not name.startswith(".")}
        except FileNotFoundError:
            return [], set()
        except OSError as error:
            raise DataError(
                f"resume={self._folder.parent}: {self._folder} is not a folder of checkpoints "
                f"({error.strerror}); use a run that saved some."
            ) from error
        ours = {name for name in names if _NAME.fullmatch(name)}
        return sorted((self._folder / name for name in ours), key=_age, reverse=True), names - ours

    def _make_folder(self) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(self._folder.parent)

    def _remove_strays(self) -> None:
        """Remove partial files of terminated writers; a running writer holds a lock on its file."""
        for part in self._folder.glob(f"{_HIDDEN}*{_PART}"):
            # The file is being written, or must not be removed, or the file system has no locks.
            with suppress(OSError):
                handle = os.open(part, os.O_RDWR | NO_LINK | NO_WAIT)
                try:
                    lock_at_once(handle)
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
                except OSError as error:  # the new checkpoint is saved all the same
                    _log.warning("The old checkpoint %s could not be removed (%s).", path, error)


def _strange(name: str) -> str:
    if _EARLIER.fullmatch(name):
        return f"is of an earlier version of ecgexp, and this one reads {SUFFIX} files"
    return "is not named like a checkpoint"


class _Hashed:
    """A writable file with the digest of what was written, not of what the disk returns."""

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
    """Yield a hidden file, locked while it is open, and its name.

    Delete it unless it was renamed.
    """
    handle, part = tempfile.mkstemp(dir=folder, prefix=_HIDDEN, suffix=_PART)
    try:
        with os.fdopen(handle, "wb") as file:
            # On a file system without locks no other process removes this file either.
            with suppress(OSError):
                lock(handle)
            yield file, part
    finally:
        Path(part).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    try:
        sync_folder(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot synchronize folders
            raise


def _read(path: Path) -> Checkpoint:
    step, digest = _parts(path)
    with _open_plain(path) as file:
        if hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS] != digest:
            raise DataError("is damaged: its SHA-256 is not the one in its name")
        file.seek(0)
        arrays, about = read_archive(file)
    whole = isinstance(about, dict) and isinstance(about.get("meta"), dict)
    if not whole or about.get("format") != _FORMAT or about.get("step") != int(step):
        raise DataError(f"is not a checkpoint of format {_FORMAT} and step {int(step)}")
    return Checkpoint(step=about["step"], arrays=arrays, meta=about["meta"])


def _open_plain(path: Path) -> BufferedReader:
    """Open a regular file: not the target of a link, and not a pipe, which could block forever."""
    if path.is_symlink():
        raise DataError("is a symbolic link")
    handle = os.open(path, os.O_RDONLY | NO_LINK | NO_WAIT)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise DataError("is not a regular file")
    return os.fdopen(handle, "rb")


def _step(path: Path) -> int:
    return int(_parts(path)[0])


def _parts(path: Path) -> tuple[str, str]:
    """Return the step and the digest in the name of a checkpoint."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is not the name of a checkpoint")
    return match[1], match[2]


def _age(path: Path) -> tuple[int, int]:
    """Return the sort key of age: by step, then by time of writing."""
    return _step(path), path.lstat().st_mtime_ns


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, DataError) else f"cannot be read ({error})"
