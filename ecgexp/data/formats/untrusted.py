"""Validation of untrusted names and files, and the one-line message of a refusal."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecgexp.data.datasets.catalog import Database
from ecgexp.settings.declaration import DataError

_RECORD_NAME = re.compile(r"[A-Za-z0-9_-]+")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_LONGEST_NAME = 64
_QUOTED = 80
_QUOTE = re.compile(r"""(?<!\w)'(?:[^'\\]|\\.)*'|(?<!\w)"(?:[^"\\]|\\.)*\"""")


def damaged(path: Path, what: str, database: Database) -> DataError:
    """Return the error for a file that cannot be used.

    Args:
      path: The file.
      what: What is wrong, continuing a sentence that begins with the file.
      database: Gives the remedy.

    Returns:
      The error, with a message of one line.
    """
    return DataError(f"{printable(path)} {what}; {database.fix}")


def printable(path: Path | str) -> str:
    """Return a name for a message of one line; line ends and control characters are escaped."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def quoted(text: str) -> str:
    """Return the beginning of a text from a file, quoted and escaped, for a message of one line."""
    return repr(text if len(text) <= _QUOTED else text[:_QUOTED] + "…")


def without_quotes(message: str) -> str:
    """Return a message without the texts that it quotes of a file, which may name a person."""
    return _QUOTE.sub("'…'", message)


@contextmanager
def hides_texts() -> Iterator[None]:
    """Quote no text of a file in messages about it.

    Raises:
      DataError: The error of the block, without quotes and without its cause, which has them.
    """
    try:
        yield
    except DataError as error:
        raise DataError(without_quotes(str(error))) from None


def is_record_name(record_id: str) -> bool:
    """Return whether a text can be the name of a record of a database; see `check_record_name`."""
    return _RECORD_NAME.fullmatch(record_id) is not None and len(record_id) <= _LONGEST_NAME


def check_record_name(record_id: str) -> None:
    """Validate a record's name, which becomes part of a path.

    Args:
      record_id: The name.

    Raises:
      DataError: It has characters other than letters, digits, `-` and `_`, or is too long.
    """
    if not is_record_name(record_id):
        raise DataError(
            f"record name {quoted(record_id)} is refused: only letters, digits, - and _ are "
            f"allowed, {_LONGEST_NAME} at most; use a name such as '100'"
        )


def read_file(path: Path, database: Database, *, largest: int | None = None) -> bytes:
    """Read a regular file; folders, pipes and devices are refused.

    Args:
      path: The file, or a link to it.
      database: Gives the remedy.
      largest: Maximum size in bytes.

    Returns:
      The content.

    Raises:
      DataError: It is missing, cannot be read, is not a regular file, or is too large.
    """
    try:
        if not path.is_file():
            raise damaged(path, "is not a file" if path.exists() else "is missing", database)
        if largest is not None and (size := path.stat().st_size) > largest:
            raise damaged(path, f"has {size} bytes, but at most {largest} are read", database)
        return path.read_bytes()
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})", database) from error


def check_file_name(header_path: Path, name: str, database: Database) -> None:
    """Validate the name of a signal file in a header: it must be in the header's folder.

    Args:
      header_path: The `.hea` file.
      name: The name, which must be neither a path nor a URL.
      database: Gives the remedy.

    Raises:
      DataError: It is not a plain file name.
    """
    if not _FILE_NAME.fullmatch(name) or len(name) > 2 * _LONGEST_NAME:
        raise damaged(
            header_path,
            f"names the signal file {quoted(name)}, which is not in its folder",
            database,
        )
