"""Declaration of settings: frozen, keyword-only dataclasses that validate themselves.

The classes that YAML names in `_target_` are settings classes, so a value out of range is rejected
in the same way from the command line, a YAML file and a notebook. Pydantic checks types and ranges;
conditions on several fields are checked in the `__post_init__` of the class.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    ValidationError,
)
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError, PydanticUndefined

from ecgexp.settings.installation import to_type
from ecgexp.settings.renamed import renamed, renamed_key

T = TypeVar("T")

_SHOWN = 8  # values of a list, in a message
_INPUT = re.compile(r"input( string)?")  # how Pydantic's messages call the value
_LONGEST = 120  # characters of a value
_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True, validate_default=True)

_LEAST, _LARGEST = 1e-12, 1e9  # float32 represents these numbers and their squares
_MOST = 1_000_000


def no_bool(value: Any) -> Any:
    """Reject a bool, which Pydantic would convert to 0 or 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("bool_for_number", "Input should be a number")
    return value


def _no_underflow(value: float) -> float:
    if 0 < abs(value) < _LEAST:
        raise PydanticCustomError(
            "underflow", "Input should be 0, or at least {least}", {"least": _LEAST}
        )
    return value


Number = Annotated[
    float, BeforeValidator(no_bool), AfterValidator(_no_underflow), AllowInfNan(False)
]
"""Base type of all float settings.

Each derived type has a range, so that an unusable number is rejected here, not later by a library.
"""

Whole = Annotated[int, BeforeValidator(no_bool)]
"""Base type of all integer settings."""

Positive = Annotated[Number, Field(ge=_LEAST, le=_LARGEST)]
NonNegative = Annotated[Number, Field(ge=0, le=_LARGEST)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
Probability = Annotated[Number, Field(ge=0, le=1)]
Milliseconds = Annotated[Number, Field(ge=0, le=10_000)]
Count = Annotated[Whole, Field(ge=1, le=_MOST)]
NonNegativeInt = Annotated[Whole, Field(ge=0, le=_MOST)]
Width = Annotated[Whole, Field(ge=1, le=8192)]
"""Units or channels of a layer."""
Span = Annotated[Whole, Field(ge=1, le=1024)]
"""Number of positions along a window or along a side of an image."""
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]
Rate = Annotated[Number, Field(ge=_LEAST, le=1e30)]
"""A learning rate. The range is that of float32: a run that diverges stops with its own message."""


Part = Annotated[T, SkipValidation]
"""An object that was built, and so validated, from a node of its own; its type is a protocol."""


class ConfigError(ValueError):
    """A setting cannot be used; the message names it, its value and what to use instead."""


class DataError(ValueError):
    """Data is missing or damaged; the message names the file and the remedy."""


class MachineError(RuntimeError):
    """A resource of the machine failed; the message names it, the cause and the remedy.

    The run can be resumed.
    """


class JobFailed(RuntimeError):
    """A job of a sweep failed; the other jobs run.

    Unlike its cause, this exception can always be pickled and sent between processes.
    """


class Pruned(RuntimeError):
    """A search ended the run early, because it scored worse than earlier trials."""


