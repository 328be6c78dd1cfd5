"""Files as an accident or another program may have left them: read within limits, or refused in one line.

Every reader of a kind of file goes through here, so that whatever lies under a name (a folder, a pipe, a link to itself, half a
file, another program's) ends in one `DataError` that names the file, what is wrong with it and what to do.
"""

import json
import os
import re
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ecgexp.settings.declaration import DataError

T = TypeVar("T")

MOST_BYTES = 1 << 26  # of a file of text; the largest of a run of a million epochs has half of it
_DEEPEST = 60  # lists and objects within each other
_MOST_NUMBER = 1 << 63
_QUOTED = 60
_TOLD = 200
_SUSPECT = re.compile(
    r"\\u(?:0000|[dD][89a-fA-F])"
)  # escapes of what no text of ours has: NUL and halves of characters


class MissingFileError(DataError):
    """The file is not there, which for some files is no fault."""


def read_bytes(path: Path, *, fix: str, most: int = MOST_BYTES) -> bytes:
    """The content of a plain file.

    Args:
      path: the file, or a link to it.
      fix: what the user can do, for the message.
      most: bytes that it may have.

    Raises:
      MissingFileError: there is none.
      DataError: it is no plain file, cannot be read, or is larger than any such file.
    """
    with open_plain(path, fix=fix) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise refusal(path, f"has {size} bytes, and at most {most} are read", fix=fix)
        try:
            return file.read(size + 1)[:most]  # not of `most`, for which room would be made
        except OSError as error:
            raise refusal(path, f"cannot be read ({error.strerror})", fix=fix) from error


def open_plain(path: Path, *, fix: str) -> IO[bytes]:
    """A plain file opened for reading; raises as `read_bytes` does. A pipe is not waited for."""
    handle = -1
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if stat.S_ISDIR(mode := os.fstat(handle).st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(mode):
            raise refusal(path, "is not a plain file", fix=fix)
        file, handle = os.fdopen(handle, "rb"), -1
        return file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"{_printable(path)} is missing; {fix}") from error
    except IsADirectoryError as error:
        raise refusal(path, "is a folder, and must be a file", fix=fix) from error
    except OSError as error:
        raise refusal(path, f"cannot be read ({error.strerror})", fix=fix) from error
    except DataError:
        raise
    except ValueError as error:
        raise refusal(path, "has a name that no file can have", fix=fix) from error
    finally:
        if handle >= 0:
            os.close(handle)


def read_text(path: Path, *, fix: str, most: int = MOST_BYTES) -> str:
    """The text of a plain file in UTF-8; raises as `read_bytes` does, and DataError for anything but text."""
    try:
        text = read_bytes(path, fix=fix, most=most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise refusal(path, f"is damaged: its byte {error.start} is no UTF-8", fix=fix) from error
    if "\0" in text:
        raise refusal(path, "is damaged: it has zero bytes", fix=fix)
    return text


def read_json(path: Path, kind: type[T], *, fix: str, most: int = MOST_BYTES) -> T:
    """The JSON of a plain file, of that kind.

    Args:
      path: the file.
      kind: a `TypedDict`, or another type that JSON can have; keys beside its own are kept.
      fix: what the user can do, for the message.
      most: bytes that it may have.

    Raises:
      MissingFileError: there is none.
      DataError: it cannot be read, or holds anything else.
    """
    text = read_text(path, fix=fix, most=most)
    try:
        return checked(parse(text), kind)
    except ValueError as error:
        raise refusal(path, f"is damaged: {error}", fix=fix) from error


def read_lines(path: Path, kind: type[T], *, fix: str, most: int = MOST_BYTES) -> list[T]:
    """The JSON of each whole line of a plain file; a last line without its end, which a writer that died left, is left out.

    Raises:
      DataError: the file cannot be read, or one of its whole lines holds anything else; the line is named.
    """
    data = read_bytes(path, fix=fix, most=most)
    values = []
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            values.append(checked(parse(line.decode("utf-8")), kind))
        except ValueError as error:
            why = "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise refusal(path, f"is damaged in line {number}: {why}", fix=fix) from error
    return values


def cut_torn_line(path: Path) -> None:
    """Takes away a last line that a crash cut off, so that the next one does not continue it; a missing file stays missing.

    Raises:
      DataError: it is no plain file, or cannot be written.
    """
    fix = "restore the file from a copy, or start the run anew in another folder"
    try:
        data = read_bytes(path, fix=fix)
        if data and not data.endswith(b"\n"):
            os.truncate(path, data.rfind(b"\n") + 1)
    except MissingFileError:
        return
    except OSError as error:
        raise refusal(path, f"cannot be written ({error.strerror})", fix=fix) from error


def parse(text: str, *, finite: bool = True) -> Any:
    """The value of a JSON text.

    Args:
      text: of the whole value.
      finite: refuse NaN, infinities and numbers beyond 64 bits, which JSON or its other readers do not know.

    Raises:
      ValueError: it is no JSON, is nested too deep, has a key twice or text that cannot be written; says which, in a few words.
    """
    hooks: dict[str, Callable[[str], Any]] = {}
    if finite:
        hooks = {"parse_constant": _refuse_constant, "parse_float": _finite, "parse_int": _integer}
    try:
        value = json.loads(text, object_pairs_hook=_once, **hooks)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"it is no JSON (line {error.lineno}, column {error.colno}: {error.msg.lower()})"
        ) from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {_DEEPEST}") from error
    if text.count("[") + text.count("{") > _DEEPEST or (finite and _SUSPECT.search(text)):
        _check_nested(value, texts=finite)
    return value


def checked(value: Any, kind: type[T]) -> T:
    """`value` itself, if it is of that kind.

    Raises:
      ValueError: it is not; says where, in a few words.
    """
    try:
        _adapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise ValueError(f"{quoted(where)} is missing") from error
        why = first["msg"][0].lower() + first["msg"][1:]
        at = (
            f"{where if where.isprintable() and len(where) <= _QUOTED else quoted(where)}: "
            if where
            else ""
        )
        raise ValueError(
            f"{at}{why.replace('input', 'it')}, and is {quoted(first['input'])}"
        ) from error
    return value


def refusal(path: Path, why: str, *, fix: str) -> DataError:
    """The one line about a file that cannot be used."""
    return DataError(f"{_printable(path)} {why}; {fix}")


def quoted(value: Any) -> str:
    """The beginning of a value, fit for a line."""
    text = repr(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


def told(error: BaseException) -> str:
    """What another library says is wrong, as part of a line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = lines[0] if lines[0].isprintable() else repr(lines[0])
    return text if len(text) <= _TOLD else f"{text[:_TOLD]}…"


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _printable(path: Path | str) -> str:
    text = str(path)
    return text if text.isprintable() else repr(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(
            f"the key {quoted(next(key for key in keys if keys.count(key) > 1))} is there twice"
        )
    return values


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it has the number {name}, which is NaN or infinite")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"it has the number {quoted(text)}, which is NaN or infinite")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or not -_MOST_NUMBER <= (value := int(text)) < 2 * _MOST_NUMBER:
        raise ValueError(f"it has a number of {len(text.lstrip('-'))} digits, beyond 64 bits")
    return value


def _check_nested(value: Any, *, texts: bool) -> None:
    """Without recursion, since what is checked is how deep it would go."""
    level, depth = [value], 0
    while level:
        if depth > _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST}")
        if texts:
            for item in level:
                for text in item if isinstance(item, dict) else (item,):
                    if isinstance(text, str) and ("\0" in text or not _is_writable(text)):
                        raise ValueError("it has text with zero bytes or halves of characters")
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        depth += 1


def _is_writable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
