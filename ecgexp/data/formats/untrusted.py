"""Names and files that others made: what may be opened at all, and how a refusal says so in one line."""

import re
from pathlib import Path

from ecgexp.data.datasets.catalog import Database
from ecgexp.settings.declaration import DataError

_RECORD_NAME = re.compile(r"[A-Za-z0-9_-]+")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_LONGEST_NAME = 64
_QUOTED = 80


def damaged(path: Path, what: str, database: Database) -> DataError:
    """The error for a file that cannot be trusted: which, why, and what to type."""
    return DataError(f"{printable(path)} {what}; get it again: {database.fix}")


def printable(path: Path | str) -> str:
    """A name as it can stand in a line, whatever line ends or control characters are in it."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def quoted(text: str) -> str:
    """The beginning of what a file says, in quotes and fit for a line."""
    return repr(text if len(text) <= _QUOTED else text[:_QUOTED] + "…")


def check_record_name(record_id: str) -> None:
    """A record's name becomes part of a path, so it may hold no separator and no dot.

    Raises:
      DataError: it does, or is too long for a file's name.
    """
    if not _RECORD_NAME.fullmatch(record_id) or len(record_id) > _LONGEST_NAME:
        raise DataError(
            f"record name {quoted(record_id)} is refused: only letters, digits, - and _ may stand in it, "
            f"{_LONGEST_NAME} at most; try '100'"
        )


def read_file(path: Path, database: Database, *, largest: int | None = None) -> bytes:
    """The content of a file, which a folder, a pipe or a device is not.

    Args:
      path: the file; a link to one will do.
      database: for the remedy.
      largest: bytes it may have.

    Raises:
      DataError: it is missing, cannot be read, or is too large.
    """
    try:
        if not path.is_file():
            raise damaged(path, "is no file" if path.exists() else "is missing", database)
        if largest is not None and path.stat().st_size > largest:
            raise damaged(
                path, f"has {path.stat().st_size} bytes, where {largest} would be many", database
            )
        return path.read_bytes()
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})", database) from error


def check_file_name(header_path: Path, name: str, database: Database) -> None:
    """A signal file that a header names lies beside it: its name is no path, and nothing that wfdb takes for more than a name.

    Raises:
      DataError: it is.
    """
    if not _FILE_NAME.fullmatch(name) or len(name) > 2 * _LONGEST_NAME:
        raise damaged(
            header_path,
            f"points to the signal file {quoted(name)}, which is not beside it",
            database,
        )