class OutOfTime(SystemExit):
    """`max_minutes=` ended the run, which can be resumed.

    It ends a process in order, as a signal does, with the exit code 75 of a temporary failure
    (EX_TEMPFAIL of `sysexits.h`).
    """

    CODE = 75

    def __init__(self, message: str):
        super().__init__(self.CODE)
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, keyword-only dataclass that validates fields by their annotations."""
    return cast(type[T], dataclass(frozen=True, kw_only=True, config=_CONFIG)(cls))


def build(make: Callable[..., T], values: dict[str, Any], *, path: str) -> T:
    """Call `make(**values)`; convert validation errors to a `ConfigError` with full setting names.

    Args:
      make: A class decorated with `settings`.
      values: Its fields.
      path: Position of the values in the configuration, e.g. `"trainer"`; may be empty.

    Returns:
      The settings object.

    Raises:
      ConfigError: One or more fields are invalid; the parts of the message are joined by `;`.
    """
    try:
        return make(**values)
    except ValidationError as error:
        raise ConfigError(
            "; ".join(_describe(item, path, make) for item in error.errors())
        ) from error


def _describe(item: Any, path: str, make: Callable[..., Any]) -> str:
    where = ".".join([*([path] if path else []), *(str(part) for part in item["loc"])])
    if item["type"] == "value_error":  # raised by a __post_init__; it already names the fields
        return placed(str(item["ctx"]["error"]), path, make)
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return unknown_key(where, known=list(getattr(make, "__pydantic_fields__", {})))
    if item["type"] in ("missing", "missing_keyword_only_argument"):
        return f"{where} is missing: give it a value"
    message = item["msg"][0].lower() + item["msg"][1:]
    remedy = _remedy(where, item["loc"], path, make)
    given = item["input"]
    if item["type"] == "tuple_type":
        message = "it should be a list in brackets"
        if isinstance(given, int | float | str):
            remedy = f"; use {where}=[{_typed(given)}]"
    shown = _typed(given) if given is None or isinstance(given, bool) else repr(given)
    return f"{where}={_cut(shown)} is not usable: {_cut(_INPUT.sub('it', message))}{remedy}"


def _remedy(where: str, loc: Sequence[int | str], path: str, make: Callable[..., Any]) -> str:
    """Return the default of the setting, as a command-line override."""
    field = getattr(make, "__pydantic_fields__", {}).get(str(loc[0])) if loc else None
    if (
        field is None
        or (default := field.get_default(call_default_factory=True, validated_data={}))
        is PydanticUndefined
    ):
        return ""
    if default is None and field.examples:
        default = field.examples[0]
    return f"; use e.g. {'.'.join([*([path] if path else []), str(loc[0])])}={_typed(default)}"


def _typed(value: Any) -> str:
    """Format a value as in a command-line override."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple | list):
        return f"[{','.join(map(_typed, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    """Return `text` on one line, truncated to `_LONGEST` characters."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def check_named_once(
    setting: str, values: Sequence[Any], *, error: type[ValueError] = ConfigError
) -> None:
    """Reject a list that contains a value twice.

    Args:
      setting: The setting as the user writes it, e.g. `dataset.records`.
      values: The list.
      error: The exception class to raise.

    Raises:
      ConfigError: A value occurs twice; the message gives both positions, counted from 1.
    """
    places: dict[Any, int] = {}
    for place, value in enumerate(values, start=1):
        if (earlier := places.setdefault(value, place)) != place:
            shown = ",".join(map(str, values if len(values) <= _SHOWN else [*values[:_SHOWN], "…"]))
            raise error(
                f"{setting}=[{shown}]: {value} is listed twice, at positions {earlier} and "
                f"{place}; list it once"
            )


def placed(message: str, path: str, make: Callable[..., Any]) -> str:
    """Replace setting names in a message by full paths.

    For the object at `dataset.train`, `dataset.leads` becomes `dataset.train.leads`.

    Args:
      message: A message of the class about its own settings, prefixed by the first part of the
        path.
      path: Position of the object in the configuration.
      make: Its class.

    Returns:
      The message with full setting names.
    """
    root, _, below = path.partition(".")
    if not below:
        return message
    names = "|".join(getattr(make, "__dataclass_fields__", {}))
    return re.sub(rf"\b{re.escape(root)}\.(?=(?:{names})\b)", lambda _: f"{path}.", message)


def unknown_key(where: str, *, known: list[str], above: Sequence[str] = ()) -> str:
    """Return the message for an unknown key: its new name, the closest known key or all of them.

    Args:
      where: the full key.
      known: names of the keys beside it.
      above: names of the keys one level above.
    """
    import difflib

    if (new := renamed_key(where)) is not None:
        return renamed(where, new)
    if not known:
        return f"{where} is not a setting; {to_type('ecgexp --cfg job')} prints those that are"
    parent, _, key = where.rpartition(".")
    prefix = f"{parent}." if parent else ""
    if key in above:
        return f"{where} is not a setting; use {parent.rpartition('.')[0]}.{key}"
    close = difflib.get_close_matches(key, known, n=1)
    hint = (
        f"did you mean {prefix}{close[0]}?" if close else f"there are: {', '.join(sorted(known))}"
    )
    return f"{where} is not a setting; {hint}"
