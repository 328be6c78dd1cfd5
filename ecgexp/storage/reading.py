"""Read files that may be damaged, within limits, or raise a one-line `DataError`.

All readers of text and JSON files use this module. A folder, a pipe, a link to itself, a truncated
file or a file of another program gives one `DataError` that names the file, what is wrong and the
remedy.
"""

import os
import stat
from pathlib import Path
from typing import IO, TypeVar

from ecgexp.settings.declaration import DataError
from ecgexp.storage.handles import NO_WAIT
from ecgexp.storage.json_text import checked, parse

T = TypeVar("T")

MOST_BYTES = 1 << 26  # of a text file; the largest file of a run of a million epochs has half of it
_MESSAGE = 200


class MissingFileError(DataError):
    """The file does not exist, which is not an error for some files."""


def read_bytes(path: Path, *, fix: str, most: int = MOST_BYTES) -> bytes:
    """Read the content of a regular file.

    Args:
      path: The file, or a link to it.
      fix: The remedy, for the message.
      most: Maximum size in bytes.

    Returns:
      The content.

    Raises:
      MissingFileError: The file does not exist.
      DataError: It is not a regular file, cannot be read, or is larger than `most`.
    """
    with open_plain(path, fix=fix) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise refusal(path, f"has {size} bytes, and at most {most} are read", fix=fix)
        try:
            return file.read(size + 1)[:most]  # not read(most), which would allocate that much
        except OSError as error:
            raise refusal(path, f"cannot be read ({error.strerror})", fix=fix) from error


def open_plain(path: Path, *, fix: str) -> IO[bytes]:
    """Open a regular file for reading; raise as `read_bytes` does. It does not wait for a pipe."""
    handle = -1
    try:
        handle = os.open(path, os.O_RDONLY | NO_WAIT)
        if stat.S_ISDIR(mode := os.fstat(handle).st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(mode):
            raise refusal(path, "is not a regular file", fix=fix)
        file, handle = os.fdopen(handle, "rb"), -1
        return file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"{_printable(path)} is missing; {fix}") from error
    except IsADirectoryError as error:
        raise refusal(path, "is a folder, not a file", fix=fix) from error
    except OSError as error:
        raise refusal(path, f"cannot be read ({error.strerror})", fix=fix) from error
    except DataError:
        raise
    except ValueError as error:
        raise refusal(path, "is not a valid file name", fix=fix) from error
    finally:
        if handle >= 0:
            os.close(handle)


def read_text(path: Path, *, fix: str, most: int = MOST_BYTES) -> str:
    """Read a UTF-8 text file; raise as `read_bytes` does, and DataError if it is not text."""
    try:
        text = read_bytes(path, fix=fix, most=most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise refusal(path, f"is damaged: its byte {error.start} is not UTF-8", fix=fix) from error
    if "\0" in text:
        raise refusal(path, "is damaged: it has NUL bytes", fix=fix)
    return text


def read_json(path: Path, kind: type[T], *, fix: str, most: int = MOST_BYTES) -> T:
    """Read a JSON file and validate its type.

    Args:
      path: The file.
      kind: A `TypedDict` or another type of a JSON value; additional keys are kept.
      fix: The remedy, for the message.
      most: Maximum size in bytes.

    Returns:
      The value.

    Raises:
      MissingFileError: The file does not exist.
      DataError: It cannot be read, or its content is not of that type.
    """
    text = read_text(path, fix=fix, most=most)
    try:
        return checked(parse(text), kind)
    except ValueError as error:
        raise refusal(path, f"is damaged: {error}", fix=fix) from error


def read_lines(path: Path, kind: type[T], *, fix: str, most: int = MOST_BYTES) -> list[T]:
    """Read a JSON Lines file and validate the type of each line.

    A last line without a line ending, as a killed writer leaves it, is omitted.

    Args:
      path: The file.
      kind: Type of each line, as in `read_json`.
      fix: The remedy, for the message.
      most: Maximum size in bytes.

    Returns:
      One value for each complete line.

    Raises:
      MissingFileError: The file does not exist.
      DataError: The file cannot be read, or a complete line is not of that type; the message gives
        its number.
    """
    data = read_bytes(path, fix=fix, most=most)
    values = []
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            values.append(checked(parse(line.decode("utf-8")), kind))
        except ValueError as error:
            why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise refusal(path, f"is damaged in line {number}: {why}", fix=fix) from error
    return values


def cut_torn_line(path: Path) -> None:
    """Remove an incomplete last line, so that the next line is not appended to it.

    Args:
      path: The file; if it is missing, nothing is done.

    Raises:
      DataError: It is not a regular file, or cannot be written.
    """
    fix = "restore the file from a copy, or start a new run in another folder"
    try:
        data = read_bytes(path, fix=fix)
        if data and not data.endswith(b"\n"):
            os.truncate(path, data.rfind(b"\n") + 1)
    except MissingFileError:
        return
    except OSError as error:
        raise refusal(path, f"cannot be written ({error.strerror})", fix=fix) from error


def refusal(path: Path, why: str, *, fix: str) -> DataError:
    """Return the one-line error for a file that cannot be used."""
    return DataError(f"{_printable(path)} {why}; {fix}")


def error_text(error: BaseException) -> str:
    """Return the first line of another library's error message, for a one-line message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = lines[0] if lines[0].isprintable() else repr(lines[0])
    return text if len(text) <= _MESSAGE else f"{text[:_MESSAGE]}…"


def _printable(path: Path | str) -> str:
    text = str(path)
    return text if text.isprintable() else repr(text)
