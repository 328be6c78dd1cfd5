"""The privacy journal: events on disk before their steps run, so that a crash cannot lose them.

A checkpoint contains the ledger as it was when the weights were saved. Steps after it may have
released information (a curve, a score) before a crash discarded them, so a run that resumes
records their events too. Events are written in blocks, because each write waits for the disk. A
crash within a block records the whole block: at least as many events as happened, never fewer.

The file has one JSON object per line: first `{"journal": 1, "run": "<32 hexadecimal digits>"}`,
then, for each block, `{"event": …, "count": 120}`: up to 120 such events may have happened in
total. The file is created before a run with a privacy guarantee reads any beat. A missing file
was therefore lost, and is never treated as an empty one.
"""

import json
import os
import re
import secrets
import stat
from pathlib import Path

from ecgexp.settings.declaration import DataError
from ecgexp.storage.atomic import replacing
from ecgexp.storage.handles import NO_LINK, NO_WAIT, sync_folder

_FORMAT = 1
_RUN = re.compile(r"[0-9a-f]{32}")
_MOST_BYTES = 1 << 26  # a run of a million epochs writes half of it


class Journal:
    """The events that may have happened in one run, with a count for each.

    **Guarantees**: a count is on the disk before its events happen, and counts never decrease
    (`tests/unit/privacy/test_journal.py`). A truncated last line counts as one more block. Any
    other file that is not a journal of this form is refused
    (`tests/unit/privacy/test_journal_damage.py`). Limitation: a journal from which complete lines
    were removed that were written after the last checkpoint cannot be distinguished from one
    without them, so it does not protect against manipulation by its owner.

    Args:
      path: file made by `create`; its content is continued.
      block: number of events that are written at a time; 1 where one event covers a whole epoch.

    Attributes:
      run: random identifier of the run that the journal belongs to.

    Raises:
      DataError: the journal is missing, unreadable or damaged.
    """

    def __init__(self, path: Path, *, block: int):
        self._path, self._block = path, block
        self.run, self._counts, self._is_torn = _read(path)

    @classmethod
    def create(cls, path: Path) -> None:
        """Create the journal of a new run; an existing one is kept, and its events count.

        Args:
          path: file to create.

        Raises:
          OSError: the folder is not writable.
        """
        if not os.path.lexists(path):
            _replace(path, [json.dumps({"journal": _FORMAT, "run": secrets.token_hex(16)})])

    def count(self, key: str) -> int:
        """Return how many events `key` may have happened.

        Args:
          key: the event, as the key in the ledger.

        Raises:
          DataError: the journal has other events too, so it belongs to a run with another plan.
        """
        if self._counts.keys() - {key}:
            raise _refusal(self._path, "belongs to a run with another plan")
        if self._is_torn:
            self._repair(key)
        return self._counts.get(key, 0)

    def cover(self, key: str, total: int, *, most: int) -> None:
        """Write that `total` events `key` may have happened; return when this is on the disk.

        Args:
          key: the event, as the key in the ledger.
          total: all events of the run, including the next ones.
          most: largest number of events that the run can have; no block exceeds it.

        Raises:
          OSError: the journal is missing, or the disk is full; then the step must not run.
        """
        if total <= self._counts.get(key, 0):
            return
        count = max(total, min(total + self._block - 1, most))
        # Without O_CREAT: a journal that was removed during the run must not restart empty.
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | NO_LINK)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(_line(key, count) + "\n")
            file.flush()
            os.fsync(handle)
        self._counts[key] = count

    def _repair(self, key: str) -> None:
        """Remove a truncated last line and count one block for it, the most that it can contain."""
        counts = {key: self._counts.get(key, 0) + self._block}
        lines = [json.dumps({"journal": _FORMAT, "run": self.run}), _line(key, counts[key])]
        _replace(self._path, lines)
        self._counts, self._is_torn = counts, False


def _line(key: str, count: int) -> str:
    return json.dumps({"event": json.loads(key), "count": count})


def _replace(path: Path, lines: list[str]) -> None:
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def _read(path: Path) -> tuple[str, dict[str, int], bool]:
    """Return the run, the count of each event, and whether the last line is truncated.

    Raises:
      DataError: see `Journal`.
    """
    *lines, rest = _content(path).split(b"\n")
    try:
        header, *entries = [json.loads(line.decode("utf-8")) for line in lines] or [None]
    except (ValueError, RecursionError) as error:
        raise _refusal(path, "is damaged: a line before its last one is not JSON") from error
    if not (
        isinstance(header, dict)
        and header.keys() == {"journal", "run"}
        and header["journal"] == _FORMAT
    ):
        raise _refusal(
            path, "is empty" if not lines and not rest else f"has no header of format {_FORMAT}"
        )
    if not (isinstance(header["run"], str) and _RUN.fullmatch(header["run"])):
        raise _refusal(path, "is damaged: its header names no run")
    counts: dict[str, int] = {}
    for number, entry in enumerate(entries, 2):
        if not (
            isinstance(entry, dict)
            and entry.keys() == {"event", "count"}
            and isinstance(entry["event"], dict)
        ):
            raise _refusal(path, f"is damaged: line {number} is not an entry")
        key, count = json.dumps(entry["event"], sort_keys=True), entry["count"]
        if type(count) is not int or count <= counts.get(key, 0):
            raise _refusal(path, f"is damaged: the count of line {number} does not grow")
        counts[key] = count
    return header["run"], counts, bool(rest)


def _content(path: Path) -> bytes:
    """Return the bytes of a regular file; links are not followed, and pipes would block."""
    try:
        handle = os.open(path, os.O_RDONLY | NO_LINK | NO_WAIT)
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            os.close(handle)
            raise _refusal(path, "is not a regular file, or is too large for a journal")
        with os.fdopen(handle, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise _refusal(path, "is missing") from error
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror})") from error


def _refusal(path: Path, why: str) -> DataError:
    return DataError(
        f"resume={path.parent}: {path.name} {why}, so the privacy loss of the run so far is "
        "unknown and no ε can be stated for it; start the run anew in another folder, without "
        "resume=."
    )
