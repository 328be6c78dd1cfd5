"""Parse JSON text that may be damaged, and check the type of its value.

Every error is a ValueError with a short reason, which a reader of files adds to its message.
"""

import json
import re
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
_DEEPEST = 60  # lists and objects within each other
_MOST_NUMBER = 1 << 63
_QUOTED = 60
# Without it no number is beyond 1e299, so that most texts need no Python function for each.
_LARGE = re.compile(r"[eE]\+?\d{3}|\d{200}")
_SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")  # escapes of NUL and of surrogates


def parse(text: str, *, finite: bool = True) -> Any:
    """Parse JSON text.

    Args:
      text: The JSON text.
      finite: Reject NaN, infinities and numbers beyond 64 bits, which JSON or other parsers do not
        support.

    Returns:
      The value.

    Raises:
      ValueError: The text is not JSON, is nested too deeply, has a duplicate key, or has strings
        that cannot be written; the message is a short reason.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_once,
            parse_constant=_refuse_constant if finite else None,
            parse_float=_finite if finite and _LARGE.search(text) else None,
            parse_int=_integer if finite else None,
        )
    except json.JSONDecodeError as error:
        raise ValueError(
            f"it is not JSON (line {error.lineno}, column {error.colno}: {error.msg.lower()})"
        ) from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {_DEEPEST}") from error
    if text.count("[") + text.count("{") > _DEEPEST or (finite and _SUSPECT.search(text)):
        _check_nested(value, texts=finite)
    return value


def checked(value: Any, kind: type[T]) -> T:
    """Return `value` if it is of type `kind`.

    Args:
      value: A JSON value.
      kind: The expected type.

    Returns:
      `value`, unchanged.

    Raises:
      ValueError: It is of another type; the message is a short reason with the position.
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
            f"{at}{why.replace('input', 'it')}, but is {quoted(first['input'])}"
        ) from error
    return value


def quoted(value: Any) -> str:
    """Return the beginning of a value's representation, for a one-line message."""
    text = repr(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(
            f"the key {quoted(next(key for key in keys if keys.count(key) > 1))} occurs twice"
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
    """Check depth and strings without recursion, which a deeply nested value would exhaust."""
    level, depth = [value], 0
    while level:
        if depth > _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST}")
        if texts:
            for item in level:
                for text in item if isinstance(item, dict) else (item,):
                    if isinstance(text, str) and ("\0" in text or not _is_writable(text)):
                        raise ValueError("it has a string with NUL bytes or unpaired surrogates")
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
