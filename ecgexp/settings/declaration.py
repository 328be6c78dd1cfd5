"""The one way settings are declared: frozen, keyword-only dataclasses that check themselves when they are made.

The builders that YAML names in `_target_` are such classes, so a value out of bounds is refused alike from the shell, from
a YAML file and from a notebook. Pydantic does the checking of types and bounds; what concerns several fields at once is
checked in the class's own `__post_init__`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError, PydanticUndefined

T = TypeVar("T")

_SHOWN = 8  # values of a list, in a message
_INPUT = re.compile(r"input( string)?")  # Pydantic's word for a value
_LONGEST = 120  # characters of a value
_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True, validate_default=True)

_LEAST, _LARGEST = 1e-12, 1e9  # between them float32 holds a number, and its square
_MOST = 1_000_000


def no_bool(value: Any) -> Any:
    """YAML's true would count as 1."""
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
"""The base of every setting that is a number, which gets a range: what is beyond it would end later, in a library's words."""

Whole = Annotated[int, BeforeValidator(no_bool)]
"""The same for whole numbers."""

Positive = Annotated[Number, Field(ge=_LEAST, le=_LARGEST)]
NonNegative = Annotated[Number, Field(ge=0, le=_LARGEST)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
Probability = Annotated[Number, Field(ge=0, le=1)]
Milliseconds = Annotated[Number, Field(ge=0, le=10_000)]
Count = Annotated[Whole, Field(ge=1, le=_MOST)]
NonNegativeInt = Annotated[Whole, Field(ge=0, le=_MOST)]
Width = Annotated[Whole, Field(ge=1, le=8192)]
"""Units of a layer, or its channels."""
Span = Annotated[Whole, Field(ge=1, le=1024)]
"""Positions along a window or a side of a picture."""
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]
Rate = Annotated[Number, Field(ge=_LEAST, le=1e30)]
"""A learning rate; whatever float32 holds, for a run that diverges says so."""


class ConfigError(ValueError):
    """A setting that cannot be used; the message names it, its value and what to type instead."""


class DataError(ValueError):
    """Data that cannot be trusted or found; the message names the file and the way to mend it."""


class MachineError(RuntimeError):
    """A part of the machine let the run down; the message says which, why, and what to try. The run can go on later."""


class JobFailed(RuntimeError):
    """A job of a sweep did not finish; the others run. Unlike what it was caused by, any process can send it to any other."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[T]) -> type[T]:
    """Makes `cls` a frozen, keyword-only dataclass whose fields are checked against their annotations."""
    return dataclass(frozen=True, kw_only=True, config=_CONFIG)(cls)  # type: ignore[return-value]


def build(make: Callable[..., T], values: dict[str, Any], *, path: str) -> T:
    """Calls `make(**values)` and turns a refusal into a `ConfigError` that names each value by its full path.

    Args:
      make: a class made by `settings`.
      values: its fields.
      path: where the values stand in the configuration, e.g. `"trainer"`; may be empty.

    Raises:
      ConfigError: one line for each field that was refused.
    """
    try:
        return make(**values)
    except ValidationError as error:
        raise ConfigError(
            "; ".join(_describe(item, path, make) for item in error.errors())
        ) from error


def _describe(item: Any, path: str, make: Callable[..., Any]) -> str:
    where = ".".join([*([path] if path else []), *(str(part) for part in item["loc"])])
    if (
        item["type"] == "value_error"
    ):  # our own words, from a __post_init__: they already name the fields
        return placed(str(item["ctx"]["error"]), path, make)
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return unknown_key(where, known=list(getattr(make, "__dataclass_fields__", {})))
    if item["type"] in ("missing", "missing_keyword_only_argument"):
        return f"{where} is missing: give it a value"
    message = item["msg"][0].lower() + item["msg"][1:]
    remedy = _remedy(where, item["loc"], path, make)
    return f"{where}={_cut(repr(item['input']))} is not usable: {_cut(_INPUT.sub('it', message))}{remedy}"


def _remedy(where: str, loc: Sequence[int | str], path: str, make: Callable[..., Any]) -> str:
    """The default of the setting, as it is typed."""
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
    """A value as it is typed in a shell."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple | list):
        return f"[{','.join(map(_typed, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    """A text that was typed, in one line that can be read."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def check_named_once(
    setting: str, values: Sequence[Any], *, error: type[ValueError] = ConfigError
) -> None:
    """Refuses a list in which something stands twice that is meant once, with both of its places.

    Args:
      setting: as the user writes it, e.g. `dataset.records`.
      values: of the list.
      error: what to raise.

    Raises:
      ConfigError: a value stands in two places, which count from 1.
    """
    places: dict[Any, int] = {}
    for place, value in enumerate(values, start=1):
        if (earlier := places.setdefault(value, place)) != place:
            shown = ",".join(map(str, values if len(values) <= _SHOWN else [*values[:_SHOWN], "…"]))
            raise error(
                f"{setting}=[{shown}]: {value} stands in it twice, in places {earlier} and {place}; name it once"
            )


def placed(message: str, path: str, make: Callable[..., Any]) -> str:
    """Names the settings of a nested object by where they stand: `dataset.leads` of `dataset.train` is `dataset.train.leads`.

    Args:
      message: words of the class about its own settings, which it knows by the first part of the path only.
      path: where the object stands.
      make: its class.
    """
    root, _, below = path.partition(".")
    if not below:
        return message
    names = "|".join(getattr(make, "__dataclass_fields__", {}))
    return re.sub(rf"\b{re.escape(root)}\.(?=(?:{names})\b)", lambda _: f"{path}.", message)


def unknown_key(where: str, *, known: list[str]) -> str:
    """The message for a misspelt key: what it may have meant, or what there is."""
    import difflib

    parent, _, key = where.rpartition(".")
    prefix = f"{parent}." if parent else ""
    close = difflib.get_close_matches(key, known, n=1)
    hint = (
        f"did you mean {prefix}{close[0]}?" if close else f"there are: {', '.join(sorted(known))}"
    )
    return f"{where} is not a setting; {hint}"
