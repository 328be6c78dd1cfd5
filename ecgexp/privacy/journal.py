"""Events that are about to be taken, on disk before they are: what a crash undid still counts.

A checkpoint holds the ledger as it stood when the weights were saved. Events after it may have shown something before they were
lost (a curve, a score), so a run that resumes records them too. They are written down in blocks, because each writing waits for
the disk: a crash within a block records all of it, more than was taken and never less.

The file has one JSON object a line: first `{"journal": 1, "run": "<32 hexadecimal digits>"}`, then, for each block,
`{"event": …, "count": 120}`: the run may have taken 120 such events in all. It is there from the first moment of a run with a
privacy guarantee, before any beat is read. So one that is missing was lost, and is never taken for an empty one.
"""

import json
import os
import re
import secrets
import stat
from pathlib import Path

from ecgexp.settings.declaration import DataError
from ecgexp.storage.atomic import replacing

_FORMAT = 1
_RUN = re.compile(r"[0-9a-f]{32}")
_MOST_BYTES = 1 << 26  # a run of a million epochs writes half of it; more is no journal


class Journal:
    """The events that one run may have taken, event by event.

    **Guarantees**: a count is on the disk before its events are taken, and counts never shrink
    (`tests/privacy/test_journal.py`). A last line that was cut off counts as one more block. Whatever else is not a journal of
    this form is refused (`tests/privacy/test_journal_damage.py`). A journal from which somebody takes away whole lines that were
    written after the last checkpoint looks like one without them: against its owner it proves nothing.

    Args:
      path: made by `create`; what lies there is continued.
      block: events that are written down at a time; 1 where one event stands for a whole epoch.

    Attributes:
      run: names the run that the journal belongs to; random.

    Raises:
      DataError: there is no journal, or it cannot be read or trusted.
    """

    def __init__(self, path: Path, *, block: int):
        self._path, self._block = path, block
        self.run, self._counts, self._is_torn = _read(path)

    @classmethod
    def create(cls, path: Path) -> None:
        """Begins the journal of a new run; one that is there already is kept, and what it says counts.

        Raises:
          OSError: the folder cannot be written.
        """
        if not os.path.lexists(path):
            _replace(path, [json.dumps({"journal": _FORMAT, "run": secrets.token_hex(16)})])

    def count(self, key: str) -> int:
        """Events `key` (as the ledger keys them) that may have been taken.

        Raises:
          DataError: the journal has other events too, so it belongs to a run with another plan.
        """
        if self._counts.keys() - {key}:
            raise _refusal(self._path, "belongs to a run with another plan")
        if self._is_torn:
            self._repair(key)
        return self._counts.get(key, 0)

    def cover(self, key: str, total: int, *, most: int) -> None:
        """Returns when the disk knows that `total` events `key` may have been taken.

        Args:
          key: the event, as the ledger keys it.
          total: events of the run in all, those to come included.
          most: what the run can take in all; a block ends there.

        Raises:
          OSError: the journal is gone, or the disk is full; then the event must not be taken.
        """
        if total <= self._counts.get(key, 0):
            return
        count = max(total, min(total + self._block - 1, most))
        # Without O_CREAT: a journal that went away under the run must not begin anew without its past.
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(_line(key, count) + "\n")
            file.flush()
            os.fsync(handle)
        self._counts[key] = count

    def _repair(self, key: str) -> None:
        """Cuts a torn line off and counts a block for it: the most that it can have said."""
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
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> tuple[str, dict[str, int], bool]:
    """The run, what may have been taken of each event, and whether the last line was cut off.

    Raises:
      DataError: see `Journal`.
    """
    *lines, rest = _content(path).split(b"\n")
    try:
        header, *entries = [json.loads(line.decode("utf-8")) for line in lines] or [None]
    except (ValueError, RecursionError) as error:
        raise _refusal(path, "is damaged: a line before its last one is no JSON") from error
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
            raise _refusal(path, f"is damaged: line {number} is no entry")
        key, count = json.dumps(entry["event"], sort_keys=True), entry["count"]
        if type(count) is not int or count <= counts.get(key, 0):
            raise _refusal(path, f"is damaged: the count of line {number} does not grow")
        counts[key] = count
    return header["run"], counts, bool(rest)


def _content(path: Path) -> bytes:
    """The bytes of a plain file: not where a link leads, and not of a pipe, which would wait for ever."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            os.close(handle)
            raise _refusal(path, "is not a regular file, or larger than any journal")
        with os.fdopen(handle, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise _refusal(path, "is missing") from error
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror})") from error


def _refusal(path: Path, why: str) -> DataError:
    return DataError(
        f"resume={path.parent}: {path.name} {why}, so how much privacy loss the run had before is unknown and no ε can be "
        "stated for it; start the run anew in another folder, without resume=."
    )
