"""The one way settings are declared: frozen, keyword-only dataclasses that check themselves when they are made.

The builders that YAML names in `_target_` are such classes, so a value out of bounds is refused alike from the shell, from
a YAML file and from a notebook. Pydantic does the checking of types and bounds; what concerns several fields at once is
checked in the class's own `__post_init__`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import AllowInfNan, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

T = TypeVar("T")

_SHOWN = 8  # values of a list, in a message
_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True, validate_default=True)

Positive = Annotated[float, Field(gt=0), AllowInfNan(False)]
NonNegative = Annotated[float, Field(ge=0), AllowInfNan(False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]


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
        raise ConfigError("; ".join(_describe(item, path, make) for item in error.errors())) from error


def _describe(item: Any, path: str, make: Callable[..., Any]) -> str:
    where = ".".join([*([path] if path else []), *(str(part) for part in item["loc"])])
    if item["type"] == "value_error":  # our own words, from a __post_init__: they already name the fields
        return placed(str(item["ctx"]["error"]), path, make)
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return unknown_key(where, known=list(getattr(make, "__dataclass_fields__", {})))
    if item["type"] in ("missing", "missing_keyword_only_argument"):
        return f"{where} is missing: give it a value"
    message = item["msg"][0].lower() + item["msg"][1:]
    return f"{where}={item['input']!r} is not usable: {message.replace('input', 'it')}"


def check_named_once(setting: str, values: Sequence[Any], *, error: type[ValueError] = ConfigError) -> None:
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
    hint = f"did you mean {prefix}{close[0]}?" if close else f"there are: {', '.join(sorted(known))}"
    return f"{where} is not a setting; {hint}"
